"""Time travel: a portfolio as it stood at a moment, rebuilt from the log."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import cast
from uuid import UUID

from infrastructure.candle_store import last_closed
from models.books import Book, valued
from models.candles import Candle
from models.errors import BadRequest
from models.payloads import moment_text
from models.portfolios import Portfolio
from models.positions import Position, day_of
from models.valuation import Valuation
from resolvers.context import Context
from resolvers.events.books import EVER, Archived, Reach, books_at
from resolvers.events.queries import cursor_of

AHEAD_MAX = timedelta(minutes=1)
"""How far a clock may be ahead of this one: what a caller takes for now is answered as of now, and of an event that is
still to come by more than that the time says nothing."""


@dataclass(frozen=True, slots=True)
class PortfolioSnapshot:
    """A portfolio at one place of the log, priced at the last candles closed by `at`.

    `portfolio` is as it is now. Every event of its book behind `cursor` happened later.
    """

    at: datetime
    cursor: str
    portfolio: Portfolio
    book: Book
    valuation: Valuation

    @property
    def cash(self) -> Decimal:
        """The cash then."""
        return self.book.cash

    @property
    def positions(self) -> list[Position]:
        """What was held, oldest first."""
        return self.book.held


async def history(ctx: Context, portfolio: Portfolio, at: datetime) -> PortfolioSnapshot:
    """A portfolio of the viewer's at a moment: before the first thing that happened to it after that.

    Raises `BadRequest` for a moment before it was made, in the future, or in what is archived.
    """
    now = ctx.now
    if at > now + AHEAD_MAX:
        raise BadRequest(f"`at` is in the future: here it is {moment_text(now)}.", "at")
    # As of now is all that there is, whatever clocks say of it.
    reach = EVER if at >= now else at
    if at > now:
        at = await ctx.load(moments, at)
    try:
        book = await ctx.load(books_by_moment, (portfolio.id, reach))
    except Archived as archived:
        raise BadRequest(f"`at` is archived: history begins at {moment_text(archived.since)}.", "at") from None
    if book is None:
        raise BadRequest(f"`at` is before the portfolio was made, at {moment_text(portfolio.created_at)}.", "at")
    symbols = sorted({position.symbol for position in book.positions})
    last = await ctx.load_many(candles_by_moment, [(symbol, at) for symbol in symbols])
    previous = await ctx.load_many(candles_by_moment, [(symbol, day_of(at)) for symbol in symbols])
    late = timedelta(milliseconds=ctx.services.settings.quote_stale_after_ms)
    valuation = valued(book, portfolio, at, _by_symbol(last), _by_symbol(previous), late)
    return PortfolioSnapshot(at, cursor_of(ctx, book.seq), portfolio, book, valuation)


def _by_symbol(candles: Sequence[Candle | None]) -> dict[str, Candle]:
    return {candle.symbol: candle for candle in candles if candle is not None}


async def books_by_moment(ctx: Context, keys: Sequence[tuple[UUID, datetime]]) -> list[Book | None]:
    """A loader's batch: each portfolio at its moment. The ids are of portfolios that the viewer may see.

    Who asked for one that is archived gets `Archived` raised.
    """
    asked, to_come = defaultdict[datetime, list[UUID]](list), ctx.now + AHEAD_MAX
    for portfolio_id, moment in keys:
        asked[moment].append(portfolio_id)
    reaches = {moment: Reach(moment, to_come=to_come) for moment in asked}
    found = {moment: await books_at(ctx.services.database, ids, reaches[moment]) for moment, ids in asked.items()}
    # The loader raises an exception that it is given.
    return [cast("Book | None", found[moment][portfolio_id]) for portfolio_id, moment in keys]


async def moments(ctx: Context, keys: Sequence[datetime]) -> list[datetime]:
    """A loader's batch: for moments that have not come yet, the same one of now."""
    now = ctx.now
    return [min(key, now) for key in keys]


async def candles_by_moment(ctx: Context, keys: Sequence[tuple[str, datetime]]) -> list[Candle | None]:
    """A loader's batch: the candle of each symbol that closed last at or before its moment."""
    asked: dict[datetime, set[str]] = defaultdict(set)
    for symbol, moment in keys:
        asked[moment].add(symbol)
    async with ctx.services.database.read() as connection:
        found = {moment: await last_closed(connection, symbols, moment) for moment, symbols in asked.items()}
    return [found[moment].get(symbol) for symbol, moment in keys]
