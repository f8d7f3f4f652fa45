"""The table of candles: written so that nothing is ever counted twice."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal

from sqlalchemy import and_, delete, exists, or_, select, union_all

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

HOURS_AT_ONCE = 100
"""Hours whose minutes are removed in one transaction: few enough that the next writer need not wait long."""

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


async def drop_minutes(transaction: Transaction, symbol: str, before: datetime) -> int:
    """Remove an instrument's minutes from before then, hour by hour; how many there were.

    Only where their hour is kept: minutes that were imported by themselves stay. A round takes some hours only.
    """
    hour, minute = CANDLES.alias("hour"), CANDLES.alias("minute")
    opens = exists().where(
        minute.c.symbol == symbol,
        minute.c.interval == CandleInterval.ONE_MINUTE,
        minute.c.opened_at == hour.c.opened_at,
    )
    hours = (
        select(hour.c.opened_at)
        .where(
            hour.c.symbol == symbol,
            hour.c.interval == CandleInterval.ONE_HOUR,
            hour.c.opened_at < before,
            # The latest ones also where their first minute is missing.
            or_(hour.c.opened_at >= before - LENGTHS[CandleInterval.ONE_DAY], opens),
        )
        .order_by(hour.c.opened_at)
        .limit(HOURS_AT_ONCE)
    )
    removed = 0
    for opened_at in (await transaction.execute(hours)).scalars().all():
        at, end = CANDLES.c.opened_at, opened_at + LENGTHS[CandleInterval.ONE_HOUR]
        mine = delete(CANDLES).where(CANDLES.c.symbol == symbol, CANDLES.c.interval == CandleInterval.ONE_MINUTE)
        removed += (await transaction.execute(mine.where(at >= opened_at, at < end))).rowcount
    return removed


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


async def daily_closes(
    connection: AsyncConnection, symbols: Iterable[str], since: datetime, until: datetime
) -> list[tuple[str, datetime, Decimal]]:
    """When days closed behind `since` and up to `until`, and at what price; and of each symbol the last one before."""
    day, length = CandleInterval.ONE_DAY, LENGTHS[CandleInterval.ONE_DAY]
    named = sorted(symbols)
    shown = (CANDLES.c.symbol, CANDLES.c.opened_at, CANDLES.c.close)
    daily = (CANDLES.c.interval == day, CANDLES.c.symbol.in_(named))
    earlier = CANDLES.alias()
    last = (
        select(earlier.c.opened_at)
        .where(
            earlier.c.symbol == INSTRUMENTS.c.symbol,
            earlier.c.interval == day,
            earlier.c.opened_at <= since - length,
        )
        .order_by(earlier.c.opened_at.desc())
        .limit(1)
        .correlate(INSTRUMENTS)
        .scalar_subquery()
    )
    before = select(*shown).join(
        INSTRUMENTS, and_(CANDLES.c.symbol == INSTRUMENTS.c.symbol, CANDLES.c.opened_at == last)
    )
    within = select(*shown).where(*daily, CANDLES.c.opened_at > since - length, CANDLES.c.opened_at <= until - length)
    rows = await connection.execute(union_all(before.where(*daily), within))
    return [(symbol, opened_at + length, close) for symbol, opened_at, close in rows]


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
