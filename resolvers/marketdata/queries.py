from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, false, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.rows import columns, table
from models.enums import AssetClass
from models.errors import BadRequest
from models.marketdata import Instrument, InstrumentRow, Quote, QuoteRow
from resolvers.context import LOAD_MAX, Context
from resolvers.marketdata.loaders import askable, instruments_by_symbol, quotes_by_symbol, read_instruments
from resolvers.paging import Listing, Page, PageArgs

INSTRUMENTS, QUOTES = table(InstrumentRow), table(QuoteRow)
SEARCH_LENGTH_MAX = 100


@dataclass(frozen=True, slots=True)
class InstrumentChoice:
    """Which instruments: every field that is given has to match. `search` is a part of the symbol or of the name."""

    asset_class: AssetClass | None = None
    search: str | None = None
    symbols: tuple[str, ...] | None = None


def instrument(ctx: Context, symbol: str) -> Awaitable[Instrument | None]:
    """The instrument of this symbol, spelled exactly so."""
    return ctx.load(instruments_by_symbol, symbol)


async def instruments(ctx: Context, args: PageArgs, chosen: InstrumentChoice = InstrumentChoice()) -> Page[Instrument]:
    """A page of the catalogue by symbol, for anybody; raises `BadRequest` for arguments that are out of bounds."""
    if chosen.search is not None and len(chosen.search) > SEARCH_LENGTH_MAX:
        raise BadRequest(f"`search` may have {SEARCH_LENGTH_MAX} characters at most.", "search")
    if chosen.symbols is not None and len(chosen.symbols) > LOAD_MAX:
        raise BadRequest(f"`symbols` may name {LOAD_MAX} at most.", "symbols")
    return await CATALOGUE.page(ctx, args, chosen)


def latest_quote(ctx: Context, symbol: str) -> Awaitable[Quote | None]:
    """The latest quote that this process has seen. For showing only: an order is priced by `quotes_in`."""
    return ctx.load(quotes_by_symbol, symbol)


async def quotes_in(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Quote]:
    """The stored quotes of these symbols, those that there are: what prices inside a command's transaction."""
    statement = select(*columns(QuoteRow, Quote)).where(QUOTES.c.symbol.in_(askable(symbols)))
    return {row.symbol: Quote(*row) for row in await connection.execute(statement)}


async def instruments_in(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Instrument]:
    """The instruments of these symbols, those that there are, inside a command's transaction."""
    return await read_instruments(connection, symbols)


def _conditions(chosen: InstrumentChoice) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.asset_class is not None:
        found.append(INSTRUMENTS.c.asset_class == chosen.asset_class)
    if chosen.symbols is not None:
        found.append(INSTRUMENTS.c.symbol.in_(askable(chosen.symbols)))
    if chosen.search is not None:
        found.append(_matches(chosen.search))
    return found


def _matches(search: str) -> ColumnElement[bool]:
    if not search.isprintable():
        return false()
    symbol, name = INSTRUMENTS.c.symbol, INSTRUMENTS.c.name
    return symbol.icontains(search, autoescape=True) | name.icontains(search, autoescape=True)


CATALOGUE = Listing(InstrumentRow, Instrument, ("symbol",), owned=False, conditions=_conditions)
"""Every instrument, by symbol."""
