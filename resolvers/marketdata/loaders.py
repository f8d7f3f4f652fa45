from collections.abc import Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.rows import columns, table
from models.marketdata import Instrument, InstrumentRow, Quote
from resolvers.context import Context

INSTRUMENTS = table(InstrumentRow)


async def instruments_by_symbol(ctx: Context, symbols: Sequence[str]) -> list[Instrument | None]:
    """The instruments of these symbols, None where there is none; they are anybody's to see."""
    async with ctx.services.database.read() as connection:
        found = await read_instruments(connection, symbols)
    return [found.get(symbol) for symbol in symbols]


async def quotes_by_symbol(ctx: Context, symbols: Sequence[str]) -> list[Quote | None]:
    """The latest quotes, from this process's memory. For showing only: an order is priced by `queries.quotes_in`."""
    return [ctx.services.quotes.get(symbol) for symbol in symbols]


async def read_instruments(connection: AsyncConnection, symbols: Iterable[str]) -> dict[str, Instrument]:
    """The instruments of these symbols; those that there are."""
    statement = select(*columns(InstrumentRow, Instrument)).where(INSTRUMENTS.c.symbol.in_(askable(symbols)))
    return {row.symbol: Instrument(*row) for row in await connection.execute(statement)}


def askable(symbols: Iterable[str]) -> list[str]:
    """Those that may be a symbol: PostgreSQL refuses to be asked for a text with NUL in it."""
    return [symbol for symbol in symbols if symbol.isprintable()]
