"""The paper broker: fills at the touch, for no more than its size, what the log tells it of."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from infrastructure import log
from infrastructure.broker import NOT_WAITING, Desk, PaperBroker
from infrastructure.database import DatabaseUnavailable
from infrastructure.services import Services
from models.enums import AggregateType, EventType, OrderStatus, OrderType, TimeInForce
from models.events import EventFilter
from models.facts import OrderAsOf, fill_of, order_of
from models.orders import Order
from resolvers.floor import desk
from resolvers.orders.commands import cancel_order, execute_order, place_order
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader

ENDED = frozenset({OrderStatus.FILLED, OrderStatus.CANCELLED})


@dataclasses.dataclass
class Lead:
    """Whether this process leads: what the broker asks before it matches."""

    held: bool = True
    was_asked: asyncio.Event = dataclasses.field(default_factory=asyncio.Event)

    def __call__(self) -> bool:
        self.was_asked.set()
        return self.held


@dataclasses.dataclass
class Floor:
    """A market, a trader, and the broker between them."""

    market: Market
    trader: Trader
    lead: Lead
    broker: PaperBroker

    async def quote(self, bid: str, ask: str, size: str = "1000", symbol: str = "AAPL") -> None:
        """The market moves, and the broker is told."""
        await self.broker.on_quotes([await self.market.quote(symbol, bid, ask, size=size)])

    async def order(
        self,
        side: str,
        quantity: str,
        limit: str | None,
        symbol: str = "AAPL",
        tif: TimeInForce = TimeInForce.GTC,
    ) -> Order:
        """An order that the broker has seen when this returns."""
        order = (await self.trader.place(side, quantity, symbol, limit, tif=tif)).value
        await self.seen()
        return order

    async def seen(self) -> None:
        """Until the broker has dealt with all that was placed: with an order that it drops, behind all of them."""
        marker = (await self.trader.place("BUY", "1", "KO", "1", tif=TimeInForce.IOC)).value
        await became(self.market.services, marker, ENDED)

    async def now(self, order: Order) -> tuple[str, Decimal]:
        """Its state and what is filled of it."""
        events = await _events_of(self.market.services, order.id)
        return events[-1].status.value, events[-1].filled_quantity


async def _events_of(services: Services, order_id: UUID) -> list[OrderAsOf]:
    chosen = EventFilter(aggregate_type=AggregateType.ORDER, aggregate_id=order_id)
    async with services.database.read() as connection:
        return [order_of(event) for event in await log.read_after(connection, 0, chosen, 1000)]


async def became(services: Services, order: Order, states: frozenset[OrderStatus]) -> OrderAsOf:
    """The order once it is in one of the states."""
    chosen = EventFilter(aggregate_type=AggregateType.ORDER, aggregate_id=order.id)
    async for event in services.relay.follow(0, chosen):
        if (found := order_of(event)).status in states:
            return found
    raise AssertionError("the relay stopped")


def desk_of(services: Services, execute: Callable[..., Awaitable[Order | None]] | None = None) -> Desk:
    """The use cases, or another way to execute."""
    use_cases = desk(services)
    return use_cases if execute is None else dataclasses.replace(use_cases, execute=execute)


@asynccontextmanager
async def trading(services: Services, given: Desk | None = None) -> AsyncIterator[Floor]:
    """The broker at work on this desk."""
    market, trader = await Market.open(services), await Trader.with_cash(services, "1000000")
    lead = Lead()
    broker = PaperBroker(services.relay, services.quotes, given or desk_of(services), lead, services.clock.now)
    floor = Floor(market, trader, lead, broker)
    await broker.start()
    try:
        yield floor
    finally:
        await broker.stop()


async def executions(services: Services) -> list[tuple[str, Decimal, Decimal]]:
    """Every fill, in order: side, quantity, price."""
    executed = [event for event in await whole_log(services.database) if event.type is EventType.ORDER_EXECUTED]
    fills = [fill for fill in map(fill_of, executed) if fill]
    return [(fill.side.value, fill.quantity, fill.price) for fill in fills]


async def test_broker_when_an_order_crosses_then_it_is_filled_at_the_touch(services: Services) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00")
        bought = await floor.order("BUY", "10", "205")
        sold = await floor.order("SELL", "3", None)
        assert await floor.now(bought) == ("FILLED", D(10))
        assert await floor.now(sold) == ("FILLED", D(3))
    assert await executions(services) == [("BUY", D(10), D(200)), ("SELL", D(3), D("199.9"))]


async def test_broker_when_the_price_is_not_there_then_the_order_waits_until_it_is(services: Services) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00")
        order = await floor.order("BUY", "10", "199.99")
        assert await floor.now(order) == ("OPEN", D(0))
        await floor.quote("199.80", "199.95")
        assert await floor.now(order) == ("FILLED", D(10))
    assert await executions(services) == [("BUY", D(10), D("199.95"))]


async def test_broker_when_the_touch_is_small_then_the_order_is_filled_in_parts_over_quotes(
    services: Services,
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00", size="4")
        order = await floor.order("BUY", "10", "201")
        assert await floor.now(order) == ("PARTIALLY_FILLED", D(4))
        later = await floor.order("BUY", "1", None)
        assert await floor.now(later) == ("OPEN", D(0))  # the size at the touch is used up
        await floor.quote("200.00", "200.50", size="5")
        assert await floor.now(later) == ("FILLED", D(1))  # a market order goes first
        assert await floor.now(order) == ("PARTIALLY_FILLED", D(8))
        await floor.quote("202.00", "202.50", size="5")
        assert await floor.now(order) == ("PARTIALLY_FILLED", D(8))
        await floor.quote("200.00", "200.25", size="5")
        assert await floor.now(order) == ("FILLED", D(10))
        versions = [each.version for each in await _events_of(services, order.id)]
    assert versions == [1, 2, 3, 4]
    assert await executions(services) == [
        ("BUY", D(4), D(200)),
        ("BUY", D(1), D("200.5")),
        ("BUY", D(4), D("200.5")),
        ("BUY", D(2), D("200.25")),
    ]
    assert (await floor.trader.portfolio()).reserved_cash == D(0)


async def test_broker_when_several_orders_want_the_same_size_then_price_and_then_time_decide(
    services: Services, clock: ManualClock
) -> None:
    async with trading(services) as floor:
        orders = []
        for limit in ("200.00", "200.10", "200.10", "200.20"):
            orders.append(await floor.order("BUY", "10", limit))
            clock.advance(milliseconds=1)
        await floor.quote("199.90", "200.00", size="25")
        states = [await floor.now(order) for order in orders]
    assert states == [
        ("OPEN", D(0)),
        ("FILLED", D(10)),
        ("PARTIALLY_FILLED", D(5)),
        ("FILLED", D(10)),
    ]


async def test_broker_when_an_ioc_order_finds_too_little_then_its_rest_is_cancelled_at_once(
    services: Services,
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00", size="4")
        partial = await floor.order("BUY", "10", "200", tif=TimeInForce.IOC)
        nothing = await floor.order("BUY", "10", "200", tif=TimeInForce.IOC)
        away = await floor.order("SELL", "1", "250", tif=TimeInForce.IOC)
        whole = await floor.order("SELL", "4", None, tif=TimeInForce.IOC)
        unquoted = await floor.order("BUY", "1", "100", "MSFT", tif=TimeInForce.IOC)
        states = [await floor.now(order) for order in (partial, nothing, away, whole, unquoted)]
        assert states == [
            ("CANCELLED", D(4)),
            ("CANCELLED", D(0)),
            ("CANCELLED", D(0)),
            ("FILLED", D(4)),
            ("CANCELLED", D(0)),
        ]
        for order in (nothing, away, unquoted):
            assert (await became(services, order, ENDED)).cancel_reason == NOT_WAITING[TimeInForce.IOC]
    assert (await floor.trader.portfolio()).reserved_cash == D(0)


async def test_broker_when_the_quote_is_stale_then_it_waits_for_a_fresh_one_and_an_ioc_order_does_not(
    services: Services, clock: ManualClock
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00")
        clock.advance(seconds=5, microseconds=1)
        waits = await floor.order("BUY", "1", "200")
        dropped = await floor.order("BUY", "1", "200", tif=TimeInForce.IOC)
        assert [await floor.now(order) for order in (waits, dropped)] == [("OPEN", D(0)), ("CANCELLED", D(0))]
        await floor.quote("199.90", "200.00")
        assert await floor.now(waits) == ("FILLED", D(1))


async def test_broker_when_a_stop_is_behind_the_price_already_then_it_triggers_as_soon_as_it_is_known(
    services: Services,
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00", size="4")
        request = dataclasses.replace(floor.trader.request("BUY", "10"), type=OrderType.STOP)
        orders = [
            (
                await place_order(floor.trader.ctx, dataclasses.replace(request, stop_price=D(stop), time_in_force=tif))
            ).value
            for stop, tif in (("199", TimeInForce.GTC), ("199", TimeInForce.FOK), ("205", TimeInForce.IOC))
        ]
        await floor.seen()
        assert [await floor.now(order) for order in orders] == [
            ("PARTIALLY_FILLED", D(4)),
            ("CANCELLED", D(0)),
            ("PENDING", D(0)),
        ]


async def test_broker_when_another_process_leads_then_it_stands_by_and_takes_over_with_the_next_quote(
    services: Services,
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00")
        floor.lead.held = False
        floor.lead.was_asked.clear()
        order = (await floor.trader.place("BUY", "1", limit="200")).value
        await floor.lead.was_asked.wait()
        await floor.quote("199.80", "199.90")
        assert await floor.now(order) == ("OPEN", D(0))
        floor.lead.held = True
        await floor.quote("199.70", "199.80")
        assert await floor.now(order) == ("FILLED", D(1))


async def test_broker_when_it_starts_then_orders_that_were_working_are_matched(services: Services) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00")
        await floor.broker.stop()
        orders = [(await floor.trader.place("BUY", "1", limit="200")).value for _ in range(3)]
        await cancel_order(floor.trader.ctx, orders[1].id)
        await floor.broker.start()
        await floor.seen()
        assert [(await floor.now(order))[0] for order in orders] == ["FILLED", "CANCELLED", "FILLED"]


async def test_broker_when_an_order_changed_before_its_fill_is_booked_then_its_size_goes_to_the_next(
    services: Services, clock: ManualClock
) -> None:
    cancels: list[UUID] = []

    async def late(order_id: UUID, version: int, quantity: Decimal, price: Decimal) -> Order | None:
        if order_id in cancels:
            cancels.remove(order_id)
            await cancel_order(floor.trader.ctx, order_id)
        return await execute_order(services, order_id, version, quantity, price)

    async with trading(services, desk_of(services, late)) as floor:
        first = await floor.order("BUY", "10", "200")
        clock.advance(milliseconds=1)
        second = await floor.order("BUY", "10", "200")
        sales = [await floor.order("SELL", "10", limit) for limit in ("199.90", "199.91")]
        cancels += [first.id, sales[0].id]
        await floor.quote("199.91", "200.00", size="10")
        states = [await floor.now(order) for order in (first, second, *sales)]
    assert states == [("CANCELLED", D(0)), ("FILLED", D(10)), ("CANCELLED", D(0)), ("FILLED", D(10))]


async def test_broker_when_a_buy_has_become_too_dear_then_it_is_cancelled_and_its_size_goes_to_the_next(
    services: Services,
) -> None:
    async with trading(services) as floor:
        await floor.quote("199.90", "200.00", size="2")
        dear = await floor.order("BUY", "4500", None)  # 927,000 of the million are held back
        assert await floor.now(dear) == ("PARTIALLY_FILLED", D(2))
        other = await floor.order("BUY", "3", "260")
        await floor.quote("249.90", "250.00", size="5")
        await floor.seen()
        assert await floor.now(dear) == ("CANCELLED", D(2))
        assert await floor.now(other) == ("FILLED", D(3))
    assert await executions(services) == [("BUY", D(2), D(200)), ("BUY", D(3), D(250))]


@pytest.mark.parametrize("written", [False, True])
async def test_broker_when_booking_fails_then_it_begins_anew_and_nothing_is_lost_or_booked_twice(
    services: Services, *, written: bool
) -> None:
    failures = 1

    async def fails_once(order_id: UUID, version: int, quantity: Decimal, price: Decimal) -> Order | None:
        nonlocal failures
        failures -= 1
        if written or failures < 0:
            booked = await execute_order(services, order_id, version, quantity, price)
        if failures == 0:
            raise DatabaseUnavailable("away")
        return booked

    with capture_logs() as logs:
        async with trading(services, desk_of(services, fails_once)) as floor:
            await floor.quote("199.90", "200.00", size="100")
            order = await floor.order("BUY", "10", "200")
            # Of the size that the failed attempt counted on, the next quote knows.
            await floor.quote("199.90", "200.00", size="100")
            assert await floor.now(order) == ("FILLED", D(10))
    assert await executions(services) == [("BUY", D(10), D(200))]
    assert [entry["event"] for entry in logs] == ["background work failed"]
