"""Replacing: the order changes in place, and keeps or loses its place."""

from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus, TimeInForce
from models.errors import ConflictFault, FundsFault, Refused
from resolvers.orders.commands import ReplaceOrder, replace_order
from tests.support.market import Market, Trader, row_counts
from tests.support.people import story_of

D = Decimal


async def opened(services: Services, cash: str = "100000") -> Trader:
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "199.90", "200.00")
    await market.quote("MSFT", "399.90", "400.00")
    return trader


async def test_replace_when_price_and_quantity_change_then_it_keeps_its_id_and_reserves_anew(
    services: Services,
) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    services.clock.advance(seconds=1)  # type: ignore[attr-defined]  # reason: the fixture's clock is moved by hand
    after = (await replace_order(trader.ctx, ReplaceOrder(order.id, 1, quantity=D(20), limit_price=D(195)))).value
    assert (after.id, after.version, after.status) == (order.id, 2, OrderStatus.OPEN)
    assert after.reserved_cash == D("3903.9")  # 20 x 195 x 1.001
    assert (after.placed_at, after.ranked_at) == (order.placed_at, services.clock.now())
    assert (await trader.portfolio()).reserved_cash == D("3903.9")
    assert (await story_of(services, trader.ctx.owner_id))[-1] == "ORDER_REPLACED"


async def test_replace_when_only_the_quantity_shrinks_then_it_keeps_its_place(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    services.clock.advance(seconds=1)  # type: ignore[attr-defined]  # reason: likewise
    after = (await replace_order(trader.ctx, ReplaceOrder(order.id, quantity=D(5)))).value
    assert after.ranked_at == order.ranked_at


async def test_replace_when_another_version_was_seen_then_the_order_that_stands_is_shown(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    await trader.fill(order, "4", "190")
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await replace_order(trader.ctx, ReplaceOrder(order.id, 1, quantity=D(20)))
    [fault] = refused.value.faults
    assert isinstance(fault, ConflictFault)
    assert fault.order is not None
    assert (fault.path, fault.order.version, fault.order.filled_quantity) == (("input", "expectedVersion"), 2, D(4))
    assert await row_counts(services) == before


@pytest.mark.parametrize("quantity", ["3", "4"])
async def test_replace_when_not_more_than_what_is_filled_then_it_is_refused(services: Services, quantity: str) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    await trader.fill(order, "4", "190")
    with pytest.raises(Refused) as refused:
        await replace_order(trader.ctx, ReplaceOrder(order.id, quantity=D(quantity)))
    assert [fault.path for fault in refused.value.faults] == [("input", "quantity")]


async def test_replace_when_partly_filled_then_only_the_rest_is_reserved(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    await trader.fill(order, "4", "190")
    after = (await replace_order(trader.ctx, ReplaceOrder(order.id, quantity=D(6)))).value
    assert (after.status, after.remaining_quantity, after.reserved_cash) == (
        OrderStatus.PARTIALLY_FILLED,
        D(2),
        D("380.38"),
    )


async def test_replace_when_its_own_reserve_is_needed_for_it_then_that_counts_as_free(services: Services) -> None:
    trader = await opened(services, "2000")
    order = (await trader.place("BUY", "10", limit="190")).value
    assert (await replace_order(trader.ctx, ReplaceOrder(order.id, limit_price=D("199")))).value.limit_price == D(199)
    with pytest.raises(Refused) as refused:
        await replace_order(trader.ctx, ReplaceOrder(order.id, limit_price=D("200")))
    [fault] = refused.value.faults
    assert isinstance(fault, FundsFault)
    assert (fault.required, fault.available) == (D(2002), D(2000))


async def test_replace_when_nothing_changes_then_nothing_is_written(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190")).value
    before = await row_counts(services)
    same = await replace_order(trader.ctx, ReplaceOrder(order.id, quantity=D(10), limit_price=D("190.00")))
    assert same.value == order
    assert await row_counts(services) == before


async def test_replace_when_the_order_has_ended_or_is_someone_elses_then_it_is_refused(services: Services) -> None:
    trader = await opened(services)
    order = await trader.trade("BUY", "1", "200")
    other = await Trader.with_cash(services, email="eve@example.com")
    for ctx, code in ((trader.ctx, ErrorCode.ORDER_NOT_OPEN), (other.ctx, ErrorCode.NOT_FOUND)):
        with pytest.raises(Refused) as refused:
            await replace_order(ctx, ReplaceOrder(order.id, quantity=D(2)))
        assert [fault.code for fault in refused.value.faults] == [code]


async def test_replace_when_the_time_in_force_changes_then_its_end_does(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "10", limit="190", tif=TimeInForce.DAY)).value
    assert order.expire_at is not None
    after = (await replace_order(trader.ctx, ReplaceOrder(order.id, time_in_force=TimeInForce.GTC))).value
    assert after.expire_at is None
