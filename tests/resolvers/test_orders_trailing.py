"""Trailing stops: where they stand is kept, whoever runs the broker, and never moves against their owner."""

from dataclasses import replace
from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, EventType, OrderStatus, OrderType
from models.errors import Refused
from models.orders import Order
from resolvers.orders.commands import ReplaceOrder, move_stops, replace_order
from tests.support.clock import ManualClock
from tests.support.floor import Floor
from tests.support.log_race import whole_log
from tests.support.market import row_counts
from tests.support.rebuild import verify

D = Decimal


async def trailing(floor: Floor, side: str = "SELL", **distance: str) -> Order:
    """Ten, five away if not said otherwise."""
    return await floor.place(side, OrderType.TRAILING_STOP, **(distance or {"trail_amount": "5"}))


def stands(order: Order) -> tuple[Decimal | None, Decimal | None]:
    """Its mark and its stop."""
    return order.high_water_mark, order.stop_price


async def test_trailing_stop_when_the_broker_starts_anew_then_it_stands_where_it_stood(services: Services) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    await floor.quote("110.00")
    floor.broker = floor.another()
    await floor.quote("106.00")
    assert stands(await floor.now(order)) == (D(110), D(105))
    await floor.quote("105.00")
    assert (await floor.now(order)).status is OrderStatus.FILLED
    await verify(services.database)


async def test_trailing_stop_when_another_process_takes_over_then_it_does_not_fall_back_to_what_the_log_says(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    leading = False
    standby = floor.another(lambda: leading)
    await standby.load()
    await floor.quote("110.00")
    leading = True
    await standby.on_quotes([await floor.unheard("106.00")])
    assert stands(await floor.now(order)) == (D(110), D(105))
    await standby.on_quotes([await floor.unheard("104.90")])
    assert (await floor.now(order)).status is OrderStatus.FILLED


async def test_trailing_stop_when_another_process_leads_in_between_then_it_does_not_fall_back_to_what_was_known(
    services: Services,
) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    terms = {"here": 1, "there": 0}
    here, there = floor.another(lambda: terms["here"]), floor.another(lambda: terms["there"])
    await here.on_quotes([await floor.unheard("101.00")])
    # Held up, and so not told that another leads, nor that it does no longer.
    terms.update(here=0, there=1)
    await there.on_quotes([await floor.unheard("110.00")])
    assert stands(await floor.now(order)) == (D(110), D(105))
    terms.update(here=2, there=0)
    await here.on_quotes([await floor.unheard("106.00")])
    assert stands(await floor.now(order)) == (D(110), D(105))
    await here.on_quotes([await floor.unheard("104.00")])
    assert (await floor.now(order)).status is OrderStatus.FILLED
    await verify(services.database)


@pytest.mark.parametrize("side", ["SELL", "BUY"])
async def test_move_stops_when_one_stands_better_already_then_it_never_moves_against_its_owner(
    services: Services, side: str
) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor, side)
    away, toward = (D(1), D(-1)) if side == "SELL" else (D(-1), D(1))

    def at(step: Decimal) -> Order:
        mark, stop = order.high_water_mark, order.stop_price
        assert mark is not None
        assert stop is not None
        return replace(order, high_water_mark=mark + step, stop_price=stop + step)

    assert await move_stops(services, [at(away)]) is True
    for worse in (at(toward), order, at(away)):
        assert await move_stops(services, [worse]) is False
    assert await floor.now(order) == at(away)
    # As numbers, not as text: 99 is less than 101.
    assert await move_stops(services, [at(away * 9)]) is True
    assert await floor.now(order) == at(away * 9)


async def test_trailing_stop_when_replaced_while_the_price_moves_then_the_move_is_not_lost(services: Services) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    await floor.broker.load()
    # The broker still has the first version when it hears of 110.
    await replace_order(floor.trader.ctx, ReplaceOrder(order.id, quantity=D(8)))
    await floor.broker.on_quotes([await floor.unheard("110.00")])
    after = await floor.now(order)
    assert (stands(after), after.version) == ((D(110), D(105)), 2)


async def test_trailing_stop_when_it_moves_then_no_event_tells_and_its_version_stays(services: Services) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor, trail_percent="10")
    before = await row_counts(services)
    for last in ("101.00", "110.05", "104.00"):
        await floor.quote(last)
    assert await row_counts(services) == before
    after = await floor.now(order)
    assert (stands(after), after.version) == ((D("110.05"), D("99.04")), 1)  # 99.045, half-even
    await verify(services.database)


async def test_trailing_stop_when_it_triggers_then_the_event_says_where_it_stood(services: Services) -> None:
    floor = await Floor.open(services)
    await trailing(floor, "BUY")
    await floor.quote("90.00")
    await floor.quote("96.00")
    [event] = [each for each in await whole_log(services.database) if each.type is EventType.ORDER_TRIGGERED]
    shown = event.data["order"]
    assert (shown["highWaterMark"], shown["stopPrice"], shown["status"]) == ("90", "95", "OPEN")
    await verify(services.database)


async def test_move_stops_when_the_order_has_changed_since_then_it_is_left_alone(services: Services) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    after = (await replace_order(floor.trader.ctx, ReplaceOrder(order.id, trail_amount=D(3)))).value
    assert await move_stops(services, [order]) is False
    assert await floor.now(order) == after


async def test_replace_when_it_trails_then_it_hangs_from_the_best_price_so_far(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    order = await trailing(floor)
    await floor.quote("110.00")
    clock.advance(seconds=1)
    await floor.quote("108.00")
    nearer = (await replace_order(floor.trader.ctx, ReplaceOrder(order.id, trail_amount=D(4)))).value
    assert (stands(nearer), nearer.trail_percent, nearer.version) == ((D(110), D(106)), None, 2)
    by_percent = (await replace_order(floor.trader.ctx, ReplaceOrder(order.id, trail_percent=D(10)))).value
    assert (stands(by_percent), by_percent.trail_amount) == ((D(110), D(99)), None)
    assert (await replace_order(floor.trader.ctx, ReplaceOrder(order.id, trail_percent=D(10)))).value == by_percent
    await floor.quote("99.00")
    assert (await floor.now(order)).status is OrderStatus.FILLED
    await verify(services.database)


@pytest.mark.parametrize(
    ("given", "field", "stop"),
    [({"trail_amount": "100"}, "trailAmount", "0"), ({"trail_amount": "120"}, "trailAmount", "-20")],
)
async def test_trailing_stop_when_its_stop_would_not_be_a_price_then_it_is_refused(
    services: Services, given: dict[str, str], field: str, stop: str
) -> None:
    floor = await Floor.open(services)
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await trailing(floor, **given)
    [fault] = refused.value.faults
    assert (fault.code, fault.path) == (ErrorCode.INVALID_INPUT, ("input", field))
    assert fault.message == f"The stop would be at {stop}: it has to be above 0."
    assert await row_counts(services) == before


async def test_trailing_stop_when_there_is_no_fresh_quote_then_it_has_nothing_to_hang_from(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(services)
    clock.advance(seconds=6)
    with pytest.raises(Refused) as refused:
        await trailing(floor)
    [fault] = refused.value.faults
    assert fault.code is ErrorCode.INSTRUMENT_NOT_TRADABLE
    assert fault.message == "The quote of AAPL is 6 s old: a TRAILING_STOP order can't be priced."
