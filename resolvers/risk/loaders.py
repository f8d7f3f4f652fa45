"""Risk limits, many portfolios at a time."""

from collections import defaultdict
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from infrastructure.rows import columns, table
from models.risk import RiskLimit, RiskLimitRow
from resolvers.context import Context

LIMITS = table(RiskLimitRow)


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


async def limits_by_id(ctx: Context, ids: Sequence[UUID]) -> list[RiskLimit | None]:
    """A loader's batch: the viewer's limits."""
    statement = select(*columns(RiskLimitRow, RiskLimit)).where(LIMITS.c.id.in_(ids), LIMITS.c.owner_id == ctx.owner_id)
    async with ctx.services.database.read() as connection:
        found = {row.id: RiskLimit(*row) for row in await connection.execute(statement)}
    return [found.get(key) for key in ids]
