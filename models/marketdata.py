"""Instruments and their latest quotes."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, more_than_zero, one_of
from models.enums import AssetClass, OrderSide
from models.money import ZERO, divide, exact


@dataclass(frozen=True, slots=True)
class Instrument:
    """What can be traded. Prices are multiples of `tick_size`, quantities of `lot_size`."""

    symbol: str
    name: str
    asset_class: AssetClass
    currency: str
    tick_size: Decimal
    lot_size: Decimal
    multiplier: Decimal
    tradable: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """The best bid and ask with their sizes, the last trade, and the day so far."""

    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    last: Decimal
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    previous_close: Decimal | None
    volume: Decimal
    as_of: datetime

    @property
    def change(self) -> Decimal | None:
        """Last less the previous close."""
        return None if self.previous_close is None else self.last - self.previous_close

    @property
    def change_percent(self) -> Decimal | None:
        """The change as a percentage of the previous close (5 is 5%)."""
        return _percent(self.last, self.previous_close)

    def touch(self, side: OrderSide) -> Decimal:
        """What a market order of that side trades at: a buy at the ask, a sale at the bid."""
        return self.ask if side is OrderSide.BUY else self.bid

    def age(self, now: datetime) -> timedelta:
        """How old it is; never negative."""
        return max(now - self.as_of, timedelta(0))


@exact
def _percent(last: Decimal, previous: Decimal | None) -> Decimal | None:
    if previous is None or previous == ZERO:
        return None
    return divide((last - previous) * 100, previous)


class InstrumentRow(SQLModel, table=True):
    """The stored catalogue."""

    __tablename__ = "instruments"
    __table_args__ = (one_of("asset_class", AssetClass), more_than_zero("tick_size"), more_than_zero("lot_size"))

    symbol: str = Field(primary_key=True)
    name: str
    asset_class: AssetClass = Field(sa_type=Word(AssetClass))
    currency: str
    tick_size: Decimal = Field(sa_type=Exact)
    lot_size: Decimal = Field(sa_type=Exact)
    multiplier: Decimal = Field(sa_type=Exact)
    tradable: bool


class QuoteRow(SQLModel, table=True):
    """The latest quote of each instrument. Ticks are not events: the latest wins, and nothing else is kept."""

    __tablename__ = "quotes"
    __table_args__ = (more_than_zero("bid"), more_than_zero("ask"), more_than_zero("last"))

    symbol: str = Field(primary_key=True, foreign_key="instruments.symbol")
    bid: Decimal = Field(sa_type=Exact)
    bid_size: Decimal = Field(sa_type=Exact)
    ask: Decimal = Field(sa_type=Exact)
    ask_size: Decimal = Field(sa_type=Exact)
    last: Decimal = Field(sa_type=Exact)
    open: Decimal | None = Field(default=None, sa_type=Exact)
    high: Decimal | None = Field(default=None, sa_type=Exact)
    low: Decimal | None = Field(default=None, sa_type=Exact)
    previous_close: Decimal | None = Field(default=None, sa_type=Exact)
    volume: Decimal = Field(sa_type=Exact)
    as_of: datetime = Field(sa_type=Moment)


class LeaseRow(SQLModel, table=True):
    """Who alone may do a job (run the feed, match orders), and until when."""

    __tablename__ = "leases"

    name: str = Field(primary_key=True)
    holder: str
    expires_at: datetime = Field(sa_type=Moment)
