"""Cancelling all, and closing positions."""

from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderSide, OrderStatus, OrderType, TimeInForce
from models.errors import ConflictFault, FundsFault, Refused
from resolvers.orders.commands import cancel_all_orders, close_position
from resolvers.risk.commands import pause_trading
from tests.support.floor import Floor
from tests.support.market import Market, Trader, row_counts
from tests.support.people import story_of
from tests.support.rebuild import verify

D = Decimal


async def opened(services: Services, cash: str = "100000") -> Trader:
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "199.90", "200.00")
    await market.quote("MSFT", "399.90", "400.00")
    return trader


async def test_cancel_all_when_of_one_instrument_then_the_others_work_on(services: Services) -> None:
    trader = await opened(services)
    for symbol in ("AAPL", "MSFT", "AAPL"):
        await trader.place("BUY", "1", symbol, "100")
    done = await cancel_all_orders(trader.ctx, trader.portfolio_id, "AAPL")
    assert [(order.symbol, order.status) for order in done.value] == [("AAPL", OrderStatus.CANCELLED)] * 2
    assert (await trader.portfolio()).reserved_cash == D("100.1")
    assert len((await cancel_all_orders(trader.ctx, trader.portfolio_id)).value) == 1
    assert (await trader.portfolio()).reserved_cash == 0


async def test_close_position_when_long_or_short_then_the_order_goes_against_it(services: Services) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "3", "400", "MSFT")
    positions = {position.symbol: position for position in await trader.positions()}
    whole = (await close_position(trader.ctx, positions["AAPL"].id)).value
    part = (await close_position(trader.ctx, positions["MSFT"].id, D(2))).value
    assert (whole.side, whole.quantity, whole.type) == (OrderSide.SELL, D(10), "MARKET")
    assert (part.side, part.quantity) == (OrderSide.BUY, D(2))


async def test_close_position_when_asked_again_with_its_key_then_it_is_the_same_order_also_once_closed(
    services: Services,
) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    order = (await close_position(trader.ctx, position.id, None, "close")).value
    await trader.fill(order, "10", "199.9")
    assert (await close_position(trader.ctx, position.id, None, "close")).value.id == order.id
    with pytest.raises(Refused) as refused:
        await close_position(trader.ctx, position.id)
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [
        (ErrorCode.INVALID_INPUT, ("input", "positionId"))
    ]


async def test_close_position_when_more_than_is_held_then_nothing_is_written(services: Services) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await close_position(trader.ctx, position.id, D(11))
    assert refused.value.faults[0].message == "`quantity` is 11: 10 is held."
    assert await row_counts(services) == before


async def test_close_position_when_short_then_the_broker_buys_it_back_and_the_cycle_ends(services: Services) -> None:
    floor = await Floor.open(services)
    await floor.trader.trade("SELL", "10", "100")
    [position] = await floor.trader.positions()
    order = (await close_position(floor.trader.ctx, position.id)).value
    assert (order.side, order.quantity, order.type) == (OrderSide.BUY, D(10), OrderType.MARKET)
    assert order.time_in_force is TimeInForce.DAY
    await floor.quote("98.00")
    [closed] = await floor.trader.positions()
    assert (closed.id, closed.quantity, closed.realized_pnl) == (position.id, D(0), D("19.9"))
    assert closed.closed_at == services.clock.now()
    await verify(services.database)


async def test_close_position_when_an_order_against_it_works_then_what_both_would_sell_beyond_it_is_a_short_sale(
    services: Services,
) -> None:
    trader = await opened(services, "2100")
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    await trader.place("SELL", "10", limit="210")
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await close_position(trader.ctx, position.id)
    [fault] = refused.value.faults
    assert isinstance(fault, FundsFault)
    assert (fault.required, fault.available) == (D("1001.499"), D(98))  # 10 x 199.9 x (1.5 - 0.999)
    assert await row_counts(services) == before
    await cancel_all_orders(trader.ctx, trader.portfolio_id, "AAPL")
    assert (await close_position(trader.ctx, position.id)).value.quantity == D(10)


async def test_close_position_when_only_reducing_is_let_through_then_it_is_but_not_twice(services: Services) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    await pause_trading(trader.ctx, trader.portfolio_id, "Careful", None, reduce_only=True)
    await close_position(trader.ctx, position.id, D(6))
    with pytest.raises(Refused) as refused:
        await close_position(trader.ctx, position.id, D(5))
    assert [fault.code for fault in refused.value.faults] == [ErrorCode.TRADING_PAUSED]
    await close_position(trader.ctx, position.id, D(4))


async def test_close_position_when_the_key_was_used_for_something_else_then_it_is_a_conflict(
    services: Services,
) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    order = (await close_position(trader.ctx, position.id, D(4), "close")).value
    before = await row_counts(services)
    for quantity in (None, D(5)):
        with pytest.raises(Refused) as refused:
            await close_position(trader.ctx, position.id, quantity, "close")
        [fault] = refused.value.faults
        assert isinstance(fault, ConflictFault)
        assert fault.order is not None
        assert fault.order.id == order.id
    assert await row_counts(services) == before


async def test_close_position_when_it_is_someone_elses_then_it_is_not_there(services: Services) -> None:
    trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    [position] = await trader.positions()
    eve = await Trader.with_cash(services, email="eve@example.com")
    messages = set()
    for position_id in (position.id, services.ids.new()):
        with pytest.raises(Refused) as refused:
            await close_position(eve.ctx, position_id)
        messages.add(refused.value.faults)
    [[fault]] = messages
    assert (fault.code, fault.path) == (ErrorCode.NOT_FOUND, ("input", "positionId"))


async def test_cancel_all_when_trading_is_paused_then_stops_too_are_cancelled(services: Services) -> None:
    floor = await Floor.open(services)
    await floor.place("BUY", OrderType.STOP, stop_price="105")
    await floor.place("SELL", OrderType.TRAILING_STOP, trail_percent="5")
    await floor.place("BUY", OrderType.LIMIT, limit_price="90")
    trader = floor.trader
    await pause_trading(trader.ctx, trader.portfolio_id, "Holiday", None, reduce_only=False)
    done = await cancel_all_orders(trader.ctx, trader.portfolio_id)
    assert [order.status for order in done.value] == [OrderStatus.CANCELLED] * 3
    assert (await trader.portfolio()).reserved_cash == 0
    assert (await story_of(services, trader.ctx.owner_id))[-3:] == ["ORDER_CANCELLED"] * 3
    before = await row_counts(services)
    assert (await cancel_all_orders(trader.ctx, trader.portfolio_id)).value == []
    assert await row_counts(services) == before
    await verify(services.database)


async def test_cancel_all_when_the_portfolio_is_someone_elses_then_it_is_not_there(services: Services) -> None:
    trader = await opened(services)
    order = (await trader.place("BUY", "1", limit="100")).value
    eve = await Trader.with_cash(services, email="eve@example.com")
    with pytest.raises(Refused) as refused:
        await cancel_all_orders(eve.ctx, trader.portfolio_id)
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [
        (ErrorCode.NOT_FOUND, ("input", "portfolioId"))
    ]
    assert (await cancel_all_orders(trader.ctx, trader.portfolio_id)).value[0].id == order.id
