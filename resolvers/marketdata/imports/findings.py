"""What was found in a file: what is wrong, what is odd, what was passed over."""

from dataclasses import dataclass, field
from datetime import datetime

SHOWN_MAX = 20
"""How many faults, and how many warnings, are kept to be shown; the others are counted."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong, or odd, in a line; `field` is the column as the file calls it, if it is one column's."""

    line: int
    field: str | None
    reason: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"line {self.line}{f', {self.field}' if self.field else ''}: {self.reason}"


class ImportRefused(Exception):  # noqa: N818 - reason: a refusal is an answer, not an error of the program
    """A file has faults, and nothing of it was imported. `faults` are the first ones of `count`."""

    def __init__(self, faults: list[RowFault], count: int) -> None:
        super().__init__("; ".join(str(fault) for fault in faults))
        self.faults, self.count = faults, count


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: `written` rows; `repeated` ones were there twice in the file, `older` than what is stored."""

    written: int
    repeated: int
    older: int
    symbols: tuple[str, ...]
    first: datetime | None
    last: datetime | None
    notes: tuple[str, ...]
    warnings: tuple[RowFault, ...]
    warning_count: int


@dataclass
class Findings:
    """Gathers while a file is read; bounded, whatever the file."""

    faults: list[RowFault] = field(default_factory=list)
    fault_count: int = 0
    warnings: list[RowFault] = field(default_factory=list)
    warning_count: int = 0
    notes: dict[str, int] = field(default_factory=dict)
    repeated: int = 0
    symbols: set[str] = field(default_factory=set)
    first: datetime | None = None
    last: datetime | None = None

    def fault(self, line: int, column: str | None, reason: str) -> None:
        """Something that refuses the file."""
        self.fault_count += 1
        if len(self.faults) < SHOWN_MAX:
            self.faults.append(RowFault(line, column, reason))

    def warn(self, line: int, column: str | None, reason: str) -> None:
        """Something that a person should look at."""
        self.warning_count += 1
        if len(self.warnings) < SHOWN_MAX:
            self.warnings.append(RowFault(line, column, reason))

    def note(self, text: str) -> None:
        """Something that was done with the file, counted by its text."""
        self.notes[text] = self.notes.get(text, 0) + 1

    def good(self, symbol: str, moment: datetime | None = None) -> None:
        """A row that will be written."""
        self.symbols.add(symbol)
        if moment is not None:
            self.first = moment if self.first is None else min(self.first, moment)
            self.last = moment if self.last is None else max(self.last, moment)

    def refuse(self) -> None:
        """Raise `ImportRefused` if there is a fault."""
        if self.fault_count:
            raise ImportRefused(self.faults, self.fault_count)

    def imported(self, written: int, older: int = 0) -> Imported:
        """The whole as it is told."""
        notes = tuple(f"{text} ({count:,} times)" if count > 1 else text for text, count in self.notes.items())
        return Imported(
            written=written,
            repeated=self.repeated,
            older=older,
            symbols=tuple(sorted(self.symbols)),
            first=self.first,
            last=self.last,
            notes=notes,
            warnings=tuple(self.warnings),
            warning_count=self.warning_count,
        )
