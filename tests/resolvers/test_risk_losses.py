"""Limits on losses, on orders that are placed, over days that pass: from the ledger, the fills and daily candles."""

from datetime import timedelta
from decimal import Decimal

import pytest

from infrastructure.candle_store import daily_closes, store_candles
from infrastructure.services import Services
from models.candles import first_of, opening
from models.enums import CandleInterval, ErrorCode, RiskLimitKind
from models.equity import LOSSES
from models.errors import Refused, RiskFault
from models.risk import RiskCheck
from resolvers.orders.queries import preview_order
from resolvers.portfolios.commands import deposit_cash, withdraw_cash
from resolvers.portfolios.store import lock
from resolvers.risk.commands import set_risk_limit
from resolvers.risk.figures import figures
from resolvers.risk.queries import current, losses_of, risk_limits
from tests.support.clock import START, ManualClock
from tests.support.market import D, Market, Trader, row_counts, statements

Kind = RiskLimitKind
DAY = CandleInterval.ONE_DAY


async def closed(services: Services, days_ago: int, price: str, symbol: str = "AAPL") -> None:
    """A day's candle that ended so many midnights ago; 0 is the last one."""
    opened_at = opening(DAY, services.clock.now()) - timedelta(days=days_ago + 1)
    async with services.database.write() as tx:
        await store_candles(tx, [first_of(symbol, DAY, opened_at, D(price))])


async def opened(services: Services, clock: ManualClock) -> tuple[Market, Trader]:
    """A portfolio of 10,000 that bought 50 at 100 on Monday; it is Thursday, and they are quoted at 90."""
    market, trader = await Market.open(services), await Trader.with_cash(services, "10000")
    await market.quote("AAPL", "99.99", "100", last="100")
    await trader.trade("BUY", "50", "100")  # and 5 of commission
    clock.advance(days=3)
    for days_ago, price in ((2, "110"), (1, "95"), (0, "94")):
        await closed(services, days_ago, price)
    await market.quote("AAPL", "90", "90.01", last="90")
    return market, trader


async def shown(trader: Trader) -> dict[Kind, Decimal | None]:
    trader.ctx.renew()
    limits = await risk_limits(trader.ctx, trader.portfolio_id)
    return {limit.kind: await current(trader.ctx, limit) for limit in limits}


async def measured(trader: Trader) -> dict[Kind, Decimal | None]:
    """What the database says, which is what is shown."""
    services = trader.ctx.services
    async with services.database.write() as tx:
        portfolio = await lock(tx, trader.portfolio_id, None)
        assert portfolio is not None
        found = {limit.kind: value for limit, value in await figures(tx, portfolio, services.clock.now())}
    assert await shown(trader) == found
    return found


async def refused(trader: Trader, side: str, quantity: str) -> RiskCheck:
    """The one check that refuses the order; nothing is written."""
    before = await row_counts(trader.ctx.services)
    with pytest.raises(Refused) as refusal:
        await trader.place(side, quantity, limit="90")
    assert await row_counts(trader.ctx.services) == before
    [fault] = refusal.value.faults
    assert isinstance(fault, RiskFault)
    assert fault.code is ErrorCode.RISK_LIMIT_EXCEEDED
    [check] = [check for check in fault.checks if not check.passed]
    return check


async def limit_all(trader: Trader) -> None:
    """So much that nothing is refused."""
    for kind in LOSSES:
        threshold = D(1) if kind is Kind.MAX_DRAWDOWN else D(100_000)
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, threshold)


async def test_losses_when_days_have_passed_then_each_is_since_its_period_began(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services, clock)
    await limit_all(trader)
    # 4,995 and 50 at 94 when the day began, at 90 now; nothing before Monday. The best was 4,995 + 5,500 on Tuesday.
    assert await measured(trader) == {
        Kind.MAX_DAILY_LOSS: D(200),
        Kind.MAX_WEEKLY_LOSS: D(505),
        Kind.MAX_MONTHLY_LOSS: D(505),
        Kind.MAX_DRAWDOWN: D("0.09528347"),
    }


async def test_losses_when_money_comes_goes_and_is_traded_today_then_only_what_was_lost_counts(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services, clock)
    await limit_all(trader)
    await deposit_cash(trader.ctx, trader.portfolio_id, D(3000))
    await withdraw_cash(trader.ctx, trader.portfolio_id, D(500))
    await trader.trade("SELL", "30", "90")  # 2.7 of commission
    found = await measured(trader)
    assert found[Kind.MAX_DAILY_LOSS] == D("202.7")
    assert found[Kind.MAX_WEEKLY_LOSS] == D("507.7")


@pytest.mark.parametrize(
    ("kind", "seen"),
    [(Kind.MAX_DAILY_LOSS, "200"), (Kind.MAX_MONTHLY_LOSS, "505"), (Kind.MAX_DRAWDOWN, "0.09528347")],
)
async def test_order_when_as_much_is_lost_as_the_limit_says_then_only_what_reduces_is_accepted(
    services: Services, clock: ManualClock, kind: Kind, seen: str
) -> None:
    _, trader = await opened(services, clock)
    await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(seen) + D("0.00000001"))
    await trader.place("BUY", "1", limit="90")
    await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(seen))
    check = await refused(trader, "BUY", "1")
    assert (check.kind.value, check.projected, check.threshold) == (kind.value, D(seen), D(seen))
    preview = await preview_order(trader.ctx, trader.request("SELL", "80", limit="90"))
    assert preview.largest_acceptable_quantity == D(50)
    await refused(trader, "SELL", "51")
    await trader.place("SELL", "50", limit="90")


async def test_order_when_something_held_had_no_price_then_the_loss_can_not_be_said_and_only_reducing_passes(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await opened(services, clock)
    await trader.trade("BUY", "1", "60", "KO")
    await market.quote("KO", "60", "60.01", last="60")
    clock.advance(days=1)
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_DAILY_LOSS, D(1000))
    check = await refused(trader, "BUY", "1")
    assert (check.projected, check.message) == (None, "KO has no close from before 2026-01-09 00:00 UTC.")
    assert await measured(trader) == {Kind.MAX_DAILY_LOSS: None}
    await trader.place("SELL", "1", limit="90")


async def test_losses_when_no_limit_is_set_then_placing_an_order_reads_nothing_for_them_and_two_statements_when_all_are(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services, clock)
    counts = []
    for limited in (False, True):
        if limited:
            await limit_all(trader)
        await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_GROSS_EXPOSURE, D(100_000))
        with statements(services) as seen:
            await trader.place("BUY", "1", limit="90")
        counts.append(len([each for each in seen if "transactions" in each or "candles" in each]))
    assert counts == [0, 2]


async def test_losses_when_many_portfolios_are_shown_then_they_are_read_together(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services, clock)
    await limit_all(trader)
    trader.ctx.renew()
    limits = await risk_limits(trader.ctx, trader.portfolio_id)
    with statements(services) as seen:
        await trader.ctx.load_many(losses_of, [(limit.portfolio_id, limit.kind) for limit in limits])
    assert len([each for each in seen if "transactions" in each]) == 1
    assert len([each for each in seen if "candles" in each]) == 1


async def test_daily_closes_when_days_are_missing_then_the_last_one_before_counts(services: Services) -> None:
    await Market.open(services)
    today = opening(DAY, START)
    opened_at = [today - timedelta(days=ago) for ago in (40, 30, 12, 1, 0)]
    async with services.database.write() as tx:
        await store_candles(tx, [first_of("AAPL", DAY, at, D(number)) for number, at in enumerate(opened_at, 1)])
        await store_candles(tx, [first_of("KO", DAY, opened_at[2], D(9))])
        await store_candles(tx, [first_of("AAPL", CandleInterval.ONE_HOUR, opened_at[2], D(99))])
    async with services.database.read() as connection:
        found = await daily_closes(connection, ["AAPL", "KO", "MSFT"], today - timedelta(days=20), START)
    ends = [at + timedelta(days=1) for at in opened_at]
    # The day that goes on has not closed.
    assert sorted(found) == [
        ("AAPL", ends[1], D(2)),
        ("AAPL", ends[2], D(3)),
        ("AAPL", ends[3], D(4)),
        ("KO", ends[2], D(9)),
    ]
