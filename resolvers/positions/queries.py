"""What can be asked of positions."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement, and_, select

from infrastructure import log
from infrastructure.rows import columns
from infrastructure.statements import one_of
from models.enums import AggregateType
from models.positions import Position, PositionRow
from models.trades import TradeSummary
from resolvers.caching import Kept
from resolvers.changes import PORTFOLIO
from resolvers.context import Context
from resolvers.loading import mine_by_id
from resolvers.paging import Listing, Page, PageArgs
from resolvers.positions.loaders import summaries_by_position
from resolvers.positions.store import POSITIONS


@dataclass(frozen=True, slots=True)
class PositionChoice:
    """Which positions: open ones (the default) or closed ones, of all symbols or of these."""

    open: bool = True
    symbols: tuple[str, ...] | None = None


def _conditions(chosen: PositionChoice) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        POSITIONS.c.closed_at.is_(None) if chosen.open else POSITIONS.c.closed_at.is_not(None)
    ]
    if chosen.symbols is not None:
        found.append(one_of(POSITIONS.c.symbol, chosen.symbols))
    return found


positions_by_id = mine_by_id(PositionRow, Position, AggregateType.POSITION)

POSITIONS_OF_PORTFOLIO = Listing(
    PositionRow, Position, ("opened_at", "id"), parent="portfolio_id", conditions=_conditions, kept=Kept(PORTFOLIO)
)


def position(ctx: Context, position_id: UUID) -> Awaitable[Position | None]:
    """A position of the viewer's, open or closed; none for anybody else's."""
    return ctx.load_own(positions_by_id, position_id)


def positions_of(ctx: Context, portfolio_id: UUID, args: PageArgs, chosen: PositionChoice) -> Awaitable[Page[Position]]:
    """A page of a portfolio's positions, oldest first."""
    return POSITIONS_OF_PORTFOLIO.page(ctx, args, chosen, portfolio_id)


async def held_now(ctx: Context, portfolio_id: UUID) -> tuple[int, list[Position]]:
    """Where the log stands, and what a portfolio of the viewer's holds just then, oldest first: in one statement."""
    own = POSITIONS.c
    held = and_(own.portfolio_id == portfolio_id, own.owner_id == ctx.owner_id, own.closed_at.is_(None))
    fields = columns(PositionRow, Position)
    statement = select(log.HEAD.c.seq, *fields).select_from(log.HEAD.outerjoin(POSITIONS, held))
    async with ctx.services.database.read() as connection:
        rows = (await connection.execute(statement.order_by(own.opened_at, own.id))).all()
    return rows[0][0], [Position(*row[1:]) for row in rows if row[1] is not None]


def trade_summary(ctx: Context, parent: Position) -> Awaitable[TradeSummary | None]:
    """The summary of a position of the viewer's; none while it is open, and until its closing was dealt with."""
    return ctx.load(summaries_by_position, parent.id)
