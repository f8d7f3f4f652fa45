import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from sqlalchemy import select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.candle_store import BATCH, INSTRUMENTS
from infrastructure.rows import columns, read_all, values
from infrastructure.services import Services
from models.enums import AssetClass
from models.marketdata import Instrument, InstrumentRow
from models.money import text
from resolvers.marketdata.imports import cells
from resolvers.marketdata.imports.cells import BadCell, shown
from resolvers.marketdata.imports.findings import Findings, Imported
from resolvers.marketdata.imports.reading import Column, Progress, Row, read

COLUMNS = (
    Column("symbol", ("ticker",)),
    Column("name", ("description", "company")),
    Column("asset_class", ("class", "type")),
    Column("currency"),
    Column("tick_size", ("tick",)),
    Column("lot_size", ("lot",)),
    Column("multiplier", required=False),
    Column("tradable", ("tradeable",), required=False),
)
NAME_LENGTH_MAX = 200
_FIXED = ("asset_class", "currency", "tick_size", "lot_size", "multiplier")
"""What orders and positions stand on: it never changes."""
_CURRENCY = re.compile(r"[A-Z]{3}")
_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class InstrumentFile:
    """A file of instruments."""

    path: Path


async def import_instruments(
    services: Services, file: InstrumentFile, *, check: bool = False, progress: Progress = lambda _bytes: None
) -> Imported:
    """Add a file's instruments, and change name and tradability of those that there are, in one transaction.

    With `check` only say what it would do. Raises `ImportRefused` for a fault, of which one is a change of what orders
    and positions stand on; nothing was written then.
    """
    async with services.database.read() as connection:
        stored = await read_all(connection, Instrument, select(*columns(InstrumentRow, Instrument)))
    known = {each.symbol: each for each in stored}
    findings = Findings()
    found = await asyncio.to_thread(lambda: list(instruments_of(file, known, findings, progress)))
    findings.refuse()
    if check:
        return findings.imported(len(found))
    row = insert(INSTRUMENTS)
    changed = {"name": row.excluded.name, "tradable": row.excluded.tradable}
    statement = row.on_conflict_do_update(index_elements=[INSTRUMENTS.c.symbol], set_=changed)
    async with services.database.write() as transaction:
        for place in range(0, len(found), BATCH):
            await transaction.execute(statement, [values(each) for each in found[place : place + BATCH]])
    return findings.imported(len(found))


def instruments_of(
    file: InstrumentFile, known: dict[str, Instrument], findings: Findings, progress: Progress
) -> Iterator[Instrument]:
    """A file's good instruments, each once; what else there is goes to the findings."""

    def parse(row: Row) -> Instrument:
        return _instrument(row, known, findings)

    seen: dict[str, tuple[int, Instrument]] = {}
    for line, instrument in read(file.path, COLUMNS, parse, findings, progress):
        first_line, first = seen.setdefault(instrument.symbol, (line, instrument))
        if first_line == line:
            findings.good(instrument.symbol)
            yield instrument
        elif first == instrument:
            findings.repeated += 1
        else:
            findings.fault(line, None, f"is another {instrument.symbol} than line {first_line}")


def _instrument(row: Row, known: dict[str, Instrument], findings: Findings) -> Instrument:
    def size(cell: str) -> Decimal:
        return cells.positive(cell, findings.note)

    instrument = Instrument(
        symbol=row.get("symbol", cells.symbol),
        name=row.get("name", _name),
        asset_class=row.get("asset_class", _asset_class),
        currency=row.get("currency", _currency),
        tick_size=row.get("tick_size", size),
        lot_size=row.get("lot_size", size),
        multiplier=row.get("multiplier", size) if row.cells.get("multiplier") else _ONE,
        tradable=row.get("tradable", cells.yes_or_no) if row.cells.get("tradable") else True,
    )
    before = known.get(instrument.symbol)
    if before is not None:
        for name in _FIXED:
            if getattr(before, name) != getattr(instrument, name):
                raise BadCell(f"{instrument.symbol} is known with {_said(before, name)}, which can't change", name)
        if "tradable" not in row.cells:
            return replace(instrument, tradable=before.tradable)
    return instrument


def _said(instrument: Instrument, name: str) -> str:
    value = getattr(instrument, name)
    return text(value) if isinstance(value, Decimal) else str(value)


def _name(cell: str) -> str:
    if not cell:
        raise BadCell("is empty")
    if len(cell) > NAME_LENGTH_MAX or not cell.isprintable():
        raise BadCell(f"has more than {NAME_LENGTH_MAX} characters, or some that can't be printed")
    return cell


def _asset_class(cell: str) -> AssetClass:
    try:
        return AssetClass(cell.upper())
    except ValueError:
        raise BadCell(f"{shown(cell)} is none of {', '.join(AssetClass)}") from None


def _currency(cell: str) -> str:
    if not _CURRENCY.fullmatch(cell):
        raise BadCell(f"{shown(cell)} is no currency (three capitals, ISO 4217)")
    return cell
