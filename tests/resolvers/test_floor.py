"""The trading floor: one of all processes works, and when it stops another one takes over."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from infrastructure.clock import Clock, SystemClock
from infrastructure.services import Services
from models.enums import AggregateType, OrderStatus, TimeInForce, TradingState
from models.events import EventFilter
from models.facts import OrderAsOf, order_of
from models.orders import Order
from resolvers.floor import TradingFloor
from resolvers.marketdata.commands import seed_catalogue
from resolvers.orders.queries import every_working_order
from resolvers.risk.commands import pause_trading
from tests.support.clock import START, ManualClock
from tests.support.log_race import check_chain
from tests.support.market import D, Trader, row_counts
from tests.support.processes import another_process
from tests.support.wait import until

FAST = {"feed_interval_ms": 10, "quote_stale_after_ms": 60_000}


@asynccontextmanager
async def process(services: Services, number: int, clock: Clock | None = None) -> AsyncIterator[Services]:
    """A process whose market moves fast."""
    quick = dataclasses.replace(services, settings=services.settings.model_copy(update=FAST))
    async with another_process(quick, number, clock or SystemClock()) as found:
        yield found


@asynccontextmanager
async def opened(services: Services) -> AsyncIterator[TradingFloor]:
    floor = TradingFloor(services)
    await floor.start()
    try:
        yield floor
    finally:
        await floor.stop()


async def became(services: Services, order: Order, status: OrderStatus) -> OrderAsOf:
    """The order once it is in that state."""
    chosen = EventFilter(aggregate_type=AggregateType.ORDER, aggregate_id=order.id)
    async for event in services.relay.follow(0, chosen):
        if (found := order_of(event)).status is status:
            return found
    raise AssertionError("the relay stopped")


async def test_floor_when_an_order_is_placed_then_the_broker_fills_it_and_the_books_are_right(
    services: Services,
) -> None:
    await seed_catalogue(services)
    async with process(services, 1) as here, opened(here):
        trader = await Trader.with_cash(here)
        order = (await trader.place("BUY", "10")).value
        done = await became(here, order, OrderStatus.FILLED)
        [position] = await trader.positions()
        assert position.quantity == D(10)
        assert position.average_price == done.average_fill_price
        portfolio = await trader.portfolio()
        assert portfolio.reserved_cash == D(0)
        assert portfolio.cash == D(100000) - done.filled_notional - done.commission
        assert sum(row.amount for row in await trader.ledger()) == portfolio.cash


async def test_floor_when_two_are_open_then_one_works_and_the_other_takes_over_when_it_stops(
    services: Services,
) -> None:
    await seed_catalogue(services)
    async with process(services, 1) as here, process(services, 2) as there, opened(there) as second:
        await second.stop()
        async with opened(here) as first:
            await second.start()
            trader = await Trader.with_cash(here)
            assert (first.feed.holding, second.feed.holding) == (True, False)
            # The standby has the prices of the one that works: its own queries show them.
            assert {quote.symbol for quote in there.quotes.all()} == {quote.symbol for quote in here.quotes.all()}
            await became(there, (await trader.place("BUY", "10")).value, OrderStatus.FILLED)
            waits = (await trader.place("BUY", "1", limit="1")).value
        crosses = (await trader.place("BUY", "7", limit="400", tif=TimeInForce.GTC)).value
        filled = await became(there, crosses, OrderStatus.FILLED)
        assert second.feed.holding
        assert filled.filled_quantity == D(7)
        assert [order.id for order in await every_working_order(there)] == [waits.id]
        fills = [event for event in await check_chain(there.database) if event.type.value == "ORDER_EXECUTED"]
        assert sum(D(event.data["fill"]["quantity"]) for event in fills) == D(17)


async def test_floor_when_it_opens_then_what_fell_due_meanwhile_is_done_and_not_traded(
    services: Services, clock: ManualClock
) -> None:
    await seed_catalogue(services)
    trader = await Trader.with_cash(services)
    over = (await trader.place("BUY", "1", limit="1000", tif=TimeInForce.DAY)).value
    works = (await trader.place("BUY", "1", limit="1000")).value
    hour = START + timedelta(hours=1)
    await pause_trading(trader.ctx, trader.portfolio_id, "an hour", hour, reduce_only=False)
    clock.advance(days=1)
    async with process(services, 1, clock) as here, opened(here):
        expired = await became(here, over, OrderStatus.EXPIRED)
        assert (expired.filled_quantity, expired.version) == (D(0), 2)
        await became(here, works, OrderStatus.FILLED)
        resumed = here.relay.follow(0, EventFilter(types=frozenset({"TRADING_RESUMED"})))  # type: ignore[arg-type]  # reason: a StrEnum
        event = await anext(resumed)
        assert event.occurred_at == clock.now()
        assert (await trader.portfolio()).trading_state is TradingState.ACTIVE
        await resumed.aclose()


async def test_floor_when_it_closes_then_working_orders_stay_and_no_task_is_left(services: Services) -> None:
    await seed_catalogue(services)
    async with process(services, 1) as here:
        trader = await Trader.with_cash(here)
        before = asyncio.all_tasks()
        async with opened(here):
            order = (await trader.place("BUY", "1", limit="1")).value
        await until(lambda: asyncio.all_tasks() <= before)  # the relay may be reading just now
        counts = await row_counts(here)
        assert [each.id for each in await every_working_order(here)] == [order.id]
        async with opened(here):
            await became(here, (await trader.place("BUY", "1")).value, OrderStatus.FILLED)
        assert (await row_counts(here))["orders"] == counts["orders"] + 1
