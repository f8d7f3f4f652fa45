"""Positions: average-cost netting, one row for each cycle from flat to flat."""

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index, text
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, one_of
from models.enums import OrderSide, PositionSide
from models.money import ZERO, divide, exact
from models.orders import Fill


@dataclass(frozen=True, slots=True)
class Position:
    """One cycle of holding an instrument. `quantity` is negative when short; a closed one has none.

    The day's own figures are those of the UTC day that begins at `day_start`: what was held when it began, and the
    cash that the day's trades brought in (negative: paid), commissions apart.
    """

    id: UUID
    portfolio_id: UUID
    owner_id: UUID
    symbol: str
    side: PositionSide
    quantity: Decimal
    average_price: Decimal
    realized_pnl: Decimal
    day_start: datetime
    day_open_quantity: Decimal
    day_cash: Decimal
    opened_at: datetime
    closed_at: datetime | None
    version: int
    updated_at: datetime

    @property
    def cost_basis(self) -> Decimal:
        """What the open quantity cost at its average price; negative when short."""
        return _product(self.quantity, self.average_price)


@dataclass(frozen=True, slots=True)
class Netting:
    """What a fill did: the position it changed or closed, the one it opened, and the profit or loss it realised."""

    touched: Position | None
    opened: Position | None
    realized_pnl: Decimal


@exact
def _product(quantity: Decimal, price: Decimal) -> Decimal:
    return quantity * price


def day_of(moment: datetime) -> datetime:
    """The beginning of the UTC day."""
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


@exact
def net(position: Position | None, fill: Fill, new_id: UUID) -> Netting:
    """Book a fill against the open position of its instrument, if there is one.

    Average cost: adding moves the average (half-even to 8 places), reducing realises `(price - average) * closed`
    with the sign of the position. A fill that crosses zero closes one cycle and opens the next at its own price.
    """
    signed = fill.quantity if fill.side is OrderSide.BUY else -fill.quantity
    if position is None:
        return Netting(None, _opened(fill, signed, new_id), ZERO)
    if position.quantity * signed > 0:
        return Netting(_added(position, fill, signed), None, ZERO)
    closing = min(abs(signed), abs(position.quantity))
    reduced, realized = _reduced(position, fill, closing)
    rest = abs(signed) - closing
    opened = _opened(fill, rest if signed > 0 else -rest, new_id) if rest else None
    return Netting(reduced, opened, realized)


def _opened(fill: Fill, signed: Decimal, new_id: UUID) -> Position:
    return Position(
        id=new_id,
        portfolio_id=fill.portfolio_id,
        owner_id=fill.owner_id,
        symbol=fill.symbol,
        side=PositionSide.LONG if signed > 0 else PositionSide.SHORT,
        quantity=signed,
        average_price=fill.price,
        realized_pnl=ZERO,
        day_start=day_of(fill.executed_at),
        day_open_quantity=ZERO,
        day_cash=-signed * fill.price,
        opened_at=fill.executed_at,
        closed_at=None,
        version=1,
        updated_at=fill.executed_at,
    )


def _today(position: Position, moment: datetime) -> Position:
    """The position with its day's figures begun anew if another day has come."""
    day = day_of(moment)
    if position.day_start == day:
        return position
    return replace(position, day_start=day, day_open_quantity=position.quantity, day_cash=ZERO)


def _added(position: Position, fill: Fill, signed: Decimal) -> Position:
    today = _today(position, fill.executed_at)
    quantity = today.quantity + signed
    cost = today.quantity * today.average_price + signed * fill.price
    return replace(
        today,
        quantity=quantity,
        average_price=divide(cost, quantity),
        day_cash=today.day_cash - signed * fill.price,
        version=today.version + 1,
        updated_at=fill.executed_at,
    )


def _reduced(position: Position, fill: Fill, closing: Decimal) -> tuple[Position, Decimal]:
    today = _today(position, fill.executed_at)
    sign = 1 if today.quantity > 0 else -1
    realized = (fill.price - today.average_price) * closing * sign
    quantity = today.quantity - closing * sign
    reduced = replace(
        today,
        quantity=quantity,
        realized_pnl=today.realized_pnl + realized,
        day_cash=today.day_cash + closing * sign * fill.price,
        closed_at=None if quantity else fill.executed_at,
        version=today.version + 1,
        updated_at=fill.executed_at,
    )
    return reduced, realized


class PositionRow(SQLModel, table=True):
    """Stored positions; at most one open one for each instrument of a portfolio, closed ones are kept."""

    __tablename__ = "positions"
    __table_args__ = (
        one_of("side", PositionSide),
        Index(
            "one_open_position",
            "portfolio_id",
            "symbol",
            unique=True,
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        Index(
            "holders",
            "symbol",
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        Index("positions_by_portfolio", "portfolio_id", "opened_at", "id"),
        Index("positions_by_close", "portfolio_id", "closed_at"),
    )

    id: UUID = Field(primary_key=True)
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    symbol: str = Field(foreign_key="instruments.symbol")
    side: PositionSide = Field(sa_type=Word(PositionSide))
    quantity: Decimal = Field(sa_type=Exact)
    average_price: Decimal = Field(sa_type=Exact)
    realized_pnl: Decimal = Field(sa_type=Exact)
    day_start: datetime = Field(sa_type=Moment)
    day_open_quantity: Decimal = Field(sa_type=Exact)
    day_cash: Decimal = Field(sa_type=Exact)
    opened_at: datetime = Field(sa_type=Moment)
    closed_at: datetime | None = Field(default=None, sa_type=Moment)
    version: int
    updated_at: datetime = Field(sa_type=Moment)
