"""Candles: what a price did in a span of time."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import groupby
from typing import Final

from sqlalchemy import CheckConstraint
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, at_least_zero, more_than_zero, one_of
from models.enums import CandleInterval
from models.money import ZERO, exact

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

LENGTHS: Final = {
    CandleInterval.ONE_MINUTE: timedelta(minutes=1),
    CandleInterval.FIVE_MINUTES: timedelta(minutes=5),
    CandleInterval.ONE_HOUR: timedelta(hours=1),
    CandleInterval.ONE_DAY: timedelta(days=1),
}
"""How long a candle lasts; each is a whole number of the one before it."""


@dataclass(frozen=True, slots=True)
class Candle:
    """First, highest, lowest and last price of a span that begins at `opened_at`, and how much was traded in it.

    `low <= open, close <= high`. The span has the interval's length; in UTC it begins at a whole number of these.
    """

    symbol: str
    interval: CandleInterval
    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal

    @property
    def closes_at(self) -> datetime:
        """The first moment that is no longer in it."""
        return self.opened_at + LENGTHS[self.interval]


def opening(interval: CandleInterval, moment: datetime) -> datetime:
    """When the candle that `moment` lies in begins, in UTC. Days are UTC days."""
    return moment - (moment.astimezone(UTC) - _EPOCH) % LENGTHS[interval]


def ceiling(interval: CandleInterval, moment: datetime) -> datetime:
    """When the first candle begins that begins at `moment` or later."""
    opened_at = opening(interval, moment)
    return opened_at if opened_at == moment else opened_at + LENGTHS[interval]


def first_of(symbol: str, interval: CandleInterval, moment: datetime, price: Decimal, volume: Decimal = ZERO) -> Candle:
    """The candle that a first price at `moment` begins."""
    return Candle(symbol, interval, opening(interval, moment.astimezone(UTC)), price, price, price, price, volume)


@exact
def with_price(candle: Candle, price: Decimal, volume: Decimal = ZERO) -> Candle:
    """The candle after one more price in its span, and `volume` more traded."""
    return replace(
        candle,
        high=max(candle.high, price),
        low=min(candle.low, price),
        close=price,
        volume=candle.volume + volume,
    )


def merged(earlier: Candle, later: Candle) -> Candle:
    """One candle of two parts of the same span, the later one's prices after the earlier one's."""
    return together([earlier, later], earlier.interval)[0]


def together(candles: Iterable[Candle], interval: CandleInterval) -> list[Candle]:
    """Longer candles of shorter ones (minutes into hours, hours into days) in any order; by symbol, then by time.

    A span without a part has no candle, and one with some of its parts has what these say.
    """
    ordered = sorted(candles, key=lambda each: (each.symbol, each.opened_at))
    groups = groupby(ordered, key=lambda each: (each.symbol, opening(interval, each.opened_at)))
    return [_whole(interval, opened_at, list(parts)) for (_, opened_at), parts in groups]


@exact
def _whole(interval: CandleInterval, opened_at: datetime, parts: list[Candle]) -> Candle:
    return Candle(
        symbol=parts[0].symbol,
        interval=interval,
        opened_at=opened_at,
        open=parts[0].open,
        high=max(part.high for part in parts),
        low=min(part.low for part in parts),
        close=parts[-1].close,
        volume=sum((part.volume for part in parts), ZERO),
    )


_BOUNDS: Final = " AND ".join(
    [f"CAST(high AS NUMERIC) >= CAST({each} AS NUMERIC)" for each in ("open", "close", "low")]
    + [f"CAST(low AS NUMERIC) <= CAST({each} AS NUMERIC)" for each in ("open", "close")]
)


class CandleRow(SQLModel, table=True):
    """The stored candles. Its key is the way to them: one symbol's of one interval lie in a row, by time."""

    __tablename__ = "candles"
    __table_args__ = (
        one_of("interval", CandleInterval),
        more_than_zero("low"),
        at_least_zero("volume"),
        CheckConstraint(_BOUNDS, name="high_and_low_are_the_bounds"),
        {"sqlite_with_rowid": False},
    )

    symbol: str = Field(primary_key=True, foreign_key="instruments.symbol")
    interval: CandleInterval = Field(primary_key=True, sa_type=Word(CandleInterval))
    opened_at: datetime = Field(primary_key=True, sa_type=Moment)
    open: Decimal = Field(sa_type=Exact)
    high: Decimal = Field(sa_type=Exact)
    low: Decimal = Field(sa_type=Exact)
    close: Decimal = Field(sa_type=Exact)
    volume: Decimal = Field(sa_type=Exact)
