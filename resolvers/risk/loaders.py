"""Risk limits, many portfolios at a time."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, select

from infrastructure.cache import Kind
from infrastructure.rows import columns, table
from infrastructure.statements import Among, Statement
from models.risk import RiskLimit, RiskLimitRow
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.caching import TTL_S, cached
from resolvers.changes import PORTFOLIO
from resolvers.context import Context
from resolvers.loading import mine_by_id, mine_now_by_id

LIMITS, ALERTS = table(RiskLimitRow), table(RiskAlertRow)
_LIMITS = Statement(
    select(*columns(RiskLimitRow, RiskLimit))
    .where(Among(LIMITS.c.portfolio_id, "ids"), LIMITS.c.owner_id == bindparam("owner"))
    .order_by(LIMITS.c.kind)
)

limits_by_id = mine_by_id(RiskLimitRow, RiskLimit)
# Its event is in the log before its row is there: the handler that tells of it writes it.
alerts_by_id = mine_now_by_id(RiskAlertRow, RiskAlert)


@cached(Kind("limits of a portfolio", tuple[RiskLimit, ...], TTL_S, lambda _owner, key: [(PORTFOLIO, key)]))
async def limits_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[tuple[RiskLimit, ...]]:
    """A loader's batch: the limits of the viewer's portfolios, by kind."""
    found: dict[UUID, list[RiskLimit]] = defaultdict(list)
    for limit in [RiskLimit(*row) for row in await ctx.rows(_LIMITS, ids=ids, owner=ctx.owner_id)]:
        found[limit.portfolio_id].append(limit)
    return [tuple(found[key]) for key in ids]
