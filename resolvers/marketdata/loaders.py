from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import CompoundSelect, Select, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.cache import Kind
from infrastructure.database import Database
from infrastructure.rows import columns, table
from infrastructure.statements import Among, Statement
from models.candles import Candle, CandleRow
from models.enums import CandleInterval
from models.marketdata import Instrument, InstrumentRow, Quote
from resolvers.caching import cached
from resolvers.context import Context

CATALOGUE_TTL_S = 60.0
"""How old what is shown of the catalogue may be: imports change it, and are no events."""

INSTRUMENTS, CANDLES = table(InstrumentRow), table(CandleRow)
_INSTRUMENTS = Statement(select(*columns(InstrumentRow, Instrument)).where(Among(INSTRUMENTS.c.symbol, "symbols")))


@dataclass(frozen=True, slots=True)
class CandleKey:
    """Candles of a symbol opened before `until`, or ever: the `first` ones from `since` on, or without it the last."""

    symbol: str
    interval: CandleInterval
    since: datetime | None
    until: datetime | None
    first: int


@cached(Kind("instruments by symbol", Instrument | None, CATALOGUE_TTL_S, shared=True, if_error=True))
async def instruments_by_symbol(ctx: Context, symbols: Sequence[str]) -> list[Instrument | None]:
    """The instruments of these symbols, None where there is none; they are anybody's to see."""
    found = {row[0]: Instrument(*row) for row in await ctx.rows(_INSTRUMENTS, symbols=symbols)}
    return [found.get(symbol) for symbol in symbols]


async def quotes_by_symbol(ctx: Context, symbols: Sequence[str]) -> list[Quote | None]:
    """The latest quotes, from this process's memory. For showing only: an order is priced by `queries.quotes_in`."""
    return [ctx.services.quotes.get(symbol) for symbol in symbols]


async def candles_in(database: Database, keys: Sequence[CandleKey]) -> list[list[Candle]]:
    """The candles of each key, by time: one statement for all."""
    found: dict[str, list[Candle]] = {key.symbol: [] for key in keys}
    async with database.read() as connection:
        for row in await connection.execute(candles_statement(keys)):
            found[row[0]].append(Candle(*row))
    return [sorted(found[key.symbol], key=lambda candle: candle.opened_at) for key in keys]


async def candles_by_key(ctx: Context, keys: Sequence[CandleKey]) -> list[list[Candle]]:
    """The candles of each key, by time: one statement for all symbols that are asked for alike."""
    alike: dict[CandleKey, list[CandleKey]] = defaultdict(list)
    for key in keys:
        alike[replace(key, symbol="")].append(key)
    found: dict[CandleKey, list[Candle]] = {key: [] for key in keys}
    async with ctx.services.database.read() as connection:
        for asked in alike.values():
            by_symbol = {key.symbol: key for key in asked}
            for row in await connection.execute(candles_statement(by_symbol.values())):
                found[by_symbol[row[0]]].append(Candle(*row))
    return [sorted(found[key], key=lambda candle: candle.opened_at) for key in keys]


def candles_statement(keys: Iterable[CandleKey]) -> CompoundSelect[Any]:
    """The candles of all keys: a part for each is a range of the table's key that ends at its limit."""
    return union_all(*(select(_candles(key).subquery()) for key in keys))


def _candles(key: CandleKey) -> Select[Any]:
    at = CANDLES.c.opened_at
    statement = select(*columns(CandleRow, Candle)).where(
        CANDLES.c.symbol == key.symbol, CANDLES.c.interval == key.interval
    )
    if key.until is not None:
        statement = statement.where(at < key.until)
    if key.since is None:
        return statement.order_by(at.desc()).limit(key.first)
    return statement.where(at >= key.since).order_by(at).limit(key.first)


async def read_instruments(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Instrument]:
    """The instruments of these symbols; those that there are."""
    statement = select(*columns(InstrumentRow, Instrument)).where(INSTRUMENTS.c.symbol.in_(list(symbols)))
    return {row.symbol: Instrument(*row) for row in await connection.execute(statement)}
