"""CSV files of market data as providers and spreadsheets write them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

HEADER = "Date,Open,High,Low,Close,Adj Close,Volume"
CENT = Decimal("0.01")


@dataclass(frozen=True)
class DailyRow:
    """A day of a real-looking file: its text, and open, high, low, close and volume in it."""

    day: date
    text: str
    values: tuple[Decimal, ...]


def daily_rows(years: int = 16, seed: int = 1) -> list[DailyRow]:
    """Weekdays but for some that are missing; prices of four digits and volumes with commas, and a 4:1 split."""
    chance = random.Random(seed)  # noqa: S311 - repeatable on purpose
    first = date(2026, 1, 2) - timedelta(days=365 * years)
    days = [first + timedelta(days=number) for number in range(365 * years)]
    days = [day for day in days if day.weekday() < 5 and chance.random() > 0.03]
    return list(_rows(days, chance))


def _rows(days: list[date], chance: random.Random) -> Iterator[DailyRow]:
    price = Decimal(1200)
    for number, day in enumerate(days):
        if number == len(days) // 2:
            price /= 4
        opened = (price * Decimal(chance.randint(990, 1012)) / 1000).quantize(CENT)
        price = (opened * Decimal(chance.randint(985, 1016)) / 1000).quantize(CENT)
        high, low = max(opened, price) + chance.randint(0, 9) * CENT, min(opened, price) - chance.randint(0, 9) * CENT
        volume = Decimal(chance.randint(10**5, 10**8))
        cells = [f"{value:,}" for value in (opened, high, low, price, price / 2, volume)]
        text = ",".join([day.isoformat(), *(f'"{cell}"' if "," in cell else cell for cell in cells)])
        yield DailyRow(day, text, (opened, high, low, price, volume))


def write(path: Path, lines: list[str], *, header: str = HEADER, encoding: str = "utf-8-sig") -> Path:
    """A file with a byte order mark and CRLF."""
    path.write_bytes("\r\n".join([header, *lines, ""]).encode(encoding))
    return path
