"""The limit on value at risk, on orders that are placed: from the daily candles of a year."""

from datetime import timedelta

import pytest

from infrastructure.candle_store import store_candles
from infrastructure.services import Services
from models.candles import first_of, opening
from models.enums import CandleInterval, RiskCheckKind, RiskLimitKind
from models.errors import Refused, RiskFault
from resolvers.orders.queries import preview_order
from resolvers.portfolios.store import lock
from resolvers.risk.commands import set_risk_limit
from resolvers.risk.figures import figures
from resolvers.risk.queries import current, risk_limits, years
from tests.support.market import D, Market, Trader, row_counts, statements

DAY = CandleInterval.ONE_DAY
VAR = RiskLimitKind.MAX_VALUE_AT_RISK


async def candles(services: Services, symbol: str, step: int, days: int = 101) -> None:
    """Closes that fall by `step` of a hundred on every tenth day, and come back on the next."""
    today = opening(DAY, services.clock.now())
    made = [
        first_of(symbol, DAY, today - timedelta(days=ago), D(100 - step if ago % 10 == 5 else 100))
        for ago in range(1, days + 1)
    ]
    async with services.database.write() as tx:
        # A year and a day ago, and today's: neither counts.
        made += [first_of(symbol, DAY, today - timedelta(days=ago), D(1)) for ago in (367, 0)]
        await store_candles(tx, made)


async def opened(services: Services) -> tuple[Market, Trader]:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    for symbol, step in (("AAPL", 5), ("KO", 2)):
        await market.quote(symbol, "99.99", "100", last="100")
        await candles(services, symbol, step)
    return market, trader


async def measured(trader: Trader) -> object:
    """What the database says, which is what is shown."""
    services = trader.ctx.services
    async with services.database.write() as tx:
        portfolio = await lock(tx, trader.portfolio_id, None)
        assert portfolio is not None
        [(limit, value)] = await figures(tx, portfolio, services.clock.now())
    trader.ctx.renew()
    assert await current(trader.ctx, limit) == value
    return value


async def test_order_when_value_at_risk_is_at_its_limit_then_a_preview_says_how_much_passes_and_a_lot_more_does_not(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "50", "100", "KO")
    await set_risk_limit(trader.ctx, trader.portfolio_id, VAR, D(300))
    # Ten days of a hundred lost 5% and 2%: so did the fifth worst.
    assert await measured(trader) == D(100)
    preview = await preview_order(trader.ctx, trader.request("BUY", "100", limit="100"))
    assert preview.largest_acceptable_quantity == D(40)
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "41", limit="100")
    assert await row_counts(services) == before
    [fault] = refused.value.faults
    assert isinstance(fault, RiskFault)
    [check] = [check for check in fault.checks if not check.passed]
    assert (check.kind, check.projected, check.threshold) == (RiskCheckKind.MAX_VALUE_AT_RISK, D(305), D(300))
    await trader.place("BUY", "40", limit="100")
    with pytest.raises(Refused):
        await trader.place("BUY", "1", "KO", "100")  # what works counts as filled
    await trader.place("SELL", "50", "KO", "100")
    assert await measured(trader) == D(100)  # nothing is filled yet


async def test_order_when_a_hedge_works_that_is_never_filled_then_no_more_passes_than_without_it(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, VAR, D(300))
    await trader.place("SELL", "30", "KO", "150")
    preview = await preview_order(trader.ctx, trader.request("BUY", "200", limit="100"))
    assert preview.largest_acceptable_quantity == D(60)
    await trader.place("BUY", "60", limit="100")
    before = await row_counts(services)
    with pytest.raises(Refused):
        await trader.place("BUY", "1", limit="100")
    assert await row_counts(services) == before


async def test_order_when_its_instrument_has_no_year_then_value_at_risk_can_not_be_said_and_only_reducing_passes(
    services: Services,
) -> None:
    market, trader = await opened(services)
    await market.quote("MSFT", "99.99", "100", last="100")
    await candles(services, "MSFT", 1, days=50)
    await trader.trade("BUY", "5", "100", "MSFT")
    await set_risk_limit(trader.ctx, trader.portfolio_id, VAR, D(100_000))
    assert await measured(trader) is None
    for symbol in ("MSFT", "AAPL"):
        with pytest.raises(Refused) as refused:
            await trader.place("BUY", "1", symbol, "100")
        assert "49 days of the past year have prices of all positions: 60 are needed." in str(refused.value)
    await trader.place("SELL", "5", "MSFT", "100")


async def test_value_at_risk_when_it_is_looked_at_then_the_closes_are_one_statement_and_none_without_the_limit(
    services: Services,
) -> None:
    _, trader = await opened(services)
    counts = []
    for limited in (False, True):
        if limited:
            await set_risk_limit(trader.ctx, trader.portfolio_id, VAR, D(100_000))
        with statements(services) as seen:
            await trader.place("BUY", "1", limit="100")
        counts.append(len([each for each in seen if "candles" in each]))
    assert counts == [0, 1]
    [limit] = await risk_limits(trader.ctx, trader.portfolio_id)
    with statements(services) as seen:
        await trader.ctx.load_many(years, [limit.portfolio_id] * 2)
    assert len([each for each in seen if "candles" in each]) == 1
