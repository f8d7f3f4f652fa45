import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from infrastructure.candle_store import BATCH
from infrastructure.feed import put_quotes
from infrastructure.services import Services
from models.marketdata import Quote
from models.money import ZERO
from resolvers.marketdata.imports import cells
from resolvers.marketdata.imports.candles import World, known_symbol, known_symbols
from resolvers.marketdata.imports.cells import BadCell
from resolvers.marketdata.imports.findings import Findings, Imported
from resolvers.marketdata.imports.reading import Column, Progress, Row, read

COLUMNS = (
    Column("symbol", ("ticker",), required=False),
    Column("timestamp", ("as_of", "time", "datetime", "date")),
    Column("bid", ("bid_price",)),
    Column("bid_size", ("bid_quantity", "bid_qty")),
    Column("ask", ("ask_price", "offer")),
    Column("ask_size", ("ask_quantity", "ask_qty", "offer_size")),
    Column("last", ("last_price", "price", "trade")),
    Column("open", required=False),
    Column("high", required=False),
    Column("low", required=False),
    Column("previous_close", ("prev_close",), required=False),
    Column("volume", ("vol",), required=False),
)


@dataclass(frozen=True, slots=True)
class QuoteFile:
    """A file of quotes. `symbol` is whose they are, where no column says so."""

    path: Path
    symbol: str | None = None


async def import_quotes(
    services: Services, file: QuoteFile, *, check: bool = False, progress: Progress = lambda _bytes: None
) -> Imported:
    """Write each symbol's latest quote of a file, where it is newer than the stored one, in one transaction.

    With `check` only say what it would do. Raises `ImportRefused` for a fault; nothing was written then.
    """
    world = World(await known_symbols(services), services.clock.now())
    findings, latest = Findings(), dict[str, Quote]()

    def whole() -> None:
        for quote in quotes_of(file, world, findings, progress):
            if quote.symbol not in latest or latest[quote.symbol].as_of < quote.as_of:
                latest[quote.symbol] = quote

    await asyncio.to_thread(whole)
    findings.refuse()
    quotes = list(latest.values())
    if check:
        return findings.imported(len(quotes))
    written = 0
    async with services.database.write() as transaction:
        for place in range(0, len(quotes), BATCH):
            written += len(await put_quotes(transaction, quotes[place : place + BATCH]))
    return findings.imported(written, older=len(quotes) - written)


async def replayed_quotes(services: Services, path: Path) -> Iterator[Quote]:
    """The quotes of a file that is to be played, read as they are needed; raises `ImportRefused` before if it can't be.

    A line is no earlier than the one before it.
    """
    world = World(await known_symbols(services), services.clock.now())
    findings = Findings()

    def whole() -> int:
        return sum(1 for _ in quotes_of(QuoteFile(path), world, findings, _silent, in_order=True))

    if not await asyncio.to_thread(whole):
        findings.fault(1, None, "there is no quote in it")
    findings.refuse()
    return quotes_of(QuoteFile(path), world, Findings(), _silent, in_order=True)


def quotes_of(
    file: QuoteFile, world: World, findings: Findings, progress: Progress, *, in_order: bool = False
) -> Iterator[Quote]:
    """A file's good quotes, each once; what else there is goes to the findings."""

    def parse(row: Row) -> Quote:
        return _quote(row, file, world, findings)

    seen: dict[tuple[str, datetime], tuple[int, int]] = {}
    latest: datetime | None = None
    for line, quote in read(file.path, COLUMNS, parse, findings, progress):
        if in_order and latest is not None:
            if quote.as_of < latest:
                findings.fault(line, "timestamp", "is earlier than a line before it")
                continue
            if quote.as_of > latest:
                # Only what has the same time can be there twice.
                seen.clear()
        latest = quote.as_of
        first_line, first_hash = seen.setdefault((quote.symbol, quote.as_of), (line, hash(quote)))
        if first_line != line:
            if first_hash == hash(quote):
                findings.repeated += 1
            else:
                findings.fault(line, None, f"is another quote of the same time as line {first_line}")
            continue
        findings.good(quote.symbol, quote.as_of)
        yield quote


def _quote(row: Row, file: QuoteFile, world: World, findings: Findings) -> Quote:
    def price(cell: str) -> Decimal:
        return cells.positive(cell, findings.note)

    def size(cell: str) -> Decimal:
        return cells.amount(cell, findings.note)

    def maybe(name: str) -> Decimal | None:
        return row.get(name, price) if row.cells.get(name) else None

    quote = Quote(
        symbol=known_symbol(row, file.symbol, world.symbols),
        bid=row.get("bid", price),
        bid_size=row.get("bid_size", size),
        ask=row.get("ask", price),
        ask_size=row.get("ask_size", size),
        last=row.get("last", price),
        open=maybe("open"),
        high=maybe("high"),
        low=maybe("low"),
        previous_close=maybe("previous_close"),
        volume=row.get("volume", size) if row.cells.get("volume") else ZERO,
        as_of=row.get("timestamp", cells.moment),
    )
    if quote.as_of > world.now:
        raise BadCell("lies in the future", "timestamp")
    if quote.ask < quote.bid:
        raise BadCell(f"{quote.ask} is below the bid, {quote.bid}", "ask")
    return quote


def _silent(_bytes: int) -> None:
    """Nobody watches."""
