"""What a cell says: numbers, moments and words as real files write them, or why not."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from models.candles import opening
from models.enums import CandleInterval
from models.money import MAX_DIGITS, MAX_PLACES, ZERO, text

SYMBOL_LENGTH_MAX = 32
_NUMBER = re.compile(r"[+-]?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?|[+-]?\.\d+")
_MOMENT = re.compile(r"(\d{4})[-/](\d{2})[-/](\d{2})(?:[T ](\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?) ?(Z|[+-]\d{2}:?\d{2})?)?")
_SYMBOL = re.compile(r"[A-Z0-9^][A-Z0-9.\-_/^=]*")
_DIGITS_SHOWN = 40
_ROUNDING = Context(prec=100, rounding=ROUND_HALF_EVEN)
_LAST_PLACE = Decimal(1).scaleb(-MAX_PLACES)

YES, NO = frozenset({"true", "yes", "1", "y"}), frozenset({"false", "no", "0", "n"})


class BadCell(Exception):  # noqa: N818 - reason: it says what is bad
    """A cell that can't be taken; `name` is the column's, none if it is about several."""

    def __init__(self, reason: str, name: str | None = None) -> None:
        super().__init__(reason)
        self.reason, self.name = reason, name


def number(cell: str, note: Callable[[str], None]) -> Decimal:
    """A decimal: digits, a point, and commas between thousands. More places than are kept are rounded, and noted."""
    if not cell:
        raise BadCell("is empty")
    if not _NUMBER.fullmatch(cell):
        raise BadCell(f"{shown(cell)} is no number (digits with a point, commas only between thousands)")
    value = Decimal(cell.replace(",", ""))
    if value.adjusted() >= MAX_DIGITS:
        raise BadCell(f"has more than {MAX_DIGITS} digits before the point")
    rounded = value.quantize(_LAST_PLACE, context=_ROUNDING)
    if rounded != value:
        note(f"A number with more than {MAX_PLACES} decimal places was rounded, half to even")
    return Decimal(text(rounded))


def positive(cell: str, note: Callable[[str], None]) -> Decimal:
    """A number above zero, like a price."""
    value = number(cell, note)
    if value <= ZERO:
        raise BadCell(f"{shown(cell)} is {'zero' if value == ZERO else 'negative'}")
    return value


def amount(cell: str, note: Callable[[str], None]) -> Decimal:
    """A number that is not negative, like a volume."""
    value = number(cell, note)
    if value < ZERO:
        raise BadCell(f"{shown(cell)} is negative")
    return value


def moment(cell: str) -> datetime:
    """A moment in UTC: an ISO date, with a time or without; a time without an offset is UTC."""
    date, time, offset = _parts(cell)
    return _moment(cell, f"{date}T{time or '00:00'}{offset or '+00:00'}")


def opened_at(cell: str, interval: CandleInterval) -> datetime:
    """When a candle begins. A day's is the date as it is written, whatever time and offset stand behind it."""
    if interval is CandleInterval.ONE_DAY:
        return _moment(cell, f"{_parts(cell)[0]}T00:00+00:00")
    begins = moment(cell)
    if begins != opening(interval, begins):
        raise BadCell(f"{shown(cell)} is not where a {interval} candle begins in UTC")
    return begins


def symbol(cell: str) -> str:
    """An instrument's symbol."""
    if not cell:
        raise BadCell("is empty")
    if len(cell) > SYMBOL_LENGTH_MAX or not _SYMBOL.fullmatch(cell):
        raise BadCell(f"{shown(cell)} is no symbol (capitals, digits and .-_/^=, {SYMBOL_LENGTH_MAX} at most)")
    return cell


def yes_or_no(cell: str) -> bool:
    """A truth."""
    if cell.lower() in YES | NO:
        return cell.lower() in YES
    raise BadCell(f"{shown(cell)} is neither true nor false")


def shown(cell: str) -> str:
    """The cell in a message."""
    return f'"{cell if len(cell) <= _DIGITS_SHOWN else cell[:_DIGITS_SHOWN] + "…"}"'


def _parts(cell: str) -> tuple[str, str | None, str | None]:
    if not cell:
        raise BadCell("is empty")
    found = _MOMENT.fullmatch(cell)
    if found is None:
        raise BadCell(f"{shown(cell)} is no ISO date or time, like 2026-01-31 or 2026-01-31T09:30:00Z")
    year, month, day, time, offset = found.groups()
    return f"{year}-{month}-{day}", time, offset


def _moment(cell: str, iso: str) -> datetime:
    try:
        return datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadCell(f"{shown(cell)} does not exist") from None
