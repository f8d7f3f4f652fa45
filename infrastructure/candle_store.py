"""The table of candles: written so that nothing is ever counted twice."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import and_, or_, select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.database import Database, Transaction
from infrastructure.rows import columns, read_all, table, values
from models.candles import LENGTHS, Candle, CandleRow, opening, together
from models.enums import CandleInterval
from models.marketdata import InstrumentRow

CANDLES, INSTRUMENTS = table(CandleRow), table(InstrumentRow)
BATCH = 500
"""Rows in one statement: few enough that the loop is not held up while they are bound."""

_PRICES = ("open", "high", "low", "close", "volume")
_LONGER = (CandleInterval.FIVE_MINUTES, CandleInterval.ONE_HOUR, CandleInterval.ONE_DAY)


async def store_candles(transaction: Transaction, candles: Sequence[Candle], *, replace: bool = True) -> None:
    """Write candles in batches; one that is there already is replaced, or with `replace=False` left as it is.

    Raises what `Transaction.execute` raises: `sqlalchemy.exc.IntegrityError` for a symbol outside the catalogue.
    """
    row = insert(CANDLES)
    key = [CANDLES.c.symbol, CANDLES.c.interval, CANDLES.c.opened_at]
    if replace:
        statement = row.on_conflict_do_update(index_elements=key, set_={name: row.excluded[name] for name in _PRICES})
    else:
        statement = row.on_conflict_do_nothing(index_elements=key)
    for place in range(0, len(candles), BATCH):
        await transaction.execute(statement, [values(candle) for candle in candles[place : place + BATCH]])


async def store_minutes(transaction: Transaction, minutes: Sequence[Candle], *, whole_days: bool = False) -> None:
    """Write minutes of one span, and the five minutes, hours and days that they are a part of.

    What is stored of the same longer candle before and behind the span counts too, so that to store a minute again
    changes nothing. With `whole_days` a day is written only if it is known from its beginning.
    """
    await store_candles(transaction, minutes)
    parts = list(minutes)
    for interval in _LONGER:
        if not parts:
            return
        parts = together([*parts, *await _beside(transaction, parts, interval)], interval)
        if interval is CandleInterval.ONE_DAY and whole_days:
            parts = [day for day in parts if day.symbol in await _begun(transaction, day)]
        await store_candles(transaction, parts)


async def latest_openings(database: Database, interval: CandleInterval) -> dict[str, datetime | None]:
    """When the latest candle of each instrument begins; None for one that has none."""
    latest = (
        select(CANDLES.c.opened_at)
        .where(CANDLES.c.symbol == INSTRUMENTS.c.symbol, CANDLES.c.interval == interval)
        .order_by(CANDLES.c.opened_at.desc())
        .limit(1)
        .correlate(INSTRUMENTS)
        .scalar_subquery()
    )
    async with database.read() as connection:
        return {row[0]: row[1] for row in await connection.execute(select(INSTRUMENTS.c.symbol, latest))}


async def last_closed(connection: AsyncConnection, symbols: Iterable[str], moment: datetime) -> dict[str, Candle]:
    """Of each symbol the candle that closed last at or before the moment, the shortest of those that closed together.

    A symbol that has none is left out.
    """
    latest = [
        select(CANDLES.c.opened_at)
        .where(
            CANDLES.c.symbol == INSTRUMENTS.c.symbol,
            CANDLES.c.interval == interval,
            CANDLES.c.opened_at <= moment - length,
        )
        .order_by(CANDLES.c.opened_at.desc())
        .limit(1)
        .correlate(INSTRUMENTS)
        .scalar_subquery()
        for interval, length in LENGTHS.items()
    ]
    asked = select(INSTRUMENTS.c.symbol, *latest).where(INSTRUMENTS.c.symbol.in_(sorted(symbols)))
    found = []
    for symbol, *opened in await connection.execute(asked):
        closed = [(at, each) for at, each in zip(opened, LENGTHS, strict=True) if at is not None]
        if closed:
            at, interval = max(closed, key=lambda each: each[0] + LENGTHS[each[1]])
            key = (CANDLES.c.symbol == symbol, CANDLES.c.interval == interval, CANDLES.c.opened_at == at)
            found.append(and_(*key))
    if not found:
        return {}
    candles = await read_all(connection, Candle, select(*columns(CandleRow, Candle)).where(or_(*found)))
    return {candle.symbol: candle for candle in candles}


async def _beside(transaction: Transaction, parts: Sequence[Candle], interval: CandleInterval) -> list[Candle]:
    """The stored candles as long as `parts`, in the first and the last longer candle that these touch, but not them."""
    first, last = min(part.opened_at for part in parts), max(part.opened_at for part in parts)
    begin, end = opening(interval, first), opening(interval, last) + LENGTHS[interval]
    at = CANDLES.c.opened_at
    statement = select(*columns(CandleRow, Candle)).where(
        CANDLES.c.symbol.in_({part.symbol for part in parts}),
        CANDLES.c.interval == parts[0].interval,
        at >= begin,
        at < end,
        (at < first) | (at > last),
    )
    return await read_all(transaction.connection, Candle, statement)


async def _begun(transaction: Transaction, day: Candle) -> set[str]:
    """The day's symbol, if there is an hour at its beginning."""
    statement = select(CANDLES.c.symbol).where(
        CANDLES.c.symbol == day.symbol,
        CANDLES.c.interval == CandleInterval.ONE_HOUR,
        CANDLES.c.opened_at == day.opened_at,
    )
    return set((await transaction.execute(statement)).scalars())
