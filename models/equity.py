"""What a portfolio was worth at moments past, and what it has lost since: exact, from its ledger and from candles."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

from models.enums import RiskLimitKind, TransactionKind
from models.money import ZERO, divide, exact
from models.positions import day_of
from models.valuation import NO_PRICE

DAY: Final = timedelta(days=1)
LEVEL_PLACES = 20
"""Decimal places of the level that a drawdown is measured on."""
MOVED = (TransactionKind.DEPOSIT, TransactionKind.WITHDRAWAL)
"""What comes in and goes out is neither gained nor lost."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A ledger row, with what a trade's changed of a position (`change` is signed)."""

    at: datetime
    kind: TransactionKind
    amount: Decimal
    symbol: str | None
    change: Decimal


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured; without a value, `why` there is none."""

    value: Decimal | None
    why: str = ""


class Unpriced(Exception):  # noqa: N818 - reason: the name says what it is
    """Something that was held had no price then."""


class Closes:
    """Daily closes by symbol."""

    def __init__(self, closes: Iterable[tuple[str, datetime, Decimal]]) -> None:
        """Of each its symbol, the moment that its candle closed at, and the price."""
        self._moments: dict[str, list[datetime]] = defaultdict(list)
        self._prices: dict[str, list[Decimal]] = defaultdict(list)
        for symbol, moment, price in sorted(closes):
            self._moments[symbol].append(moment)
            self._prices[symbol].append(price)

    def at(self, symbol: str, moment: datetime) -> Decimal:
        """The last close at or before the moment; raises `Unpriced` if there was none."""
        place = bisect_right(self._moments.get(symbol, []), moment)
        if place == 0:
            raise Unpriced(f"{symbol} has no close from before {moment:%Y-%m-%d %H:%M} UTC.")
        return self._prices[symbol][place - 1]


@dataclass(frozen=True, slots=True)
class Past:
    """What a portfolio has now, and its ledger back to the first moment that is asked for, in any order."""

    cash: Decimal
    held: Mapping[str, Decimal]
    entries: Sequence[Entry]
    closes: Closes


@exact
def worths(past: Past, moments: Collection[datetime]) -> dict[datetime, Decimal]:
    """Cash and positions as they were at each moment, at the last closes by then; raises `Unpriced`.

    It goes back from what there is now. What happened at the very moment comes after it.
    """
    cash, held, found = past.cash, dict(past.held), {}
    undone = sorted(past.entries, key=lambda entry: entry.at)
    for moment in sorted(moments, reverse=True):
        while undone and undone[-1].at >= moment:
            entry = undone.pop()
            cash -= entry.amount
            if entry.symbol is not None:
                held[entry.symbol] = held.get(entry.symbol, ZERO) - entry.change
        positions = (quantity * past.closes.at(symbol, moment) for symbol, quantity in held.items() if quantity)
        found[moment] = cash + sum(positions, ZERO)
    return found


def week_of(moment: datetime) -> datetime:
    """The beginning of the UTC week, which is on Monday."""
    return day_of(moment) - timedelta(days=moment.weekday())


def month_of(moment: datetime) -> datetime:
    """The beginning of the UTC month."""
    return day_of(moment).replace(day=1)


PERIODS: Final[Mapping[RiskLimitKind, Callable[[datetime], datetime]]] = {
    RiskLimitKind.MAX_DAILY_LOSS: day_of,
    RiskLimitKind.MAX_WEEKLY_LOSS: week_of,
    RiskLimitKind.MAX_MONTHLY_LOSS: month_of,
}
"""The limits on what is lost in a period, with its beginning."""
LOSSES: Final = (*PERIODS, RiskLimitKind.MAX_DRAWDOWN)
"""The limits that are measured on the past, whatever is ordered now."""


def begins(kind: RiskLimitKind, created_at: datetime, now: datetime) -> datetime:
    """Since when a limit's figure looks at the past: for a drawdown, since the portfolio began."""
    return PERIODS[kind](now) if kind in PERIODS else day_of(created_at)


@exact
def lost(kind: RiskLimitKind, past: Past, created_at: datetime, now: datetime, equity: Decimal | None) -> Figure:
    """What a limit on losses measures, where the portfolio is worth `equity` now; none where that can't be said."""
    if equity is None:
        return Figure(None, NO_PRICE)
    try:
        if kind in PERIODS:
            return Figure(loss(past, PERIODS[kind](now), equity))
        return Figure(drawdown(past, created_at, now, equity))
    except Unpriced as unpriced:
        return Figure(None, str(unpriced))


@exact
def loss(past: Past, since: datetime, equity: Decimal) -> Decimal:
    """What was lost since then, deposits and withdrawals apart; 0 where something was gained. Raises `Unpriced`."""
    moved = sum((entry.amount for entry in past.entries if entry.at >= since and entry.kind in MOVED), ZERO)
    return max(ZERO, worths(past, [since])[since] + moved - equity)


@exact
def drawdown(past: Past, created_at: datetime, now: datetime, equity: Decimal) -> Decimal:
    """How far below its peak the portfolio is, as a fraction; raises `Unpriced`.

    Measured on a level that each day multiplies by `(worth + paid out) / (worth the day before + paid in)`, so that
    money that comes and goes is neither gain nor loss. The level is looked at when each UTC day closes, and now.
    """
    days = (day_of(now) - day_of(created_at)) // DAY
    closes = [day_of(created_at) + DAY * number for number in range(1, days + 1)]
    worth = worths(past, closes)
    flows: dict[datetime, list[Decimal]] = defaultdict(list)
    for entry in past.entries:
        if entry.kind in MOVED:
            flows[day_of(entry.at) + DAY].append(entry.amount)
    level = peak = Decimal(1)
    before = ZERO
    for close in [*closes, day_of(now) + DAY]:
        after = worth.get(close, equity)
        paid_in = sum((amount for amount in flows[close] if amount > 0), ZERO)
        paid_out = -sum((amount for amount in flows[close] if amount < 0), ZERO)
        base = before + paid_in
        if base > 0:
            if level == 0:
                level = peak = Decimal(1)
            level = max(ZERO, divide(level * (after + paid_out), base, LEVEL_PLACES))
        elif after < 0:
            level = ZERO
        peak, before = max(peak, level), after
    return divide(peak - level, peak)
