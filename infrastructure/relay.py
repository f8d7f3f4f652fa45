"""Reads the log as it grows, and wakes those who follow it.

One reader a process. Followers hold nothing but their own position: they read from the ring of the latest events, or
from the table when they are further behind, so that a slow one costs no memory and loses nothing.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncGenerator, Callable

import structlog

from infrastructure import log
from infrastructure.background import Background
from infrastructure.database import Database
from models.events import EventFilter, RecordedEvent

BATCH = 500
EVERYTHING = EventFilter()

logger = structlog.get_logger(__name__)


class Relay:
    """Follows the log of one database. `position` is up to where this process has seen it."""

    def __init__(self, database: Database, poll_s: float, ring: int) -> None:
        self._database = database
        self._poll_s = poll_s
        self._ring: collections.deque[RecordedEvent] = collections.deque(maxlen=ring)
        self._news = asyncio.Event()
        self._grown = asyncio.Condition()
        self._task = Background("relay", self._run)
        self._stopped = False
        self.position = 0
        self.epoch = ""

    async def start(self) -> None:
        """Begin at the log's end."""
        async with self._database.read() as connection:
            head = await log.head(connection)
        self.position, self.epoch = head.seq, head.epoch
        self._stopped = False
        self._database.listeners.append(self.wake)
        self._task.start()

    async def stop(self) -> None:
        """Stop reading; followers end."""
        with contextlib.suppress(ValueError):
            self._database.listeners.remove(self.wake)
        await self._task.stop()
        async with self._grown:
            self._stopped = True
            self._grown.notify_all()

    def wake(self, _position: int = 0) -> None:
        """Something was committed: read now, not at the next poll."""
        self._news.set()

    async def _run(self) -> None:
        while True:
            if not await self._read():
                # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes with the news.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._poll_s):
                        await self._news.wait()
                self._news.clear()

    async def _read(self) -> bool:
        async with self._database.read() as connection:
            events = await log.read_after(connection, self.position, EVERYTHING, BATCH)
        if not events:
            return False
        async with self._grown:
            self._ring.extend(events)
            self.position = events[-1].seq
            self._grown.notify_all()
        return True

    async def reached(self, position: int) -> None:
        """Wait until this process has seen the log up to `position`, or has stopped."""
        async with self._grown:
            await self._grown.wait_for(lambda: self.position >= position or self._stopped)

    async def follow(
        self, after: int, chosen: EventFilter, passed: Callable[[int], None] | None = None
    ) -> AsyncGenerator[RecordedEvent, None]:
        """Every event of the filter with a number above `after`, in order, each once; ends when the relay stops.

        `passed` is told up to which number there is none that has not been taken.
        """
        position = after
        while not self._stopped:
            if passed is not None:
                passed(position)
            if position >= self.position:
                await self.reached(position + 1)
                continue
            for recorded, matching in await self.behind(position, chosen):
                position = recorded
                if matching is not None:
                    yield matching

    async def behind(self, after: int, chosen: EventFilter) -> list[tuple[int, RecordedEvent | None]]:
        """What comes behind `after`: each event's number, and the event where the filter matches it.

        Not all of it at once, and never nothing where this process has seen the log behind `after`.
        """
        if self._ring and self._ring[0].seq <= after + 1:
            begin = after + 1 - self._ring[0].seq
            latest = [self._ring[index] for index in range(begin, len(self._ring))]
            return [(event.seq, event if chosen.matches(event) else None) for event in latest]
        until = self.position
        async with self._database.read() as connection:
            events = await log.read_after(connection, after, chosen, BATCH)
        found: list[tuple[int, RecordedEvent | None]] = [(event.seq, event) for event in events if event.seq <= until]
        if len(events) == BATCH and events[-1].seq < until:
            return found
        # Nothing of the filter is left up to where the process stood before it read: go on from there.
        return [*found, (until, None)]
