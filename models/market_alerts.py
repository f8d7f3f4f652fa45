"""Market alerts: what they watch, when they go off, and when they may again."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, more_than_zero, one_of
from models.enums import MarketAlertKind
from models.marketdata import Quote
from models.money import divide, exact

PRICE_BAND = Decimal("0.005")
"""How far back a price has to be, as a fraction of the threshold, before its alert may go off again."""
FIGURE_BAND = Decimal("0.1")
"""The same of a move in percent and of a multiple of the usual volume."""
MINUTES, MINUTES_MIN = 20, 5
"""How many minutes say what volume is usual, and how few may."""


@dataclass(frozen=True, slots=True)
class MarketAlert:
    """Goes off when what it watches comes to its threshold, and not again before it was back (`armed`)."""

    id: UUID
    owner_id: UUID
    symbol: str
    kind: MarketAlertKind
    threshold: Decimal
    created_at: datetime
    triggered_at: datetime | None
    armed: bool
    version: int


@exact
def watched(kind: MarketAlertKind, quote: Quote, volumes: list[Decimal]) -> Decimal | None:
    """What an alert of that kind looks at; none where it can't be said.

    `volumes` are those of the last whole minutes, the oldest first.
    """
    if kind in (MarketAlertKind.PRICE_ABOVE, MarketAlertKind.PRICE_BELOW):
        return quote.last
    if kind is MarketAlertKind.PERCENT_MOVE:
        return None if quote.change_percent is None else abs(quote.change_percent)
    *before, last = volumes or [Decimal(0)]
    before = before[-MINUTES:]
    total = sum(before, Decimal(0))
    return divide(last * len(before), total) if len(before) >= MINUTES_MIN and total else None


def reached(kind: MarketAlertKind, threshold: Decimal, value: Decimal) -> bool:
    """Whether it has come to the threshold."""
    return value <= threshold if kind is MarketAlertKind.PRICE_BELOW else value >= threshold


@exact
def left(kind: MarketAlertKind, threshold: Decimal, value: Decimal) -> bool:
    """Whether it is so far back that the alert may go off again."""
    if kind is MarketAlertKind.PRICE_BELOW:
        return value > threshold * (1 + PRICE_BAND)
    band = PRICE_BAND if kind is MarketAlertKind.PRICE_ABOVE else FIGURE_BAND
    return value < threshold * (1 - band)


class MarketAlertRow(SQLModel, table=True):
    """Stored alerts."""

    __tablename__ = "market_alerts"
    __table_args__ = (
        one_of("kind", MarketAlertKind),
        more_than_zero("threshold"),
        Index("market_alerts_by_owner", "owner_id", "created_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    symbol: str = Field(foreign_key="instruments.symbol")
    kind: MarketAlertKind = Field(sa_type=Word(MarketAlertKind))
    threshold: Decimal = Field(sa_type=Exact)
    created_at: datetime = Field(sa_type=Moment)
    triggered_at: datetime | None = Field(default=None, sa_type=Moment)
    armed: bool
    version: int
