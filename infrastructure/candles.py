"""The one process that runs the feed keeps its candles too: those from before it ran, and those that it sees."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from itertools import groupby

import structlog

from infrastructure.background import Background
from infrastructure.candle_store import drop_minutes, latest_openings, store_candles, store_minutes
from infrastructure.feed import Feed
from infrastructure.services import Services
from models.candles import LENGTHS, Candle, opening
from models.enums import CandleInterval
from models.marketdata import Quote
from models.ticks import MinuteBuilder

LOOK_S = 1.0
"""The longest time between two looks at whether minutes have ended."""
GRACE = timedelta(seconds=2)
"""How long after its end a minute may still get its last quotes."""
MINUTES_KEPT = timedelta(days=1)
"""How far back minutes are filled in."""
SILENCE_MAX = timedelta(seconds=90)
"""A longer silence of the quotes has left out minutes, which are filled in then."""
SYMBOLS_AT_ONCE = 50
WAITING_MAX = 100_000
"""Candles that wait for the database in memory; beyond, the oldest are left to be filled in."""

MINUTE, HOUR, DAY = CandleInterval.ONE_MINUTE, CandleInterval.ONE_HOUR, CandleInterval.ONE_DAY

logger = structlog.get_logger(__name__)


class CandleKeeper:
    """Writes candles of every length while this process holds the feed's lease, that is while `term` is not 0.

    First it asks the feed for what is missing: `days` of daily candles and a day of minutes, up to now, from where the
    stored ones end. Then it builds minutes of the quotes (`on_quotes`) and keeps the longer ones up to date with each.
    What is stored from before is never changed, but for a day that was not finished. Minutes go after some days.
    """

    def __init__(self, services: Services, feed: Feed, term: Callable[[], int]) -> None:
        self._database, self._clock, self._feed, self._term = services.database, services.clock, feed, term
        self._built_in = 0
        """The term in which the minutes are built."""
        self._days = services.settings.candle_days
        self._builder = MinuteBuilder()
        self._waiting: list[Candle] = []
        self._told_at: datetime | None = None
        # Minutes that begin before it were not seen whole.
        self._whole_from: datetime | None = None
        self._filled = False
        self._minutes_kept = timedelta(days=services.settings.minute_candle_days)
        self._pruned: datetime | None = None
        self._woken = asyncio.Event()
        self._task = Background("candles", self._keeping)

    async def start(self) -> None:
        """Begin in the background."""
        self._task.start()

    async def stop(self) -> None:
        """End; the minute that goes on is filled in by the next process, where the feed has it."""
        await self._task.stop()

    async def on_quotes(self, quotes: list[Quote]) -> None:
        """A listener of the feed: counts the quotes in, and leaves the writing to the background."""
        self._forget_other_terms()
        now = self._clock.now()
        if self._told_at is None or now - self._told_at > SILENCE_MAX:
            self._filled, self._whole_from = False, now
        self._told_at = now
        if closed := self._builder.take(quotes):
            self._waiting = [*self._waiting, *closed][-WAITING_MAX:]
            self._woken.set()

    async def work(self, now: datetime) -> None:
        """One round: fill in what is missing if nobody has since the feed began, then write the ended minutes."""
        self._forget_other_terms()
        if not self._built_in or self._told_at is None:
            return
        if not self._filled:
            await self._fill(now)
            self._filled = True
        self._waiting += self._builder.close(now - GRACE)
        await self._write()
        await self._prune(now)

    async def _keeping(self) -> None:
        while True:
            await self.work(self._clock.now())
            self._woken.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._woken.wait(), LOOK_S)

    def _forget_other_terms(self) -> None:
        """Another process builds these minutes now, or has done so in between."""
        before, self._built_in = self._built_in, self._term()
        if self._built_in != before:
            self._builder, self._waiting, self._told_at = MinuteBuilder(), [], None

    async def _write(self) -> None:
        waiting = sorted(self._waiting, key=lambda candle: candle.opened_at)
        for opened_at, candles in groupby(waiting, key=lambda candle: candle.opened_at):
            minutes = await self._whole(opened_at, list(candles))
            for place in range(0, len(minutes), SYMBOLS_AT_ONCE):
                async with self._database.write() as transaction:
                    await store_minutes(transaction, minutes[place : place + SYMBOLS_AT_ONCE])
            done = {(candle.symbol, candle.opened_at) for candle in minutes}
            self._waiting = [each for each in self._waiting if (each.symbol, each.opened_at) not in done]

    async def _prune(self, now: datetime) -> None:
        """Once an hour: remove the minutes that are old enough."""
        hour = opening(HOUR, now)
        if hour == self._pruned:
            return
        for symbol in await latest_openings(self._database, HOUR):
            async with self._database.write() as transaction:
                removed = await drop_minutes(transaction, symbol, hour - self._minutes_kept)
            if removed:
                logger.info("old minutes removed", symbol=symbol, candles=removed)
        self._pruned = hour

    async def _whole(self, opened_at: datetime, minutes: list[Candle]) -> list[Candle]:
        """The minutes as seen; of one that was not seen from its beginning what the feed has, if it has it."""
        if self._days == 0 or self._whole_from is None or opened_at >= self._whole_from:
            return minutes

        def asked() -> list[Candle]:
            end = opened_at + LENGTHS[MINUTE]
            known = [candle for each in minutes for candle in self._feed.candles(each.symbol, MINUTE, opened_at, end)]
            missing = {each.symbol for each in minutes} - {candle.symbol for candle in known}
            return known + [each for each in minutes if each.symbol in missing]

        return await asyncio.to_thread(asked)

    # ---------------------------------------------------------------- what was before

    async def _fill(self, now: datetime) -> None:
        if self._days == 0:
            return
        days, hours, minutes = [await latest_openings(self._database, each) for each in (DAY, HOUR, MINUTE)]
        written = 0
        for symbol, latest in days.items():
            written += await self._fill_days(symbol, latest, now)
        for symbol, latest in minutes.items():
            # Imported minutes bring no hours with them.
            ours = latest is not None and hours.get(symbol) == opening(HOUR, latest)
            written += await self._fill_minutes(symbol, latest, now, ours=ours)
        if written:
            logger.info("candles filled in", candles=written)

    async def _fill_days(self, symbol: str, latest: datetime | None, now: datetime) -> int:
        today = opening(DAY, now)
        since = today - self._days * LENGTHS[DAY]
        if latest is not None:
            since = max(since, latest + LENGTHS[DAY])
        found = await self._ask(symbol, DAY, since, today)
        await self._store(found, replace=False)
        return len(found)

    async def _fill_minutes(self, symbol: str, latest: datetime | None, now: datetime, *, ours: bool) -> int:
        since, until = opening(HOUR, now - MINUTES_KEPT), opening(MINUTE, now)
        if latest is not None and ours and latest < since:
            # It went on for longer than minutes are filled in: the hour and the day that were left are made whole.
            await self._fill_span(symbol, latest + LENGTHS[MINUTE], opening(HOUR, latest) + LENGTHS[HOUR])
            day = opening(DAY, latest)
            await self._store(
                await self._ask(symbol, DAY, day, min(day + LENGTHS[DAY], opening(DAY, now))), replace=True
            )
        elif latest is not None:
            since = max(since, latest + LENGTHS[MINUTE])
        return await self._fill_span(symbol, since, until)

    async def _fill_span(self, symbol: str, since: datetime, until: datetime) -> int:
        found = await self._ask(symbol, MINUTE, since, until)
        async with self._database.write() as transaction:
            await store_minutes(transaction, found, whole_days=True)
        return len(found)

    async def _ask(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:
        return await asyncio.to_thread(self._feed.candles, symbol, interval, since, until) if since < until else []

    async def _store(self, candles: Sequence[Candle], *, replace: bool) -> None:
        if candles:
            async with self._database.write() as transaction:
                await store_candles(transaction, candles, replace=replace)
