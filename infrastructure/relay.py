"""Reads the log as it grows, and tells those who follow it.

One reader a process. It looks up whom an event concerns by its owner, so that its cost does not grow with the number of
the others. A follower that keeps up has what is new put into a bounded queue; one that is behind reads from the ring of
the latest events, or from the table, so that a slow one costs no memory and loses nothing.

A process that was held up for so long that what it has not read yet is archived begins anew behind that.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self
from uuid import UUID

import structlog

from infrastructure import log
from infrastructure.background import Background
from infrastructure.database import Database
from infrastructure.statements import Statement
from models.cursors import CursorExpired
from models.events import EventFilter, RecordedEvent

BATCH = 500
QUEUE_MAX = 256
"""Events that are kept for a follower; one that has more to come reads them from the log itself."""
EVERYTHING = EventFilter()
_LAST_ARCHIVED = Statement(log.LAST_ARCHIVED)

Told = Callable[[RecordedEvent], None]
Missed = Callable[[], Awaitable[None]]

logger = structlog.get_logger(__name__)


class Applier(Protocol):
    """Follows the log as closely as the relay itself."""

    async def begin(self, epoch: str, position: int) -> None:
        """Start from a place in a log."""

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        """The log has gone on by these events."""


@dataclass(frozen=True, slots=True, eq=False)
class _Listener:
    chosen: EventFilter
    told: Told
    missed: Missed | None


class Relay:
    """Follows the log of one database. `position` is up to where this process has seen it."""

    def __init__(self, database: Database, poll_s: float, ring: int) -> None:
        self._database = database
        self._poll_s = poll_s
        self._ring: collections.deque[RecordedEvent] = collections.deque(maxlen=ring)
        self._news = asyncio.Event()
        self._grown = asyncio.Condition()
        self._task = Background("relay", self._run)
        self._owned: dict[UUID, set[_Listener]] = {}
        self._public: set[_Listener] = set()
        self._any: set[_Listener] = set()
        self._followers: set[Follower] = set()
        self._coming: set[asyncio.Future[None]] = set()
        self.stopped = False
        self.reading = False
        """Whether the log can be read: so it was when it was looked at last."""
        self.position = 0
        self.epoch = ""
        self.appliers: list[Applier] = []
        """What is kept right by the log: told of each event before `position` says that it has been seen."""

    async def start(self) -> None:
        """Begin at the log's end."""
        async with self._database.read() as connection:
            head = await log.head(connection)
        for applier in self.appliers:
            await applier.begin(head.epoch, head.seq)
        self.position, self.epoch = head.seq, head.epoch
        self.stopped, self.reading = False, True
        self._database.listeners.append(self.wake)
        self._task.start()

    async def stop(self) -> None:
        """Stop reading; followers end."""
        with contextlib.suppress(ValueError):
            self._database.listeners.remove(self.wake)
        await self._task.stop()
        async with self._grown:
            self.stopped = True
            self._grown.notify_all()
        for follower in list(self._followers):
            follower.deafen()

    def wake(self, *_: object) -> None:
        """Something was committed: read now, not at the next poll."""
        self._news.set()

    async def _run(self) -> None:
        try:
            while True:
                self._news.clear()
                count = await self._read()
                self.reading = True
                if count < BATCH:
                    # Not `wait_for`: before Python 3.12 it can swallow a cancellation that comes with the news.
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(self._poll_s):
                            await self._news.wait()
        finally:
            self.reading = False

    async def _read(self) -> int:
        """How many more events there are, up to `BATCH`."""
        events = await self._next()
        if not events:
            return 0
        async with self._grown:
            for applier in self.appliers:
                applier.apply(events)
            for event in events:
                self._ring.append(event)
                self.position = event.seq
                self._tell(event)
            self._grown.notify_all()
        return len(events)

    async def _next(self) -> list[RecordedEvent]:
        """What is new."""
        events = await self._after(self.position, EVERYTHING)
        if await self._lacks(self.position, events):
            await self._begin_behind()
            return await self._next()
        return events

    async def _after(self, seq: int, chosen: EventFilter) -> list[RecordedEvent]:
        """The next events of the filter. Every event comes this way in every process, and so past SQLAlchemy."""
        statement, values = log.reading(chosen, BATCH)
        return [RecordedEvent(*row) for row in await self._database.rows(statement, seq=seq, **values)]

    async def _lacks(self, seq: int, events: Sequence[RecordedEvent]) -> bool:
        """Whether what comes next behind that number is archived, and so not among the events read there."""
        if events and events[0].seq == seq + 1:
            return False  # the log has no gaps
        # Afterwards, as what is archived meanwhile is missing too.
        archived = await self._database.rows(_LAST_ARCHIVED)
        return bool(archived) and seq < archived[0][0]

    async def _begin_behind(self) -> None:
        """Go on behind what is archived: it was not seen, so that nothing that was kept by the log is good any more."""
        async with self._database.read() as connection:
            epoch, floor = (await log.head(connection)).epoch, (await log.floor(connection)).seq
        logger.warning("what this process had not read yet is archived", position=self.position, goes_on_behind=floor)
        for applier in self.appliers:
            await applier.begin(epoch, floor)
        for listener in {*self._any, *self._public, *(one for owned in self._owned.values() for one in owned)}:
            if listener.missed is not None:
                await listener.missed()
        async with self._grown:
            self._ring.clear()
            self.position, self.epoch = floor, epoch
            # They find what is archived by themselves, after what they were told before.
            for follower in list(self._followers):
                follower.deafen()
            for news in list(self._coming):
                _done(news)
            self._grown.notify_all()

    def _tell(self, event: RecordedEvent) -> None:
        concerned = self._public if event.owner_id is None else self._owned.get(event.owner_id, ())
        # Copies: who is told may stop listening.
        for listener in (*concerned, *self._any):
            if listener.chosen.matches(event):
                listener.told(event)

    def listen(self, chosen: EventFilter, told: Told, missed: Missed | None = None) -> Callable[[], None]:
        """Call `told` with each event of the filter that this process sees from now on, in order; answers with its end.

        `told` is called in the middle of everything: it may not wait, and it may not raise. `missed` is awaited where
        events can't be told any more, as they are archived, and before this process goes on behind them.
        """
        listener = _Listener(chosen, told, missed)
        owner_id = chosen.visible_to if chosen.owner_id is None else chosen.owner_id
        homes = [self._any] if owner_id is None else [self._owned.setdefault(owner_id, set())]
        if owner_id is not None and chosen.owner_id is None:
            homes.append(self._public)
        for home in homes:
            home.add(listener)

        def end() -> None:
            for home in homes:
                home.discard(listener)
            if owner_id is not None and self._owned.get(owner_id) == set():
                del self._owned[owner_id]

        return end

    async def reached(self, position: int) -> None:
        """Wait until this process has seen the log up to `position`, or has stopped."""
        async with self._grown:
            await self._grown.wait_for(lambda: self.position >= position or self.stopped)

    def coming(self, chosen: EventFilter) -> "asyncio.Future[None]":
        """Done when an event of the filter comes after this call, or may have come unseen."""
        news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        end = self.listen(chosen, lambda _event: _done(news))
        self._coming.add(news)
        news.add_done_callback(self._coming.discard)
        news.add_done_callback(lambda _news: end())
        return news

    def follow(self, after: int, chosen: EventFilter, idle: Callable[[int], None] | None = None) -> "Follower":
        """Every event of the filter with a number above `after`, in order, each once; ends when the relay stops.

        `idle` is told each time that nothing is left to give, with the number up to which that is so.
        """
        return Follower(self, after, chosen, idle)

    def attend(self, follower: "Follower", chosen: EventFilter, told: Told) -> Callable[[], None]:
        """Listen for a follower, which is told when the relay stops; answers with the end of it."""
        end = self.listen(chosen, told)
        self._followers.add(follower)

        def end_all() -> None:
            end()
            self._followers.discard(follower)

        return end_all

    async def behind(self, after: int, chosen: EventFilter) -> tuple[list[RecordedEvent], int]:
        """The next events of the filter behind `after`, and up to which number there are no more of them.

        Raises `CursorExpired` where some of them are archived.
        """
        until = self.position
        if self._ring and self._ring[0].seq <= after + 1:
            begin = after + 1 - self._ring[0].seq
            latest = [self._ring[index] for index in range(begin, len(self._ring))]
            return [event for event in latest if chosen.matches(event)], until
        events = await self._after(after, chosen)
        if await self._lacks(after, events):
            raise CursorExpired(log.ARCHIVED)
        found = [event for event in events if event.seq <= until]
        if len(events) == BATCH and events[-1].seq < until:
            return found, events[-1].seq
        # Nothing of the filter is left up to where the process stood before it read: go on from there.
        return found, until


class Follower(AsyncIterator[RecordedEvent]):
    """One reader's way along the log. Has to be closed."""

    def __init__(self, relay: Relay, after: int, chosen: EventFilter, idle: Callable[[int], None] | None) -> None:
        self._relay = relay
        self._chosen = chosen
        self._idle = idle
        self._queue: collections.deque[RecordedEvent] = collections.deque()
        self._known = after
        """Up to here every event of the filter was taken, or is in the queue."""
        self._passed = after
        self._waits: asyncio.Future[None] | None = None
        self._end: Callable[[], None] | None = None
        """Set while what is new is told."""

    @property
    def position(self) -> int:
        """Up to where whoever follows was given every event, and has come back for the next."""
        return max(self._passed, self._relay.position) if self._parked else self._passed

    @property
    def _parked(self) -> bool:
        return self._end is not None and self._waits is not None and not self._waits.done()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RecordedEvent:
        while not self._queue:
            self._passed = max(self._passed, self._known)
            if self._relay.stopped:
                raise StopAsyncIteration
            if self._end is not None:
                await self._news()
            elif self._known < self._relay.position:
                events, self._known = await self._relay.behind(self._known, self._chosen)
                self._queue.extend(events)
            else:
                # Nothing is awaited between comparing positions and this: what comes next is told.
                self._end = self._relay.attend(self, self._chosen, self._hear)
        event = self._queue.popleft()
        # The next one was asked for, so what came before it has been dealt with.
        self._passed = max(self._passed, event.seq - 1)
        return event

    async def aclose(self) -> None:
        """Stop following."""
        self.deafen()

    def deafen(self) -> None:
        """No longer be told what is new: it is in the log."""
        if self._end is not None:
            self._end()
            self._end = None
        self._wake()

    def _hear(self, event: RecordedEvent) -> None:
        if event.seq <= self._known:
            return
        if len(self._queue) >= QUEUE_MAX:
            self.deafen()
            return
        if self._parked:
            self._passed = max(self._passed, event.seq - 1)
        self._queue.append(event)
        self._known = event.seq
        self._wake()

    def _wake(self) -> None:
        if self._waits is not None:
            _done(self._waits)

    async def _news(self) -> None:
        if self._idle is not None:
            self._idle(max(self._passed, self._relay.position))
        self._waits = asyncio.get_running_loop().create_future()
        try:
            await self._waits
        finally:
            self._waits = None


def _done(news: "asyncio.Future[None]") -> None:
    if not news.done():
        news.set_result(None)
