"""The latest quote of every instrument, in this process's memory."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any

from models.marketdata import Quote


class QuoteBoard:
    """What things cost just now; the feed or a refresh from the table keeps it. Never decides money: the table does."""

    def __init__(self, stale_after_ms: int) -> None:
        self._stale_after = timedelta(milliseconds=stale_after_ms)
        self._latest: dict[str, Quote] = {}
        self._moved = asyncio.Event()

    def put(self, quotes: list[Quote]) -> None:
        """Take newer quotes; older ones are passed over."""
        for quote in quotes:
            known = self._latest.get(quote.symbol)
            if known is None or known.as_of <= quote.as_of:
                self._latest[quote.symbol] = quote
        self._moved.set()
        self._moved = asyncio.Event()

    def moved(self) -> Coroutine[Any, Any, object]:
        """To wait until quotes are put after this call, also if that is before the waiting begins."""
        return self._moved.wait()

    def get(self, symbol: str) -> Quote | None:
        """The latest quote, if there ever was one."""
        return self._latest.get(symbol)

    def all(self) -> list[Quote]:
        """Every latest quote."""
        return list(self._latest.values())

    def stale(self, quote: Quote, now: datetime) -> bool:
        """Whether the quote is older than the feed promises."""
        return quote.age(now) > self._stale_after
