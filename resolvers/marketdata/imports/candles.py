import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from itertools import islice
from pathlib import Path

from sqlalchemy import delete, select

from infrastructure.candle_store import BATCH, CANDLES, INSTRUMENTS, store_candles
from infrastructure.database import Transaction
from infrastructure.services import Services
from models.candles import Candle
from models.enums import CandleInterval
from models.money import divide, exact
from resolvers.marketdata.imports import cells
from resolvers.marketdata.imports.cells import BadCell
from resolvers.marketdata.imports.findings import Findings, Imported
from resolvers.marketdata.imports.reading import Column, Progress, Row, read

COLUMNS = (
    Column("symbol", ("ticker",), required=False),
    Column("date", ("timestamp", "datetime", "time", "opened_at")),
    Column("open"),
    Column("high"),
    Column("low"),
    Column("close", ("last", "price")),
    Column("volume", ("vol",)),
)
JUMP = Decimal("0.4")
"""A day that opens this much above or below the last close may be a split."""


@dataclass(frozen=True, slots=True)
class CandleFile:
    """A file of candles of one interval. `symbol` is whose they are, where no column says so."""

    path: Path
    interval: CandleInterval
    symbol: str | None = None


@dataclass(frozen=True, slots=True)
class World:
    """What a row is held against: the instruments that there are, and the moment."""

    symbols: frozenset[str]
    now: datetime


async def import_candles(
    services: Services,
    file: CandleFile,
    *,
    replace: bool = False,
    check: bool = False,
    progress: Progress = lambda _bytes: None,
) -> Imported:
    """Write a file's candles over the stored ones, in one transaction. With `check` only say what it would do.

    Args:
        services: The database and the moment.
        file: The file.
        replace: Remove what there is of the file's symbols in this interval first.
        check: Read only.
        progress: Told of the bytes read; the file is read twice, to the end before anything is written.

    Raises:
        ImportRefused: There is a fault in it; nothing was written.
    """
    world = World(await known_symbols(services), services.clock.now())
    findings = Findings()
    rows = await asyncio.to_thread(lambda: sum(1 for _ in candles_of(file, world, findings, progress)))
    findings.refuse()
    if check:
        return findings.imported(rows)
    again = Findings()
    batches = _batches(candles_of(file, world, again, progress))
    async with services.database.write() as transaction:
        if replace:
            await _remove(transaction, findings.symbols, file.interval)
        while batch := await asyncio.to_thread(next, batches, None):
            await store_candles(transaction, batch)
        # Another file than a moment ago: out with the transaction.
        again.refuse()
    return again.imported(rows)


def candles_of(file: CandleFile, world: World, findings: Findings, progress: Progress) -> Iterator[Candle]:
    """A file's good candles, each once; what else there is goes to the findings."""

    def parse(row: Row) -> Candle:
        return _candle(row, file, world, findings)

    # Of the values only a hash, so that a file of millions of rows fits in memory.
    seen: dict[tuple[str, datetime], tuple[int, int]] = {}
    beside: dict[str, Candle] = {}
    for line, candle in read(file.path, COLUMNS, parse, findings, progress):
        key = candle.symbol, candle.opened_at
        first_line, first_hash = seen.setdefault(key, (line, hash(candle)))
        if first_line != line:
            if first_hash == hash(candle):
                findings.repeated += 1
            else:
                findings.fault(line, None, f"is another candle of the same time as line {first_line}")
            continue
        if file.interval is CandleInterval.ONE_DAY and candle.symbol in beside:
            _look_for_split(line, beside[candle.symbol], candle, findings)
        beside[candle.symbol] = candle
        findings.good(candle.symbol, candle.opened_at)
        yield candle


async def known_symbols(services: Services) -> frozenset[str]:
    """Every instrument's symbol."""
    async with services.database.read() as connection:
        return frozenset((await connection.execute(select(INSTRUMENTS.c.symbol))).scalars())


def known_symbol(row: Row, given: str | None, known: frozenset[str]) -> str:
    """The row's symbol, or the one that was given for the whole file; raises `BadCell` if it is none."""
    if "symbol" not in row.cells:
        if given is None:
            raise BadCell("there is no such column: say with --symbol whose these are", "symbol")
        symbol = given
    else:
        symbol = row.get("symbol", cells.symbol)
        if given not in (None, symbol):
            raise BadCell(f"is {symbol}, and --symbol says {given}", "symbol")
    if symbol not in known:
        raise BadCell(f"there is no instrument {symbol}: import it first", "symbol")
    return symbol


def _candle(row: Row, file: CandleFile, world: World, findings: Findings) -> Candle:
    def price(cell: str) -> Decimal:
        return cells.positive(cell, findings.note)

    candle = Candle(
        symbol=known_symbol(row, file.symbol, world.symbols),
        interval=file.interval,
        opened_at=row.get("date", lambda cell: cells.opened_at(cell, file.interval)),
        open=row.get("open", price),
        high=row.get("high", price),
        low=row.get("low", price),
        close=row.get("close", price),
        volume=row.get("volume", lambda cell: cells.amount(cell, findings.note)),
    )
    if candle.opened_at > world.now:
        raise BadCell("lies in the future", "date")
    if candle.high < candle.low:
        raise BadCell(f"{candle.high} is below the low, {candle.low}", "high")
    for name, value in (("open", candle.open), ("close", candle.close)):
        if not candle.low <= value <= candle.high:
            raise BadCell(f"{value} is not between low and high, {candle.low} and {candle.high}", name)
    return candle


@exact
def _look_for_split(line: int, above: Candle, candle: Candle, findings: Findings) -> None:
    # Files begin with the oldest day or with the newest.
    earlier, later = sorted((above, candle), key=lambda each: each.opened_at)
    moved = divide(later.open - earlier.close, earlier.close, places=4)
    if abs(moved) > JUMP:
        findings.warn(
            line,
            "open",
            f"{later.symbol} moves by {moved * 100:+.0f}% from {earlier.close} on {earlier.opened_at:%Y-%m-%d} to "
            f"{later.open} on {later.opened_at:%Y-%m-%d}: a split? Prices are kept as they are",
        )


def _batches(candles: Iterator[Candle]) -> Iterator[list[Candle]]:
    while batch := list(islice(candles, BATCH)):
        yield batch


async def _remove(transaction: Transaction, symbols: set[str], interval: CandleInterval) -> None:
    for symbol in sorted(symbols):
        await transaction.execute(delete(CANDLES).where(CANDLES.c.symbol == symbol, CANDLES.c.interval == interval))
