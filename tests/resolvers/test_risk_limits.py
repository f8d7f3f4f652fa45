"""Limits of the whole book, the price collar and market hours, on orders that are placed."""

import dataclasses

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus, OrderType, RiskLimitKind, TimeInForce
from models.errors import Fault, Refused, RiskFault
from models.hours import MarketCalendar
from resolvers.orders.commands import close_position, place_order
from resolvers.orders.queries import preview_order
from resolvers.portfolios.store import lock
from resolvers.risk.commands import set_risk_limit
from resolvers.risk.figures import figures
from resolvers.risk.queries import current, risk_limits
from tests.support.clock import ManualClock
from tests.support.floor import Floor
from tests.support.market import D, Market, Trader, row_counts
from tests.support.processes import context_in

Kind = RiskLimitKind


async def opened(services: Services, cash: str = "100000") -> tuple[Market, Trader]:
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    await market.quote("KO", "59.99", "60.00", last="60")
    return market, trader


def in_new_york(services: Services) -> Services:
    """The same, where stocks are traded in New York's hours."""
    settings = services.settings.model_copy(update={"market_hours": MarketCalendar.US_EQUITIES})
    return dataclasses.replace(services, settings=settings)


async def refusal(trader: Trader, *, whole: bool = True, **given: object) -> tuple[Fault, ...]:
    """Why an order is refused; nothing is written."""
    before = await row_counts(trader.ctx.services)
    request = dataclasses.replace(trader.request("BUY", "1", limit="100"), **given)  # type: ignore[arg-type]  # reason: a test's own fields
    with pytest.raises(Refused) as refused:
        await place_order(trader.ctx, request)
    assert await row_counts(trader.ctx.services) == before
    assert len(refused.value.faults) == 1 or not whole
    return refused.value.faults


@pytest.mark.parametrize(
    ("kind", "threshold", "most", "beyond"),
    # Of 99,998.8 in all.
    [(Kind.MAX_GROSS_EXPOSURE, "5000", "33", "5100"), (Kind.MAX_LEVERAGE, "0.05", "32", "0.0500006")],
)
async def test_order_when_the_whole_book_is_at_its_limit_then_a_preview_says_how_much_passes_and_a_lot_more_does_not(
    services: Services, kind: Kind, threshold: str, most: str, beyond: str
) -> None:
    _, trader = await opened(services)
    await trader.trade("SELL", "20", "60", "KO")  # 1,200 short, and 1.2 of commission
    await trader.place("BUY", "5", limit="100")
    await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(threshold))
    request = trader.request("BUY", "50", limit="100")
    preview = await preview_order(trader.ctx, request)
    assert preview.largest_acceptable_quantity == D(most)
    [fault] = await refusal(trader, quantity=D(most) + 1)
    assert isinstance(fault, RiskFault)
    assert fault.code is ErrorCode.RISK_LIMIT_EXCEEDED
    [check] = [check for check in fault.checks if not check.passed]
    assert (check.kind.value, check.projected, check.threshold) == (kind.value, D(beyond), D(threshold))
    await place_order(trader.ctx, dataclasses.replace(request, quantity=D(most)))
    await trader.place("BUY", "20", "KO", "60")  # covers


async def test_figures_when_limits_are_set_then_they_are_measured_by_the_database_as_they_are_shown(
    services: Services,
) -> None:
    market, trader = await opened(services)
    await trader.trade("BUY", "100", "100")
    await trader.trade("SELL", "40", "60", "KO")
    await trader.place("BUY", "1", limit="1")
    for kind in Kind:
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(1))
    await market.quote("AAPL", "110", "111", last="110")
    trader.ctx.renew()
    async with services.database.write() as tx:
        portfolio = await lock(tx, trader.portfolio_id, None)
        assert portfolio is not None
        found = {limit.kind: measured for limit, measured in await figures(tx, portfolio, services.clock.now())}
    # Equity: 100000 - 10 - 2.4 + 100 x 10.
    assert found == {
        Kind.MAX_ORDER_NOTIONAL: None,
        Kind.MAX_POSITION_NOTIONAL: D(11_000),
        Kind.MAX_CONCENTRATION: D("0.10892426"),
        Kind.MAX_GROSS_EXPOSURE: D(13_400),
        Kind.MAX_LEVERAGE: D("0.13268956"),
        Kind.MAX_DAILY_LOSS: D(0),
        Kind.MAX_WEEKLY_LOSS: D(0),
        Kind.MAX_MONTHLY_LOSS: D(0),
        Kind.MAX_DRAWDOWN: D(0),
        Kind.MAX_VALUE_AT_RISK: None,
        Kind.MAX_OPEN_ORDERS: D(1),
    }
    limits = await risk_limits(trader.ctx, trader.portfolio_id)
    assert {limit.kind: await current(trader.ctx, limit) for limit in limits} == found


async def test_figures_when_a_position_has_no_price_then_only_what_needs_none_is_said(services: Services) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "1", "500", "MSFT")
    for kind in (Kind.MAX_GROSS_EXPOSURE, Kind.MAX_LEVERAGE, Kind.MAX_OPEN_ORDERS):
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(1))
    async with services.database.write() as tx:
        portfolio = await lock(tx, trader.portfolio_id, None)
        assert portfolio is not None
        found = [measured for _, measured in await figures(tx, portfolio, services.clock.now())]
    trader.ctx.renew()
    limits = await risk_limits(trader.ctx, trader.portfolio_id)
    assert found == [await current(trader.ctx, limit) for limit in limits] == [None, None, D(0)]


# --- the collar


async def test_order_when_its_limit_is_far_beyond_the_market_then_the_collar_refuses_it(services: Services) -> None:
    _, trader = await opened(services)
    [fault] = await refusal(trader, limit_price=D("150.01"))
    assert isinstance(fault, RiskFault)
    assert fault.message == "Its price is 0.5001 beyond the market, at most 0.5 is allowed."
    await trader.place("BUY", "1", limit="150")
    await trader.place("BUY", "1", limit="0.01")


# --- hours


async def test_order_when_the_market_is_closed_then_only_what_can_wait_is_accepted(
    services: Services, clock: ManualClock
) -> None:
    services = in_new_york(services)
    market, trader = await opened(services)
    trader = Trader(context_in(services, trader.ctx), trader.portfolio_id)
    await trader.trade("BUY", "5", "100")
    clock.advance(hours=6, minutes=30)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    await market.quote("BTC-USD", "90", "91", last="90")
    message = "The market is closed until 2026-01-06 14:30 UTC: the order can't wait."
    closed = (Fault(ErrorCode.MARKET_CLOSED, message, ("input",)),)
    assert await refusal(trader, type=OrderType.MARKET, limit_price=None) == closed
    for tif in (TimeInForce.IOC, TimeInForce.FOK):
        assert await refusal(trader, time_in_force=tif) == closed
    [position] = await trader.positions()
    with pytest.raises(Refused) as refused:
        await close_position(trader.ctx, position.id)
    assert refused.value.faults == closed
    await trader.place("BUY", "1", limit="100")
    stop = dataclasses.replace(
        trader.request("SELL", "5"), type=OrderType.STOP, stop_price=D(90), time_in_force=TimeInForce.IOC
    )
    await place_order(trader.ctx, stop)
    await trader.place("BUY", "0.001", "BTC-USD")
    clock.advance(hours=17, minutes=30)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    await trader.place("BUY", "1")


async def test_broker_when_the_market_is_closed_then_nothing_is_filled_triggered_or_trailed_until_it_opens(
    services: Services, clock: ManualClock
) -> None:
    floor = await Floor.open(in_new_york(services))
    await floor.trader.trade("BUY", "10", "100")
    limit = await floor.place("BUY", OrderType.LIMIT, limit_price="100")
    trailing = await floor.place("SELL", OrderType.TRAILING_STOP, trail_amount="5")
    clock.advance(hours=7)
    for last in ("130", "90", "100"):
        await floor.quote(last)
    assert [await floor.now(order) for order in (limit, trailing)] == [limit, trailing]
    clock.advance(hours=17)
    await floor.quote("94")
    assert {(await floor.now(order)).status for order in (limit, trailing)} == {OrderStatus.FILLED}
