"""Cancelling: always let through, exactly once, and never what is filled."""

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, EventType, OrderStatus
from models.errors import Fault, Refused, Unauthenticated, invalid
from models.money import ZERO
from resolvers.orders.commands import cancel_order, drop_order, execute_order
from resolvers.risk.commands import pause_trading
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts
from tests.support.people import anonymous

MISSING = Fault(ErrorCode.NOT_FOUND, "No such order.", ("input", "orderId"))


async def opened(services: Services) -> Trader:
    await Market.open(services)
    return await Trader.with_cash(services)


async def test_cancel_when_nothing_is_filled_then_all_its_reserve_is_free_again(
    services: Services, clock: ManualClock
) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    kept = (await trader.place("BUY", "1", limit="150")).value
    now = clock.advance(seconds=1)
    done = await cancel_order(trader.ctx, order.id)
    assert (done.value.status, done.value.version) == (OrderStatus.CANCELLED, 2)
    assert done.value.cancel_reason == "Cancelled by the caller"
    assert (done.value.closed_at, done.value.updated_at) == (now, now)
    assert done.value.reserved_cash == ZERO
    assert (await trader.portfolio()).reserved_cash == kept.reserved_cash == D("150.15")
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.type, event.version) == (done.position, EventType.ORDER_CANCELLED, 2)
    assert (event.actor_id, event.occurred_at) == (trader.ctx.owner_id, now)
    assert event.data["order"]["status"] == "CANCELLED"


async def test_cancel_when_a_part_is_filled_then_the_part_stays_filled(services: Services) -> None:
    trader = await opened(services)
    order = await trader.fill((await trader.place("BUY", "10", limit="200")).value, "4", "199")
    ended = (await cancel_order(trader.ctx, order.id, "changed my mind")).value
    assert (ended.status, ended.version, ended.cancel_reason) == (OrderStatus.CANCELLED, 3, "changed my mind")
    assert (ended.filled_quantity, ended.average_fill_price) == (D(4), D(199))
    portfolio = await trader.portfolio()
    assert (portfolio.reserved_cash, portfolio.cash) == (ZERO, D("99203.204"))  # 100000 - 796 - 0.796
    [position] = await trader.positions()
    assert position.quantity == D(4)


@pytest.mark.parametrize("end", ["filled", "cancelled"])
async def test_cancel_when_the_order_has_ended_then_it_is_not_open_and_nothing_is_written(
    services: Services, end: str
) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    if end == "filled":
        await trader.fill(order, "10", "200")
    else:
        await cancel_order(trader.ctx, order.id)
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await cancel_order(trader.ctx, order.id)
    assert refused.value.faults == (
        Fault(ErrorCode.ORDER_NOT_OPEN, f"The order is {end.upper()}.", ("input", "orderId")),
    )
    assert await row_counts(services) == before


async def test_cancel_when_trading_is_paused_then_it_passes(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    await pause_trading(trader.ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    assert (await cancel_order(trader.ctx, order.id)).value.status is OrderStatus.CANCELLED


async def test_cancel_when_the_order_is_someone_elses_then_it_answers_as_for_a_missing_one(services: Services) -> None:
    ada = await opened(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    order = (await ada.place("BUY", "10", limit="200")).value
    before = await row_counts(services)
    for order_id in (order.id, services.ids.new()):
        with pytest.raises(Refused) as refused:
            await cancel_order(bob.ctx, order_id)
        assert refused.value.faults == (MISSING,)
    with pytest.raises(Unauthenticated):
        await cancel_order(anonymous(services), order.id)
    assert await row_counts(services) == before


@pytest.mark.parametrize("reason", ["", "  ", "x" * 501, "a\0b", "\ud800"])
async def test_cancel_when_the_reason_can_not_be_kept_then_it_is_refused(services: Services, reason: str) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await cancel_order(trader.ctx, order.id, reason)
    assert refused.value.faults == (invalid("`reason` has to be 1 to 500 printable characters.", "reason"),)
    assert await row_counts(services) == before


async def test_cancel_when_a_fill_was_booked_first_then_the_fill_wins(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    await trader.fill(order, "10", "200")
    with pytest.raises(Refused):
        await cancel_order(trader.ctx, order.id)
    [position] = await trader.positions()
    assert position.quantity == D(10)


async def test_fill_when_the_cancel_was_booked_first_then_nothing_is_written(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    await cancel_order(trader.ctx, order.id)
    before = await row_counts(services)
    for version in (1, 2):
        assert await execute_order(services, order.id, version, D(10), D(200)) is None
    assert await row_counts(services) == before


async def test_drop_when_the_order_works_then_the_system_cancels_it_and_when_it_has_ended_nothing_is_written(
    services: Services,
) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    assert await drop_order(services, order.id, 2, "no match") is None
    dropped = await drop_order(services, order.id, 1, "no match")
    assert dropped is not None
    assert (dropped.status, dropped.cancel_reason, dropped.version) == (OrderStatus.CANCELLED, "no match", 2)
    assert (await whole_log(services.database))[-1].actor_id is None
    before = await row_counts(services)
    assert await drop_order(services, order.id, 2, "no match") is None
    assert await drop_order(services, services.ids.new(), 1, "no match") is None
    assert await row_counts(services) == before
