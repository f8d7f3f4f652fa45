"""What a position was from flat to flat: the summary of a trade."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, one_of
from models.enums import OrderSide, PositionSide
from models.money import ZERO, divide, exact
from models.orders import Fill
from models.positions import Position


@dataclass(frozen=True, slots=True)
class TradeSummary:
    """A closed position in figures.

    `quantity` is all that was opened, also in parts; prices are averages; `commission` is the position's share of its
    fills' commissions, and not in `realized_pnl`.
    """

    position_id: UUID
    portfolio_id: UUID
    owner_id: UUID
    symbol: str
    side: PositionSide
    quantity: Decimal
    entry_price: Decimal
    exit_price: Decimal
    realized_pnl: Decimal
    commission: Decimal
    opened_at: datetime
    closed_at: datetime

    @property
    def held_seconds(self) -> int:
        """For how long it was held."""
        return int((self.closed_at - self.opened_at).total_seconds())

    @property
    def return_percent(self) -> Decimal | None:
        """What was realised as a percentage of what was opened."""
        return _percent(self.realized_pnl, self.quantity, self.entry_price)


@exact
def _percent(realized: Decimal, quantity: Decimal, price: Decimal) -> Decimal | None:
    cost = quantity * price
    return divide(realized * 100, cost) if cost else None


@exact
def summarized(story: Iterable[tuple[Position, Fill]]) -> TradeSummary:
    """The summary of a closed position by its events in order: the position after each, and the fill that did it.

    A fill that crosses zero belongs to two positions; each has its share of it.
    """
    held = opened = closed = paid = got = commission = ZERO
    for position, fill in story:
        moved = position.quantity - held
        held, share = position.quantity, abs(moved)
        commission += divide(fill.commission * share, fill.quantity)
        if (moved > 0) == (position.side is PositionSide.LONG):
            opened, paid = opened + share, paid + share * fill.price
        else:
            closed, got = closed + share, got + share * fill.price
    if position.closed_at is None:
        raise ValueError(f"position {position.id} is open")
    return TradeSummary(
        position_id=position.id,
        portfolio_id=position.portfolio_id,
        owner_id=position.owner_id,
        symbol=position.symbol,
        side=position.side,
        quantity=opened,
        entry_price=divide(paid, opened),
        exit_price=divide(got, closed),
        realized_pnl=position.realized_pnl,
        commission=commission,
        opened_at=position.opened_at,
        closed_at=position.closed_at,
    )


@exact
def retold(closed: Position, fills: Iterable[Fill]) -> list[tuple[Position, Fill]]:
    """The story of a position that the last of these fills closed, by all fills of its instrument in its portfolio.

    Of the position as it was after each only the quantity is told.
    """
    held = ZERO
    story: list[tuple[Position, Fill]] = []
    ended: list[tuple[Position, Fill]] = []
    for fill in fills:
        before, held = held, held + (fill.quantity if fill.side is OrderSide.BUY else -fill.quantity)
        after = replace(closed, quantity=held), fill
        if before * held > 0:
            story.append(after)
        else:  # one position ends here, or another begins, or both
            ended = [*story, (closed, fill)]
            story = [after] if held else []
    return ended


class TradeSummaryRow(SQLModel, table=True):
    """Stored summaries, one for each closed position."""

    __tablename__ = "trade_summaries"
    __table_args__ = (one_of("side", PositionSide),)

    position_id: UUID = Field(primary_key=True, foreign_key="positions.id")
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    symbol: str = Field(foreign_key="instruments.symbol")
    side: PositionSide = Field(sa_type=Word(PositionSide))
    quantity: Decimal = Field(sa_type=Exact)
    entry_price: Decimal = Field(sa_type=Exact)
    exit_price: Decimal = Field(sa_type=Exact)
    realized_pnl: Decimal = Field(sa_type=Exact)
    commission: Decimal = Field(sa_type=Exact)
    opened_at: datetime = Field(sa_type=Moment)
    closed_at: datetime = Field(sa_type=Moment)
