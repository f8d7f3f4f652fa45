"""The rows of a CSV file as providers and spreadsheets write them, one at a time."""

import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from resolvers.marketdata.imports.cells import BadCell
from resolvers.marketdata.imports.findings import Findings

T = TypeVar("T")
Progress = Callable[[int], None]
"""Told how many bytes of the file have been read."""

_DELIMITERS = ",;\t"
_REPORT_ROWS = 500


@dataclass(frozen=True, slots=True)
class Column:
    """A column that is looked for, under its name or another; spaces, case and signs in it don't matter."""

    name: str
    others: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True, slots=True)
class Row:
    """A row's cells by the names of the columns that there are, without the spaces around them."""

    line: int
    cells: dict[str, str]

    def get(self, name: str, parse: Callable[[str], T]) -> T:
        """What the cell says; raises `BadCell` with the column's name."""
        try:
            return parse(self.cells[name])
        except BadCell as bad:
            raise BadCell(bad.reason, name) from None


@dataclass(frozen=True, slots=True)
class Header:
    """Where the columns are, and what the file calls them."""

    places: dict[str, int]
    labels: dict[str, str]
    width: int


def read(
    path: Path, columns: Sequence[Column], parse: Callable[[Row], T], findings: Findings, progress: Progress
) -> Iterator[tuple[int, T]]:
    """What `parse` makes of each row, with its line.

    A row for which it raises `BadCell` is a fault and left out, a file that is no CSV ends with one. UTF-8 with or
    without its mark; commas, semicolons or tabs; any line ends; empty lines are passed over.
    """
    line = 0
    with path.open("rb") as raw:
        lines = iter(io.TextIOWrapper(raw, encoding="utf-8-sig", newline=""))
        try:
            first = next((text for text in lines if text.strip()), "")
            rows = csv.reader(chain([first], lines), delimiter=_delimiter(first), strict=True)
            header = _header(next(rows, []), columns, findings)
            if header is None:
                return
            for count, cells in enumerate(rows):
                line = rows.line_num
                if count % _REPORT_ROWS == 0:
                    progress(raw.tell())
                if not any(cells):
                    continue
                try:
                    parsed = parse(_row(line, cells, header))
                except BadCell as bad:
                    findings.fault(line, header.labels.get(bad.name or "", bad.name), bad.reason)
                    continue
                yield line, parsed
        except UnicodeDecodeError:
            findings.fault(line + 1, None, "the file is not UTF-8 from somewhere near here on")
        except csv.Error as error:
            findings.fault(line + 1, None, f"is no CSV: {error}")
        progress(raw.tell())


def _delimiter(first: str) -> str:
    return max(_DELIMITERS, key=first.count)


def _header(cells: list[str], columns: Sequence[Column], findings: Findings) -> Header | None:
    if not cells:
        findings.fault(1, None, "the file is empty")
        return None
    names = {_plain(each): column.name for column in columns for each in (column.name, *column.others)}
    places: dict[str, int] = {}
    labels: dict[str, str] = {}
    for place, cell in enumerate(cells):
        name = names.get(_plain(cell))
        if name is None:
            findings.note(f"The column {cell.strip() or place + 1} is not used")
        elif name in places:
            findings.fault(1, cell.strip(), f"stands for {name}, as {labels[name]} does")
        else:
            places[name], labels[name] = place, cell.strip()
    for column in columns:
        if column.required and column.name not in places:
            known = " or ".join((column.name, *column.others))
            findings.fault(1, column.name, f"there is no such column (it may be called {known})")
    return None if findings.fault_count else Header(places, labels, len(cells))


def _row(line: int, cells: list[str], header: Header) -> Row:
    if len(cells) != header.width:
        raise BadCell(f"has {len(cells)} cells where the header has {header.width}")
    return Row(line, {name: cells[place].strip() for name, place in header.places.items()})


def _plain(label: str) -> str:
    return re.sub(r"[^a-z0-9]", "", label.lower())
