"""A market that is a pure function of (seed, listing, moment): a restart, another process or a look back see one path.

The logarithm of the price is a sum of octaves of value noise: each octave has random levels at the points of its own
lattice, eased from one to the next, and an amplitude that grows with the root of its period, as a random walk's does.
Levels are hashes and the sums are integers, so that the path is the same on every machine.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, InvalidOperation, Overflow
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from models.catalogue import Listing

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SLOT: Final = timedelta(milliseconds=250)
_SLOTS_PER_SECOND: Final = 4
_SLOTS_PER_DAY: Final = 86_400 * _SLOTS_PER_SECOND
_TRADING_DAYS_PER_YEAR: Final = 252

# The day's high, low and volume are gathered in cells of a quarter of an hour, and these in hours.
_SLOTS_PER_CELL: Final = 900 * _SLOTS_PER_SECOND
_CELLS_PER_HOUR: Final = 4
_CELLS_PER_DAY: Final = 24 * _CELLS_PER_HOUR

# An octave's period is 2**k slots: from 2 seconds (k = 3) to a little more than a year (k = 27).
_OCTAVES: Final = range(3, 28)
_LEVEL_BITS: Final = 63
_LOG_UNITS: Final = 10**18
# Measured: with this factor the variance of a day's move is that of the listing (the octaves overlap, so it is not 1).
_AMPLITUDE_FACTOR: Final = Decimal("0.78")
# 5% a year, for ten years to each side of an anchor; bounded, so that no moment is out of a price's range.
_DRIFT_ANCHOR_SLOT: Final = (datetime(2026, 1, 1, tzinfo=UTC) - _EPOCH) // _SLOT
_DRIFT_SLOTS_MAX: Final = 3_652 * _SLOTS_PER_DAY
_DRIFT_PER_SLOT: Final = _LOG_UNITS // 20 // 365 // _SLOTS_PER_DAY

# Its own context: what a caller has set for his thread must not move the market.
_CONTEXT: Final = Context(
    prec=28,
    rounding=ROUND_HALF_EVEN,
    Emin=-999_999,
    Emax=999_999,
    capitals=1,
    clamp=0,
    flags=[],
    traps=[InvalidOperation, DivisionByZero, Overflow],
)


@dataclass(frozen=True, slots=True)
class SimulatedQuote:
    """What the simulated market shows of one instrument in one slot of 250 ms.

    Prices are multiples of the tick, sizes and volume of the lot, and `tick <= bid <= last <= ask`, `bid < ask`,
    `low <= open, last <= high`. A day is a UTC day: `open` is its first price, `previous_close` the last one before
    it, `volume` what was traded since. `high` and `low` are over its quarter hours' first prices and now: an extreme
    between two of these is shown while it lasts. `as_of` is the slot's beginning, in UTC.
    """

    symbol: str
    bid: Decimal
    bid_size: Decimal
    ask: Decimal
    ask_size: Decimal
    last: Decimal
    open: Decimal
    high: Decimal
    low: Decimal
    previous_close: Decimal
    volume: Decimal
    as_of: datetime


def quote_at(seed: int, listing: Listing, moment: datetime) -> SimulatedQuote:
    """The quote of `listing` at `moment`, the same for the same arguments, always and everywhere.

    Raises:
        ValueError: The moment has no time zone.
    """
    path = _path(seed, listing)
    slot = _slot(moment)
    midnight = slot - slot % _SLOTS_PER_DAY
    last = _ticks(path, slot)
    day = _day_so_far(path, slot, last)
    book = _book(path, slot // _SLOTS_PER_SECOND, last)
    tick, lot, times = listing.tick_size, listing.lot_size, _CONTEXT.multiply
    return SimulatedQuote(
        symbol=listing.symbol,
        bid=times(tick, book.bid),
        bid_size=times(lot, book.bid_lots),
        ask=times(tick, book.ask),
        ask_size=times(lot, book.ask_lots),
        last=times(tick, last),
        open=times(tick, _kept_ticks(path, midnight)),
        high=times(tick, day.high),
        low=times(tick, day.low),
        previous_close=times(tick, _kept_ticks(path, midnight - 1)),
        volume=times(lot, day.lots),
        as_of=_EPOCH + slot * _SLOT,
    )


def price_at(seed: int, listing: Listing, moment: datetime) -> Decimal:
    """The last price of `listing` at `moment`: what `quote_at` has as `last`, for less work.

    Raises:
        ValueError: The moment has no time zone.
    """
    return _CONTEXT.multiply(listing.tick_size, _ticks(_path(seed, listing), _slot(moment)))


@dataclass(frozen=True, slots=True)
class SimulatedSpan:
    """What a price did from `opened_at` on, as far as it was looked at; `low <= open, close <= high`."""

    opened_at: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal


def spans(
    seed: int, listing: Listing, start: datetime, length: timedelta, count: int, looks: int
) -> list[SimulatedSpan]:
    """`count` spans of the path one after the other, the first from `start` on, each of `length`.

    A span is looked at `looks` times, at equal distances from its beginning, and in its last slot: open is
    `price_at` its beginning, close in its last slot, high and low are the extremes of all looks. Its volume is what
    quotes gained in it; of a span longer than a quarter of an hour, what the quarters it was looked at in stand for.

    Raises:
        ValueError: `start` has no time zone, or a span is no whole number of slots and looks.
    """
    path = _path(seed, listing)
    slots, odd = divmod(length, _SLOT)
    if odd or slots % looks:
        raise ValueError(f"{looks} looks do not divide {length} into slots")
    first = _slot(start)
    steps = [*range(0, slots, slots // looks), slots - 1]
    logs = _logs(path, [first + span * slots + step for span in range(count) for step in steps])
    tick, lot, times = listing.tick_size, listing.lot_size, _CONTEXT.multiply
    found = []
    for span in range(count):
        seen = logs[span * len(steps) : (span + 1) * len(steps)]
        # The exponential grows with its argument, so that only four of the looks need one.
        ticks = {log: _ticks_of(path, log) for log in {seen[0], max(seen), min(seen), seen[-1]}}
        opened = first + span * slots
        found.append(
            SimulatedSpan(
                opened_at=_EPOCH + opened * _SLOT,
                open=times(tick, ticks[seen[0]]),
                high=times(tick, ticks[max(seen)]),
                low=times(tick, ticks[min(seen)]),
                close=times(tick, ticks[seen[-1]]),
                volume=times(lot, _lots(path, opened, slots, looks)),
            )
        )
    return found


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """One listing's path under one seed; compared by identity, so that it is a cheap key of the caches below."""

    seed: int
    symbol: str
    base_ticks: Decimal
    touch_lots: int
    amplitudes: tuple[int, ...]
    phases: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class _Book:
    bid: int
    ask: int
    bid_lots: int
    ask_lots: int


@dataclass(frozen=True, slots=True)
class _Traded:
    """Extremes in ticks and volume in lots over a span of time."""

    high: int
    low: int
    lots: int


def _slot(moment: datetime) -> int:
    if moment.tzinfo is None:
        raise ValueError(f"A moment needs a time zone: {moment.isoformat()}")
    return (moment - _EPOCH) // _SLOT


@lru_cache(maxsize=1_024)
def _path(seed: int, listing: Listing) -> _Path:
    daily = _CONTEXT.divide(listing.annual_volatility, _CONTEXT.sqrt(Decimal(_TRADING_DAYS_PER_YEAR)))
    unit = _CONTEXT.multiply(_CONTEXT.multiply(daily, _AMPLITUDE_FACTOR), Decimal(_LOG_UNITS))
    roots = (_CONTEXT.sqrt(_CONTEXT.divide(Decimal(1 << octave), Decimal(_SLOTS_PER_DAY))) for octave in _OCTAVES)
    return _Path(
        seed=seed,
        symbol=listing.symbol,
        base_ticks=_CONTEXT.divide(listing.base_price, listing.tick_size),
        touch_lots=int(_CONTEXT.divide_int(listing.touch_size, listing.lot_size)),
        amplitudes=tuple(int(_CONTEXT.multiply(unit, root)) for root in roots),
        # Lattices that began together would all stand still together at their common points.
        phases=tuple(_hash(seed, listing.symbol, f"phase-{octave}", 0) & ((1 << octave) - 1) for octave in _OCTAVES),
    )


def _ticks(path: _Path, slot: int) -> int:
    """The last price in the slot, in ticks."""
    log = max(-_DRIFT_SLOTS_MAX, min(_DRIFT_SLOTS_MAX, slot - _DRIFT_ANCHOR_SLOT)) * _DRIFT_PER_SLOT
    for octave, amplitude, phase in zip(_OCTAVES, path.amplitudes, path.phases, strict=True):
        index, offset = divmod(slot + phase, 1 << octave)
        start = _level(path, octave, index)
        step = _level(path, octave, index + 1) - start
        # Smoothstep, 3t^2 - 2t^3 with t = offset / period, in units of period^3.
        eased = offset * offset * ((3 << octave) - 2 * offset)
        log += amplitude * (start + (step * eased >> 3 * octave)) >> _LEVEL_BITS
    return _ticks_of(path, log)


def _ticks_of(path: _Path, log: int) -> int:
    """The price of this logarithm over the base price, in ticks: at least one, rounded half-even."""
    growth = _CONTEXT.exp(_CONTEXT.divide(Decimal(log), Decimal(_LOG_UNITS)))
    return max(1, int(_CONTEXT.multiply(path.base_ticks, growth).to_integral_value(ROUND_HALF_EVEN)))


def _logs(path: _Path, slots: list[int]) -> list[int]:
    """What `_ticks` adds up, for many slots in ascending order: an octave's lattice points are each made once."""
    logs = [
        max(-_DRIFT_SLOTS_MAX, min(_DRIFT_SLOTS_MAX, slot - _DRIFT_ANCHOR_SLOT)) * _DRIFT_PER_SLOT for slot in slots
    ]
    # The sums are those of `_ticks`, written for speed: a first start makes a hundred thousand of them.
    for octave, amplitude, phase in zip(_OCTAVES, path.amplitudes, path.phases, strict=True):
        mask, longest, cubed = (1 << octave) - 1, 3 << octave, 3 * octave
        prefix = f"{path.seed}/{path.symbol}/{octave}/"
        known, start, end, step = -_LOG_UNITS, 0, 0, 0
        for place, slot in enumerate(slots):
            at = slot + phase
            if (index := at >> octave) != known:
                start = end if index == known + 1 else _noise(prefix, index)
                end = _noise(prefix, index + 1)
                step, known = end - start, index
            offset = at & mask
            logs[place] += (
                amplitude * (start + (step * (offset * offset * (longest - 2 * offset)) >> cubed)) >> _LEVEL_BITS
            )
    return logs


@lru_cache(maxsize=65_536)
def _level(path: _Path, octave: int, index: int) -> int:
    """The noise at one lattice point, between -2**63 and 2**63."""
    return _hash(path.seed, path.symbol, str(octave), index) - (1 << _LEVEL_BITS)


@lru_cache(maxsize=32_768)
def _kept_ticks(path: _Path, slot: int) -> int:
    """`_ticks` at a slot that many quotes ask for."""
    return _ticks(path, slot)


def _book(path: _Path, second: int, last: int) -> _Book:
    """The touch around `last`: a spread of 1 to 4 basis points, at least one tick, and 1 to 3 times the touch size."""
    bits = _hash(path.seed, path.symbol, "book", second)
    shares = [bits >> shift & 0xFFFF for shift in (0, 16, 32, 48)]
    spread = max(1, last * (0x10000 + 3 * shares[0]) // 0x10000 // 10_000)
    bid = max(1, last - ((spread + 1) * shares[1] >> 16))
    return _Book(
        bid=bid,
        ask=bid + spread,
        bid_lots=path.touch_lots + (2 * path.touch_lots * shares[2] >> 16),
        ask_lots=path.touch_lots + (2 * path.touch_lots * shares[3] >> 16),
    )


def _day_so_far(path: _Path, slot: int, last: int) -> _Traded:
    cell, into_cell = divmod(slot, _SLOTS_PER_CELL)
    first_cell = cell - cell % _CELLS_PER_DAY
    hour = cell // _CELLS_PER_HOUR
    spans = [_hour(path, past) for past in range(first_cell // _CELLS_PER_HOUR, hour)]
    spans += [_cell(path, past) for past in range(hour * _CELLS_PER_HOUR, cell)]
    now = _cell(path, cell)
    spans.append(_Traded(max(now.high, last), min(now.low, last), now.lots * into_cell // _SLOTS_PER_CELL))
    return _together(spans)


@lru_cache(maxsize=8_192)
def _hour(path: _Path, hour: int) -> _Traded:
    first_cell = hour * _CELLS_PER_HOUR
    return _together([_cell(path, cell) for cell in range(first_cell, first_cell + _CELLS_PER_HOUR)])


@lru_cache(maxsize=8_192)
def _cell(path: _Path, cell: int) -> _Traded:
    """A cell's first price, and what is traded in it."""
    ticks = _kept_ticks(path, cell * _SLOTS_PER_CELL)
    return _Traded(ticks, ticks, _cell_lots(path, cell))


@lru_cache(maxsize=8_192)
def _cell_lots(path: _Path, cell: int) -> int:
    """What is traded in a cell: 150 to 750 times the touch size."""
    share = _hash(path.seed, path.symbol, "volume", cell) & 0xFFFF
    return path.touch_lots * 150 + (path.touch_lots * 600 * share >> 16)


def _lots(path: _Path, opened: int, slots: int, looks: int) -> int:
    """What is traded in a span: exactly in one that lies in a cell, by samples in a longer one."""
    cell, into = divmod(opened, _SLOTS_PER_CELL)
    if into + slots <= _SLOTS_PER_CELL:
        # Like the volume of quotes, so that spans one after the other add up to it.
        lots = _cell_lots(path, cell)
        return lots * (into + slots) // _SLOTS_PER_CELL - lots * into // _SLOTS_PER_CELL
    seen = sum(_cell_lots(path, (opened + look * slots // looks) // _SLOTS_PER_CELL) for look in range(looks))
    return seen * slots // (looks * _SLOTS_PER_CELL)


def _together(spans: list[_Traded]) -> _Traded:
    return _Traded(
        high=max(span.high for span in spans),
        low=min(span.low for span in spans),
        lots=sum(span.lots for span in spans),
    )


def _noise(prefix: str, index: int) -> int:
    """`_level` without its cache."""
    return int.from_bytes(blake2b(f"{prefix}{index}".encode(), digest_size=8).digest()) - (1 << _LEVEL_BITS)


def _hash(seed: int, symbol: str, name: str, index: int) -> int:
    """64 bits that look random and are a function of the arguments."""
    digest = blake2b(f"{seed}/{symbol}/{name}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)
