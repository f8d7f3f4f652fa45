from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, select

from infrastructure.rows import columns, table
from infrastructure.statements import Among, Statement
from models.trades import TradeSummary, TradeSummaryRow
from resolvers.context import Context

SUMMARIES = table(TradeSummaryRow)
_SUMMARIES = Statement(
    select(*columns(TradeSummaryRow, TradeSummary)).where(
        Among(SUMMARIES.c.position_id, "ids"), SUMMARIES.c.owner_id == bindparam("owner")
    )
)


async def summaries_by_position(ctx: Context, ids: Sequence[UUID]) -> list[TradeSummary | None]:
    """A loader's batch: the summaries of the viewer's positions, none for one that is open or not summarised yet."""
    summaries = [TradeSummary(*row) for row in await ctx.rows_now(_SUMMARIES, ids=ids, owner=ctx.owner_id)]
    found = {each.position_id: each for each in summaries}
    return [found.get(key) for key in ids]
