"""Risk limits, many portfolios at a time."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from infrastructure.cache import Kind
from infrastructure.rows import columns, table
from models.risk import RiskLimit, RiskLimitRow
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.caching import TTL_S, cached
from resolvers.changes import PORTFOLIO
from resolvers.context import Context
from resolvers.loading import mine_by_id

LIMITS, ALERTS = table(RiskLimitRow), table(RiskAlertRow)

limits_by_id = mine_by_id(RiskLimitRow, RiskLimit)
alerts_by_id = mine_by_id(RiskAlertRow, RiskAlert)


@cached(Kind("limits of a portfolio", list[RiskLimit], TTL_S, lambda _owner, key: [(PORTFOLIO, key)]))
async def limits_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[list[RiskLimit]]:
    """A loader's batch: the limits of the viewer's portfolios, by kind."""
    statement = (
        select(*columns(RiskLimitRow, RiskLimit))
        .where(LIMITS.c.portfolio_id.in_(ids), LIMITS.c.owner_id == ctx.owner_id)
        .order_by(LIMITS.c.kind)
    )
    found: dict[UUID, list[RiskLimit]] = defaultdict(list)
    async with ctx.services.database.read() as connection:
        for row in await connection.execute(statement):
            found[row.portfolio_id].append(RiskLimit(*row))
    return [found[key] for key in ids]
