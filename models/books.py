"""A portfolio's book: cash and positions as the log's events up to one place make them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger, Index
from sqlmodel import Field, SQLModel

from models.candles import LENGTHS, Candle
from models.columns import Moment
from models.enums import AggregateType, EventType
from models.events import RecordedEvent
from models.marketdata import Quote
from models.money import ZERO
from models.payloads import read
from models.portfolios import Portfolio
from models.positions import Position, day_of
from models.valuation import Valuation, value

BOOKED = frozenset(
    {
        EventType.PORTFOLIO_CREATED,
        EventType.CASH_MOVED,
        EventType.POSITION_OPENED,
        EventType.POSITION_CHANGED,
        EventType.POSITION_CLOSED,
    }
)
"""The events of a portfolio that change its book."""


@dataclass(frozen=True, slots=True)
class Book:
    """A portfolio behind the event number `seq`; `moment` is the latest at which an event of it up to there happened.

    `positions` are the open ones, and those that were closed in the UTC day of `moment`.
    """

    portfolio_id: UUID
    seq: int
    moment: datetime
    cash: Decimal
    realized_pnl: Decimal
    positions: tuple[Position, ...]

    @property
    def held(self) -> list[Position]:
        """The open positions, oldest first."""
        return sorted((each for each in self.positions if each.quantity), key=lambda each: (each.opened_at, each.id))


def folded(book: Book | None, events: Iterable[RecordedEvent]) -> Book | None:
    """The book after more events of `BOOKED`, all of one portfolio, in the log's order."""
    positions = {each.id: each for each in book.positions} if book else {}
    for event in events:
        book = book or Book(event.aggregate_id, 0, event.occurred_at, ZERO, ZERO, ())
        book = replace(book, seq=event.seq, moment=max(book.moment, event.occurred_at))
        if event.aggregate_type is AggregateType.POSITION:
            positions[event.aggregate_id] = read(Position, event.data["position"])
        else:
            portfolio = read(Portfolio, event.data["portfolio"])
            book = replace(book, cash=portfolio.cash, realized_pnl=portfolio.realized_pnl)
    if book is None:
        return None
    today = day_of(book.moment)
    kept = (each for each in positions.values() if each.closed_at is None or each.closed_at >= today)
    return replace(book, positions=tuple(kept))


def valued(
    book: Book,
    portfolio: Portfolio,
    at: datetime,
    last: Mapping[str, Candle],
    previous: Mapping[str, Candle],
    late: timedelta,
) -> Valuation:
    """What the book was worth: `last` are the candles closed at or before then, `previous` those of when the day began.

    It is stale where the candle behind the one that prices it ought to have closed, and is `late` by more than that.
    """
    then = replace(portfolio, cash=book.cash, realized_pnl=book.realized_pnl)
    quotes = {symbol: _quoted(candle, previous.get(symbol)) for symbol, candle in last.items()}
    of_day = [each for each in book.positions if each.closed_at is None or each.closed_at >= day_of(at)]
    worth = value(then, of_day, quotes, at, timedelta.max)
    held = (last[each.symbol] for each in book.positions if each.quantity and each.symbol in last)
    return replace(worth, stale=any(at - each.closes_at > LENGTHS[each.interval] + late for each in held))


def _quoted(candle: Candle, previous: Candle | None) -> Quote:
    """The candle's close as a quote."""
    return Quote(
        symbol=candle.symbol,
        bid=candle.close,
        bid_size=ZERO,
        ask=candle.close,
        ask_size=ZERO,
        last=candle.close,
        open=candle.open,
        high=candle.high,
        low=candle.low,
        previous_close=None if previous is None else previous.close,
        volume=candle.volume,
        as_of=candle.closes_at,
    )


class PortfolioSnapshotRow(SQLModel, table=True):
    """Books kept on the way, so that a past one is rebuilt from the nearest and not from the log's beginning.

    Nothing is decided by them: each can be made again from the log. `state` is the `Book` as canonical JSON.
    """

    __tablename__ = "portfolio_snapshots"
    __table_args__ = (Index("portfolio_snapshots_by_moment", "portfolio_id", "moment", "seq"),)

    portfolio_id: UUID = Field(primary_key=True, foreign_key="portfolios.id")
    seq: int = Field(primary_key=True, sa_type=BigInteger)
    moment: datetime = Field(sa_type=Moment)
    state: str
