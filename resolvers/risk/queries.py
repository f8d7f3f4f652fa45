"""What can be asked of risk limits."""

from collections import defaultdict
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select

from infrastructure.cache import Kind
from infrastructure.statements import Among, Statement
from models.enums import RiskLimitKind
from models.equity import LOSSES, Figure
from models.money import divide, exact
from models.risk import RiskLimit
from models.risk_alerts import RiskAlert, RiskAlertRow
from models.scenarios import Year
from models.standing import Standing, measured
from models.valuation import market_values
from resolvers.caching import TTL_S, cached
from resolvers.changes import PORTFOLIO
from resolvers.context import Context
from resolvers.marketdata.queries import year_in
from resolvers.orders.store import IS_WORKING, ORDERS
from resolvers.paging import Listing, Page, PageArgs
from resolvers.portfolios.loaders import latest, worth_by_portfolio
from resolvers.portfolios.past import Measured, losses
from resolvers.risk.loaders import ALERTS, alerts_by_id, limits_by_id, limits_by_portfolio


def risk_limits(ctx: Context, portfolio_id: UUID) -> Awaitable[Sequence[RiskLimit]]:
    """The limits that were set for a portfolio of the viewer's."""
    return ctx.load(limits_by_portfolio, portfolio_id)


def risk_limit(ctx: Context, limit_id: UUID) -> Awaitable[RiskLimit | None]:
    """A limit of the viewer's; none for anybody else's."""
    return ctx.load_own(limits_by_id, limit_id)


@dataclass(frozen=True, slots=True)
class AlertChoice:
    """Which alerts: all, or those that were not acknowledged."""

    unacknowledged_only: bool = False


def _conditions(chosen: AlertChoice) -> Sequence[ColumnElement[bool]]:
    return [ALERTS.c.acknowledged_at.is_(None)] if chosen.unacknowledged_only else []


ALERTS_OF_PORTFOLIO = Listing(
    RiskAlertRow, RiskAlert, ("raised_at", "id"), parent="portfolio_id", descending=True, conditions=_conditions
)


def risk_alert(ctx: Context, alert_id: UUID) -> Awaitable[RiskAlert | None]:
    """An alert of the viewer's; none for anybody else's."""
    return ctx.load_own(alerts_by_id, alert_id)


def alerts_of(ctx: Context, portfolio_id: UUID, args: PageArgs, chosen: AlertChoice) -> Awaitable[Page[RiskAlert]]:
    """A page of the alerts of a portfolio of the viewer's, newest first."""
    return ALERTS_OF_PORTFOLIO.page(ctx, args, chosen, portfolio_id)


_WORKING = Statement(
    select(ORDERS.c.portfolio_id, func.count())
    .where(Among(ORDERS.c.portfolio_id, "ids"), ORDERS.c.owner_id == bindparam("owner"), IS_WORKING)
    .group_by(ORDERS.c.portfolio_id)
)


@cached(Kind("working orders of a portfolio", int, TTL_S, lambda _owner, key: [(PORTFOLIO, key)]))
async def working_counts(ctx: Context, ids: Sequence[UUID]) -> list[int]:
    """A loader's batch: how many orders are working in the viewer's portfolios."""
    found: dict[UUID, int] = dict(await ctx.rows(_WORKING, ids=ids, owner=ctx.owner_id))
    return [found.get(key, 0) for key in ids]


async def losses_of(ctx: Context, keys: Sequence[tuple[UUID, RiskLimitKind]]) -> list[Figure]:
    """A loader's batch: what limits of the viewer's portfolios on losses measure, by portfolio and kind."""
    kinds: dict[UUID, set[RiskLimitKind]] = defaultdict(set)
    for portfolio_id, kind in keys:
        kinds[portfolio_id].add(kind)
    asked = []
    for found in await ctx.load_many(worth_by_portfolio, list(kinds)):
        if found is not None:
            held = {each.symbol: each.quantity for each in found.holdings if each.quantity}
            equity, mine = found.valuation.total_value, found.portfolio
            asked.append(Measured(mine, held, equity, frozenset(kinds[mine.id])))
    async with ctx.services.database.read() as connection:
        known = await losses(connection, asked, ctx.now)
    return [known[portfolio_id][kind] if portfolio_id in known else Figure(None) for portfolio_id, kind in keys]


async def years(ctx: Context, ids: Sequence[UUID]) -> list[Year]:
    """A loader's batch: the past year's closes of what the viewer's portfolios hold, read together."""
    worths = await ctx.load_many(worth_by_portfolio, ids)
    symbols = {each.symbol for worth in worths if worth is not None for each in worth.holdings}
    async with ctx.services.database.read() as connection:
        year = await year_in(connection, symbols, ctx.now)
    return [year for _ in ids]


async def current(ctx: Context, limit: RiskLimit) -> Decimal | None:
    """What the limit measures, at the latest prices; none where it measures single orders, or can't say."""
    if limit.kind is RiskLimitKind.MAX_ORDER_NOTIONAL:
        return None
    if limit.kind is RiskLimitKind.MAX_OPEN_ORDERS:
        return measured(limit.kind, Standing(None, None, await ctx.load(working_counts, limit.portfolio_id)))
    if limit.kind in LOSSES:
        return (await ctx.load(losses_of, (limit.portfolio_id, limit.kind))).value
    worth = await ctx.load(worth_by_portfolio, limit.portfolio_id)
    if worth is None:
        return None
    worths = market_values(worth.holdings, latest(ctx, worth.holdings))
    year = None
    if limit.kind is RiskLimitKind.MAX_VALUE_AT_RISK:
        year = await ctx.load(years, limit.portfolio_id)
    return measured(limit.kind, Standing(worths, worth.valuation.total_value, 0, year=year))


@exact
def utilization(measured: Decimal | None, threshold: Decimal) -> Decimal | None:
    """How much of the limit is used, as a fraction."""
    return None if measured is None or not threshold else divide(measured, threshold)
