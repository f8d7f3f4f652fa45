"""Replacing is checked as if the order were new, and races with whatever else happens to it."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus, OrderType, RiskLimitKind, TimeInForce
from models.errors import ConflictFault, Refused
from models.orders import Order
from resolvers.orders.commands import (
    ReplaceOrder,
    cancel_order,
    drop_order,
    execute_order,
    replace_order,
    trigger_order,
)
from resolvers.risk.commands import pause_trading, set_risk_limit
from tests.support.clock import ManualClock
from tests.support.floor import Floor
from tests.support.market import row_counts
from tests.support.rebuild import verify

D = Decimal


async def replaced(floor: Floor, order: Order, **wish: Any) -> Order:
    """The order as it is after that."""
    return (await replace_order(floor.trader.ctx, ReplaceOrder(order.id, **wish))).value


async def refusals(floor: Floor, order: Order, **wish: Any) -> list[tuple[ErrorCode, str]]:
    """Why it is refused: each code, and the field or what is left of the path. Nothing is written."""
    before = await row_counts(floor.services)
    with pytest.raises(Refused) as refused:
        await replaced(floor, order, **wish)
    assert await row_counts(floor.services) == before
    return [(fault.code, fault.path[-1]) for fault in refused.value.faults]


async def test_replace_when_trading_is_paused_then_it_is_refused_and_cancelling_is_not(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    await pause_trading(floor.trader.ctx, floor.trader.portfolio_id, "Holiday", None, reduce_only=False)
    assert await refusals(floor, order, quantity=D(5)) == [(ErrorCode.TRADING_PAUSED, "input")]
    assert (await cancel_order(floor.trader.ctx, order.id)).value.status is OrderStatus.CANCELLED


async def test_replace_when_only_reducing_is_let_through_then_up_to_what_is_held(services: Services) -> None:
    floor = await Floor.open(services)
    await floor.trader.trade("BUY", "10", "100")
    buy = await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    sell = await floor.place("SELL", OrderType.LIMIT, "5", limit_price="110")
    await pause_trading(floor.trader.ctx, floor.trader.portfolio_id, "Careful", None, reduce_only=True)
    assert await refusals(floor, buy, quantity=D(1)) == [(ErrorCode.TRADING_PAUSED, "input")]
    assert await refusals(floor, sell, quantity=D(11)) == [(ErrorCode.TRADING_PAUSED, "input")]
    assert (await replaced(floor, sell, quantity=D(10))).quantity == D(10)


async def test_replace_when_as_many_orders_work_as_may_then_it_is_not_counted_twice(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    await set_risk_limit(floor.trader.ctx, floor.trader.portfolio_id, RiskLimitKind.MAX_OPEN_ORDERS, D(1))
    assert (await replaced(floor, order, quantity=D(20))).quantity == D(20)


async def test_replace_when_a_limit_is_set_then_what_remains_counts_and_not_what_is_filled(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="101")
    await floor.quote("100.00", size="8")
    await set_risk_limit(floor.trader.ctx, floor.trader.portfolio_id, RiskLimitKind.MAX_ORDER_NOTIONAL, D(1000))
    assert await refusals(floor, order, quantity=D(18)) == [(ErrorCode.RISK_LIMIT_EXCEEDED, "input")]  # 10 x 101
    after = await replaced(floor, order, quantity=D(17))
    assert (after.status, after.remaining_quantity, after.reserved_cash) == ("PARTIALLY_FILLED", D(9), D("909.909"))


async def test_replace_when_its_time_is_over_then_it_is_not_brought_back(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    end = clock.now() + timedelta(minutes=1)
    dated = await floor.place("BUY", OrderType.LIMIT, limit_price="90", time_in_force=TimeInForce.GTD, expire_at=end)
    daily = await floor.place("BUY", OrderType.LIMIT, limit_price="90", time_in_force=TimeInForce.DAY)
    clock.advance(days=1)
    over = [(ErrorCode.ORDER_NOT_OPEN, "orderId")]
    assert await refusals(floor, dated, expire_at=clock.now() + timedelta(days=1)) == over
    assert await refusals(floor, daily, quantity=D(5)) == over


async def test_replace_when_its_end_changes_then_it_has_to_fit_its_time_in_force(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    end = clock.now() + timedelta(days=1)
    field = [(ErrorCode.INVALID_INPUT, "expireAt")]
    assert await refusals(floor, order, expire_at=end) == field
    assert await refusals(floor, order, time_in_force=TimeInForce.GTD) == field
    assert await refusals(floor, order, time_in_force=TimeInForce.GTD, expire_at=clock.now()) == field
    dated = await replaced(floor, order, time_in_force=TimeInForce.GTD, expire_at=end)
    assert (dated.expire_at, dated.ranked_at) == (end, order.ranked_at)
    later = await replaced(floor, order, expire_at=end + timedelta(days=1))
    assert later.expire_at == end + timedelta(days=1)
    daily = await replaced(floor, order, time_in_force=TimeInForce.DAY)
    assert daily.expire_at == clock.now().replace(hour=0, minute=0) + timedelta(days=1)
    assert (daily.version, daily.limit_price) == (4, D(90))
    await verify(services.database)


@pytest.mark.parametrize(
    ("wish", "field"),
    [
        ({"limit_price": D(106)}, "limitPrice"),
        ({"trail_amount": D(5)}, "trailAmount"),
        ({"stop_price": D("105.001")}, "stopPrice"),
        ({"stop_price": D(0)}, "stopPrice"),
        ({"quantity": D("0.5")}, "quantity"),
        ({"quantity": D(-1)}, "quantity"),
    ],
)
async def test_replace_when_what_is_wished_does_not_fit_the_type_then_the_field_is_named(
    services: Services, wish: dict[str, Decimal], field: str
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    assert (ErrorCode.INVALID_INPUT, field) in await refusals(floor, order, **wish)


async def test_replace_when_the_stop_waits_then_it_moves_and_reserves_anew(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    after = await replaced(floor, order, stop_price=D(110))
    assert (after.status, after.stop_price, after.reserved_cash) == ("PENDING", D(110), D("1134.133"))
    await floor.quote("109.99")
    assert (await floor.now(order)).status is OrderStatus.PENDING
    await floor.quote("110.00")
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_replace_when_the_stop_has_triggered_then_it_stays_and_what_remains_is_priced_at_the_market(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    stop = await floor.place("BUY", OrderType.STOP, stop_price="105")
    trailing = await floor.place("BUY", OrderType.TRAILING_STOP, trail_amount="5")
    await floor.quote("105.00", size="0")
    before = await row_counts(services)
    assert await refusals(floor, stop, stop_price=D(110)) == [(ErrorCode.INVALID_INPUT, "stopPrice")]
    assert await refusals(floor, trailing, trail_percent=D(5)) == [(ErrorCode.INVALID_INPUT, "trailPercent")]
    assert await replaced(floor, stop, stop_price=D(105)) == await floor.now(stop)
    assert await row_counts(services) == before
    await floor.quote("90.00", size="0")
    after = await replaced(floor, stop, quantity=D(20))
    assert (after.status, after.stop_price) == ("OPEN", D(105))
    assert after.reserved_cash == D("1856.060206")  # 20 x 90.01 x 1.03 x 1.001
    await verify(services.database)


async def test_replace_when_another_order_stands_at_the_price_then_who_asks_for_more_goes_behind_it(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    orders = []
    for _ in range(3):
        orders.append(await floor.place("BUY", OrderType.LIMIT, limit_price="99"))
        clock.advance(milliseconds=1)
    await replaced(floor, orders[0], quantity=D(11))
    await replaced(floor, orders[1], quantity=D(9))
    await floor.quote("98.99", size="19")
    assert [(await floor.now(each)).filled_quantity for each in orders] == [D(0), D(9), D(10)]


async def test_replace_when_many_saw_the_same_version_then_one_is_done_and_the_others_are_told(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    wishes = [ReplaceOrder(order.id, 1, quantity=D(quantity)) for quantity in range(11, 27)]
    answers = await asyncio.gather(*(replace_order(floor.trader.ctx, wish) for wish in wishes), return_exceptions=True)
    [done] = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert done.value.version == 2
    conflicts = [answer.faults[0] for answer in answers if isinstance(answer, Refused)]
    assert len(conflicts) == 15
    for fault in conflicts:
        assert isinstance(fault, ConflictFault)
        assert fault.order == done.value


async def test_replace_when_the_broker_has_seen_the_order_before_then_what_it_does_to_that_does_nothing(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, limit_price="101", time_in_force=TimeInForce.IOC)
    stop = await floor.place("BUY", OrderType.STOP, stop_price="105")
    after = await replaced(floor, order, time_in_force=TimeInForce.GTC)
    moved = await replaced(floor, stop, stop_price=D(106))
    before = await row_counts(services)
    assert await execute_order(services, order.id, 1, D(10), D(100)) is None
    assert await drop_order(services, order.id, 1, "nothing at its price") is None
    assert await trigger_order(services, stop.id, 1) is None
    assert await row_counts(services) == before
    assert [await floor.now(each) for each in (order, stop)] == [after, moved]
