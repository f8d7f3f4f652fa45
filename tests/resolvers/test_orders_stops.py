"""Stops, trailing stops, good-till-date, fill-or-kill: through a broker whose market the test moves."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus, OrderType, TimeInForce
from models.errors import Refused
from resolvers.orders.commands import execute_order, expire_due, trigger_order
from resolvers.risk.commands import pause_trading
from tests.support.clock import ManualClock
from tests.support.floor import Floor
from tests.support.market import row_counts
from tests.support.people import story_of

D = Decimal


async def test_stop_when_the_last_price_comes_to_it_then_it_goes_to_the_market_and_is_filled(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    assert (order.status, order.reserved_cash) == (OrderStatus.PENDING, D("1082.5815"))  # 105 x 1.03 x 10 x 1.001
    await floor.quote("104.99")
    assert (await floor.now(order)).status is OrderStatus.PENDING
    await floor.quote("105.00")
    done = await floor.now(order)
    assert (done.status, done.average_fill_price) == (OrderStatus.FILLED, D("105.01"))
    assert done.triggered_at == services.clock.now()
    assert (await floor.trader.portfolio()).reserved_cash == 0
    story = await story_of(services, floor.trader.ctx.owner_id)
    assert story[-5:] == ["ORDER_PLACED", "ORDER_TRIGGERED", "ORDER_EXECUTED", "POSITION_OPENED", "CASH_MOVED"]


async def test_stop_when_the_market_is_through_it_already_then_it_triggers_at_the_next_quote(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("SELL", OrderType.STOP, stop_price="101")
    assert order.reserved_cash == 0
    await floor.quote("100.50")
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_stop_limit_when_triggered_then_it_waits_at_its_limit(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP_LIMIT, stop_price="105", limit_price="104")
    await floor.quote("106.00")
    assert (await floor.now(order)).status is OrderStatus.OPEN
    await floor.quote("103.99")
    assert (await floor.now(order)).average_fill_price == D("104.00")


async def test_trailing_stop_when_the_price_rises_and_falls_then_its_stop_follows_up_and_stays(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    by_amount = await floor.place("SELL", OrderType.TRAILING_STOP, trail_amount="5")
    by_percent = await floor.place("SELL", OrderType.TRAILING_STOP, trail_percent="10")
    assert (by_amount.stop_price, by_percent.stop_price) == (D(95), D(90))
    await floor.quote("110.00")
    await floor.quote("107.00")
    marks = [await floor.now(each) for each in (by_amount, by_percent)]
    assert [(each.high_water_mark, each.stop_price, each.version) for each in marks] == [
        (D(110), D(105), 1),
        (D(110), D(99), 1),
    ]
    await floor.quote("105.00")
    assert (await floor.now(by_amount)).status is OrderStatus.FILLED
    assert (await floor.now(by_percent)).status is OrderStatus.PENDING


async def test_trailing_stop_when_it_buys_then_it_follows_the_price_down(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.TRAILING_STOP, trail_amount="5")
    await floor.quote("90.00")
    assert (await floor.now(order)).stop_price == D(95)
    await floor.quote("95.00")
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_stop_when_triggered_without_funds_then_it_is_rejected_and_gives_back_its_reserve(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, "900", stop_price="105")
    await floor.quote("130.00")
    done = await floor.now(order)
    assert done.status is OrderStatus.REJECTED
    assert done.reject_reason == "Triggered without funds: it needs 120639.78927 of 100000 buying power."
    assert (await floor.trader.portfolio()).reserved_cash == 0
    assert (await story_of(services, floor.trader.ctx.owner_id))[-1] == "ORDER_REJECTED"


async def test_fill_or_kill_when_the_size_is_not_there_then_nothing_is_filled_and_it_is_cancelled(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.LIMIT, "20", limit_price="101", time_in_force=TimeInForce.FOK)
    await floor.quote("100.00", size="19")
    done = await floor.now(order)
    assert (done.status, done.filled_quantity) == (OrderStatus.CANCELLED, D(0))
    assert done.cancel_reason == "Fill or kill: not all of it could be filled at once"


async def test_fill_or_kill_when_the_size_is_there_then_all_of_it_is_filled(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.MARKET, "20", time_in_force=TimeInForce.FOK)
    await floor.quote("100.00", size="20")
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_good_till_date_when_its_end_comes_then_it_expires_also_while_it_waits(services: Services) -> None:
    floor = await Floor.open(services)
    end = services.clock.now() + timedelta(hours=3)
    waiting = await floor.place("BUY", OrderType.STOP, stop_price="105", time_in_force=TimeInForce.GTD, expire_at=end)
    assert await expire_due(services) == 0
    services.clock.advance(hours=3)  # type: ignore[attr-defined]  # reason: the fixture's clock is moved by hand
    assert await expire_due(services) == 1
    assert (await floor.now(waiting)).status is OrderStatus.EXPIRED
    assert (await floor.trader.portfolio()).reserved_cash == 0


@pytest.mark.parametrize(
    ("kind", "given", "fields"),
    [
        (OrderType.STOP, {}, ["stopPrice"]),
        (OrderType.STOP, {"stop_price": "105", "limit_price": "106"}, ["limitPrice"]),
        (OrderType.STOP_LIMIT, {}, ["limitPrice", "stopPrice"]),
        (OrderType.TRAILING_STOP, {}, ["trailAmount"]),
        (OrderType.TRAILING_STOP, {"trail_amount": "5", "trail_percent": "5"}, ["trailAmount"]),
        (OrderType.TRAILING_STOP, {"trail_percent": "100"}, ["trailPercent"]),
        (
            OrderType.MARKET,
            {"stop_price": "1", "trail_amount": "1", "trail_percent": "1"},
            ["stopPrice", "trailAmount", "trailPercent"],
        ),
        (OrderType.STOP, {"stop_price": "105.001"}, ["stopPrice"]),
        (OrderType.MARKET, {"time_in_force": TimeInForce.GTD}, ["expireAt"]),
    ],
)
async def test_place_order_when_its_prices_do_not_fit_its_type_then_each_field_is_named(
    services: Services, kind: OrderType, given: dict[str, Any], fields: list[str]
) -> None:
    floor = await Floor.open(services)
    with pytest.raises(Refused) as refused:
        await floor.place("BUY", kind, **given)
    assert [fault.path for fault in refused.value.faults] == [("input", field) for field in fields]
    assert {fault.code for fault in refused.value.faults} == {ErrorCode.INVALID_INPUT}


async def test_stop_when_it_is_immediate_or_cancel_then_it_waits_and_the_match_comes_with_its_trigger(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105", time_in_force=TimeInForce.IOC)
    limited = await floor.place(
        "BUY", OrderType.STOP_LIMIT, stop_price="105", limit_price="104", time_in_force=TimeInForce.IOC
    )
    for last in ("101.00", "104.00"):
        await floor.quote(last)
    assert [(await floor.now(each)).status for each in (order, limited)] == [OrderStatus.PENDING] * 2
    await floor.quote("105.00", size="4")
    done = await floor.now(order)
    assert (done.status, done.filled_quantity) == (OrderStatus.CANCELLED, D(4))
    assert (await floor.now(limited)).cancel_reason == "Immediate or cancel: nothing at its price"


@pytest.mark.parametrize(("size", "status"), [("9", OrderStatus.CANCELLED), ("10", OrderStatus.FILLED)])
async def test_stop_when_it_is_fill_or_kill_then_all_of_it_is_filled_when_triggered_or_nothing(
    services: Services, size: str, status: OrderStatus
) -> None:
    floor = await Floor.open(services)
    order = await floor.place("SELL", OrderType.STOP, stop_price="95", time_in_force=TimeInForce.FOK)
    await floor.quote("96.00", size="1")
    assert (await floor.now(order)).status is OrderStatus.PENDING
    await floor.quote("95.00", size=size)
    done = await floor.now(order)
    assert (done.status, done.filled_quantity) == (status, D(10) if size == "10" else D(0))
    story = await story_of(services, floor.trader.ctx.owner_id)
    end = ["ORDER_EXECUTED", "POSITION_OPENED", "CASH_MOVED"] if size == "10" else ["ORDER_CANCELLED"]
    assert story[-1 - len(end) :] == ["ORDER_TRIGGERED", *end]


async def test_stop_when_its_time_is_over_then_it_is_not_triggered_though_the_price_comes_before_its_expiry(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    end = clock.now() + timedelta(minutes=1)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105", time_in_force=TimeInForce.GTD, expire_at=end)
    clock.advance(minutes=1)
    await floor.quote("106.00")
    assert await floor.now(order) == order
    assert await expire_due(services) == 1
    assert (await floor.now(order)).status is OrderStatus.EXPIRED


async def test_place_order_when_a_good_till_date_order_is_asked_for_again_after_its_end_then_it_is_the_answer(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    end = clock.now() + timedelta(minutes=1)
    again: dict[str, Any] = {
        "limit_price": "90",
        "time_in_force": TimeInForce.GTD,
        "expire_at": end,
        "client_order_id": "once",
    }
    order = await floor.place("BUY", OrderType.LIMIT, **again)
    clock.advance(minutes=1)
    assert (await floor.place("BUY", OrderType.LIMIT, **again)).id == order.id
    await expire_due(services)
    assert (await floor.place("BUY", OrderType.LIMIT, **again)).status is OrderStatus.EXPIRED
    with pytest.raises(Refused) as refused:
        await floor.place("BUY", OrderType.LIMIT, **again | {"client_order_id": "twice"})
    assert [fault.message for fault in refused.value.faults] == ["`expireAt` has to be in the future."]


async def test_stop_when_it_covers_a_short_and_the_price_gaps_through_it_then_it_is_filled_at_any_price(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    await floor.trader.trade("SELL", "600", "100")
    order = await floor.place("BUY", OrderType.STOP, "600", stop_price="105")
    await floor.quote("150.00")
    done = await floor.now(order)
    assert (done.status, done.average_fill_price) == (OrderStatus.FILLED, D("150.01"))
    [position] = await floor.trader.positions()
    assert (position.quantity, position.realized_pnl) == (D(0), D(-30006))  # 600 x 50.01
    assert (await floor.trader.portfolio()).reserved_cash == 0


async def test_stops_when_several_trigger_at_one_quote_then_the_earlier_goes_first_and_who_was_there_before_them(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    first = await floor.place("BUY", OrderType.STOP, stop_price="105")
    clock.advance(milliseconds=1)
    second = await floor.place("BUY", OrderType.STOP, stop_price="104")
    clock.advance(milliseconds=1)
    at_market = await floor.place("BUY", OrderType.MARKET)
    clock.advance(milliseconds=1)
    await floor.quote("105.00", size="15")
    found = [(await floor.now(each)).filled_quantity for each in (first, second, at_market)]
    assert found == [D(5), D(0), D(10)]


async def test_stop_when_trading_is_paused_then_what_was_accepted_goes_on(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    await pause_trading(floor.trader.ctx, floor.trader.portfolio_id, "Holiday", None, reduce_only=False)
    await floor.quote("105.00")
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_execute_when_the_order_waits_for_its_trigger_then_nothing_is_written(services: Services) -> None:
    floor = await Floor.open(services)
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    before = await row_counts(services)
    assert await execute_order(services, order.id, order.version, D(1), D(105)) is None
    assert await trigger_order(services, order.id, order.version + 1) is None
    assert await trigger_order(services, services.ids.new(), 1) is None
    assert await row_counts(services) == before
