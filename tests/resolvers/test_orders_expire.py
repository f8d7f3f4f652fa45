"""A DAY order ends with the UTC day."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from infrastructure.database import Transaction
from infrastructure.services import Services
from models.enums import EventType, OrderStatus, TimeInForce
from models.money import ZERO
from models.orders import Order, OrderRow
from models.portfolios import Portfolio
from resolvers.orders import store
from resolvers.orders.commands import execute_order, expire_due
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts, stored

MIDNIGHT = datetime(2026, 1, 6, tzinfo=UTC)


async def test_expire_when_the_utc_day_ends_then_day_orders_end_and_the_others_work_on(
    services: Services, clock: ManualClock
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    day = (await trader.place("BUY", "10", limit="100", tif=TimeInForce.DAY)).value
    partial = (await trader.place("BUY", "10", limit="100", tif=TimeInForce.DAY)).value
    partial = await trader.fill(partial, "4", "100")
    kept = (await trader.place("BUY", "10", limit="100")).value
    clock.advance(hours=9, minutes=29, seconds=59, microseconds=999_999)
    assert await expire_due(services) == 0
    clock.advance(microseconds=1)
    assert clock.now() == MIDNIGHT
    assert await expire_due(services) == 2
    assert await expire_due(services) == 0
    orders = {order.id: order for order in await stored(services, OrderRow, Order)}
    for order, version in ((day, 2), (partial, 3)):
        ended = orders[order.id]
        assert (ended.status, ended.version, ended.closed_at) == (OrderStatus.EXPIRED, version, MIDNIGHT)
        assert ended.reserved_cash == ZERO
    assert orders[partial.id].filled_quantity == D(4)
    assert orders[kept.id] == kept
    assert (await trader.portfolio()).reserved_cash == kept.reserved_cash == D(1001)
    events = (await whole_log(services.database))[-2:]
    assert [(event.type, event.actor_id, event.occurred_at) for event in events] == [
        (EventType.ORDER_EXPIRED, None, MIDNIGHT)
    ] * 2
    assert {event.data["order"]["status"] for event in events} == {"EXPIRED"}


async def test_expire_when_a_day_order_ended_before_then_it_is_left_alone(
    services: Services, clock: ManualClock
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="100", tif=TimeInForce.DAY)).value
    await trader.fill(order, "10", "100")
    clock.advance(days=1)
    before = await row_counts(services)
    assert await expire_due(services) == 0
    assert await row_counts(services) == before


async def test_expire_when_one_order_fails_then_it_is_left_and_those_behind_it_expire(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    broken, *others = [(await trader.place("BUY", "1", limit="100", tif=TimeInForce.DAY)).value for _ in range(3)]
    clock.advance(days=1)
    change = store.change

    async def failing(tx: Transaction, portfolio: Portfolio, before: Order, after: Order) -> Portfolio:
        if before.id == broken.id:
            raise ZeroDivisionError
        # Expired when its own turn comes, which is later.
        clock.advance(seconds=1)
        return await change(tx, portfolio, before, after)

    monkeypatch.setattr(store, "change", failing)
    assert await expire_due(services) == 2
    orders = {order.id: order for order in await stored(services, OrderRow, Order)}
    assert orders[broken.id] == broken
    ended = {orders[order.id].closed_at for order in others}
    assert ended == {clock.now() - timedelta(seconds=seconds) for seconds in (1, 2)}


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("due", "index"),
    [
        ("SELECT id FROM orders WHERE closed_at IS NULL AND expire_at <= :now", "orders_due"),
        ("SELECT id FROM portfolios WHERE resume_after <= :now", "portfolios_due"),
    ],
)
async def test_due_when_looked_for_every_second_then_an_index_leads_to_it(
    services: Services, due: str, index: str
) -> None:
    async with services.database.read() as connection:
        [step] = await connection.execute(text(f"EXPLAIN QUERY PLAN {due}"), {"now": str(MIDNIGHT)})
    assert index in step.detail


@pytest.mark.parametrize("late", [0, 1])
async def test_execute_when_the_day_is_over_and_nobody_has_expired_the_order_yet_then_it_is_not_filled(
    services: Services, clock: ManualClock, late: int
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="100", tif=TimeInForce.DAY)).value
    clock.advance(hours=9, minutes=30, seconds=late)
    before = await row_counts(services)
    assert await execute_order(services, order.id, order.version, D(10), D(100)) is None
    assert await row_counts(services) == before
    assert await expire_due(services) == 1
