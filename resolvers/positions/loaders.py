from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from infrastructure.rows import columns, read_all, table
from models.trades import TradeSummary, TradeSummaryRow
from resolvers.context import Context

SUMMARIES = table(TradeSummaryRow)


async def summaries_by_position(ctx: Context, ids: Sequence[UUID]) -> list[TradeSummary | None]:
    """A loader's batch: the summaries of the viewer's positions, none for one that is open or not summarised yet."""
    statement = select(*columns(TradeSummaryRow, TradeSummary)).where(
        SUMMARIES.c.position_id.in_(ids), SUMMARIES.c.owner_id == ctx.owner_id
    )
    async with ctx.services.database.read() as connection:
        found = {each.position_id: each for each in await read_all(connection, TradeSummary, statement)}
    return [found.get(key) for key in ids]
