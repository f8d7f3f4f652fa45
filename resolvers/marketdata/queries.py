from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.candle_store import daily_closes
from infrastructure.rows import columns, table
from infrastructure.services import Services
from infrastructure.statements import Somewhere, one_of
from models.candles import LENGTHS, Candle
from models.enums import AssetClass, CandleInterval
from models.errors import BadRequest
from models.hours import MarketClock, market_clock
from models.marketdata import Instrument, InstrumentRow, Quote, QuoteRow
from models.positions import day_of
from models.scenarios import SPAN, Year
from resolvers.caching import Kept
from resolvers.context import LOAD_MAX, Context
from resolvers.marketdata.loaders import (
    CATALOGUE_TTL_S,
    CandleKey,
    candles_by_key,
    instruments_by_symbol,
    quotes_by_symbol,
    read_instruments,
)
from resolvers.paging import Listing, Page, PageArgs

INSTRUMENTS, QUOTES = table(InstrumentRow), table(QuoteRow)
SEARCH_LENGTH_MAX = 100
CANDLES_SHOWN = 100
"""How many candles come when nobody says from when or how many."""


@dataclass(frozen=True, slots=True)
class InstrumentChoice:
    """Which instruments: every field that is given has to match. `search` is a part of the symbol or of the name."""

    asset_class: AssetClass | None = None
    search: str | None = None
    symbols: tuple[str, ...] | None = None


def instrument(ctx: Context, symbol: str) -> Awaitable[Instrument | None]:
    """The instrument of this symbol, spelled exactly so."""
    return ctx.load(instruments_by_symbol, symbol)


def instruments(
    ctx: Context, args: PageArgs, chosen: InstrumentChoice = InstrumentChoice()
) -> Awaitable[Page[Instrument]]:
    """A page of the catalogue by symbol, for anybody; raises `BadRequest` for arguments that are out of bounds."""
    if chosen.search is not None and len(chosen.search) > SEARCH_LENGTH_MAX:
        raise BadRequest(f"`search` may have {SEARCH_LENGTH_MAX} characters at most.", "search")
    if chosen.symbols is not None and len(chosen.symbols) > LOAD_MAX:
        raise BadRequest(f"`symbols` may name {LOAD_MAX} at most.", "symbols")
    return CATALOGUE.page(ctx, args, chosen)


def latest_quote(ctx: Context, symbol: str) -> Awaitable[Quote | None]:
    """The latest quote that this process has seen. For showing only: an order is priced by `quotes_in`."""
    return ctx.load(quotes_by_symbol, symbol)


@dataclass(frozen=True, slots=True)
class CandleChoice:
    """Which candles of an instrument: opened from `since` on and before `until`, and how many at most."""

    interval: CandleInterval
    since: datetime | None = None
    until: datetime | None = None
    first: int | None = None


async def candles(ctx: Context, symbol: str, chosen: CandleChoice) -> list[Candle]:
    """An instrument's candles by time, for anybody: the first ones from `since` on; without it the last ones.

    `until` is now if it is not given, and `first` all of the window, or 100 without a `since`. The candle that goes on
    is one of them. Raises `BadRequest` for a window that is none or holds more than the setting allows.
    """
    until, most = chosen.until or ctx.now, ctx.services.settings.candles_max
    first = chosen.first
    if first is not None and not 0 <= first <= most:
        raise BadRequest(f"`first` is {first}: it has to be between 0 and {most}.", "first")
    if chosen.since is not None and chosen.since >= until:
        raise BadRequest("`from` has to be earlier than `to`, which is now if it is not given.", "from")
    if first is None and chosen.since is None:
        first = min(CANDLES_SHOWN, most)
    elif first is None and chosen.since is not None:
        held = -((chosen.since - until) // LENGTHS[chosen.interval])
        if held > most:
            raise BadRequest(
                f"There may be {held} candles of {chosen.interval} from `from` to `to`: ask for {most} at most, "
                "with `first` or in a shorter time.",
                "from",
            )
        first = most
    # Not this moment in it, which is another for each instrument of a page: they are asked for together.
    key = CandleKey(symbol, chosen.interval, chosen.since, chosen.until, first or 0)
    return await ctx.load(candles_by_key, key) if first else []


def clock_of(services: Services, asset_class: AssetClass) -> MarketClock:
    """The hours, by the settings, of the market that such instruments are traded at."""
    settings = services.settings
    return market_clock(settings.market_hours, asset_class, services.clock.now(), settings.market_holidays)


async def quotes_in(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Quote]:
    """The stored quotes of these symbols, those that there are: what prices inside a command's transaction."""
    statement = select(*columns(QuoteRow, Quote)).where(QUOTES.c.symbol.in_(list(symbols)))
    return {row.symbol: Quote(*row) for row in await connection.execute(statement)}


async def year_in(connection: AsyncConnection, symbols: Iterable[str], now: datetime) -> Year:
    """The daily closes of the past year, to play them on positions of these symbols."""
    since = day_of(now) - SPAN
    closes = await daily_closes(connection, symbols, since, now)
    return Year(close for close in closes if close[1] >= since)


async def instruments_in(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Instrument]:
    """The instruments of these symbols, those that there are, inside a command's transaction."""
    return await read_instruments(connection, symbols)


def _conditions(chosen: InstrumentChoice) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.asset_class is not None:
        found.append(INSTRUMENTS.c.asset_class == chosen.asset_class)
    if chosen.symbols is not None:
        found.append(one_of(INSTRUMENTS.c.symbol, chosen.symbols))
    if chosen.search is not None:
        found.append(_matches(chosen.search))
    return found


def _matches(search: Any) -> ColumnElement[bool]:
    """Whether the parameter `search` is somewhere in the symbol or the name, in small letters or large."""
    pattern = func.lower(type_coerce(search, Somewhere()))
    return or_(*(func.lower(each).like(pattern, escape="/") for each in (INSTRUMENTS.c.symbol, INSTRUMENTS.c.name)))


CATALOGUE = Listing(
    InstrumentRow,
    Instrument,
    ("symbol",),
    owned=False,
    conditions=_conditions,
    kept=Kept(ttl_s=CATALOGUE_TTL_S, if_error=True),
)
"""Every instrument, by symbol."""
