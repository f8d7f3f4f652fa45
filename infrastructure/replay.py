"""A market that is a recording."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import structlog

from models.candles import Candle
from models.enums import CandleInterval
from models.marketdata import Quote

_MICROSECOND = timedelta(microseconds=1)

logger = structlog.get_logger(__name__)


class ReplayFeed:
    """Plays quotes, in the order of their times, from the moment that it is first asked on, `speed` times as fast.

    Their times are moved with them: a quote recorded a minute after the first one has, at speed 2, a time half a minute
    after the beginning. Of the quotes of a symbol that fall between two questions only the last is given. When it has
    ended there are no more, and the last ones go stale. It has no candles from before, and nothing before `play`.
    """

    def __init__(self, speed: Decimal = Decimal(1)) -> None:
        self._speed = speed
        self._quotes: Iterator[Quote] = iter(())
        self._next: Quote | None = None
        self._recorded_from: datetime | None = None
        self._started_at: datetime | None = None
        # It is asked from two threads, and a generator can't be.
        self._lock = threading.Lock()

    def play(self, quotes: Iterator[Quote]) -> None:
        """Play these, the earliest first."""
        with self._lock:
            self._quotes, self._next, self._started_at = quotes, next(quotes, None), None
            self._recorded_from = None if self._next is None else self._next.as_of

    def quotes(self, now: datetime) -> list[Quote]:
        """What has come since it was asked before."""
        with self._lock:
            if self._recorded_from is None:
                return []
            self._started_at = self._started_at or now
            found: dict[str, Quote] = {}
            while self._next is not None and (at := self._moved(self._next.as_of)) <= now:
                found[self._next.symbol] = replace(self._next, as_of=at)
                self._next = next(self._quotes, None)
                if self._next is None:
                    logger.info("the replay has ended: the last quotes stay, and go stale")
            return list(found.values())

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:  # noqa: ARG002 - reason: the port's signature
        """None."""
        return []

    def _moved(self, recorded_at: datetime) -> datetime:
        """When a quote is played."""
        if self._recorded_from is None or self._started_at is None:
            return recorded_at
        elapsed = Decimal((recorded_at - self._recorded_from) // _MICROSECOND) / self._speed
        return self._started_at + timedelta(microseconds=int(elapsed))
