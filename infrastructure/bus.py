"""The bus: handlers that react to events, each at its own pace, each event once.

A handler's checkpoint moves in the transaction of what it did, from where it was and no other place: so an event is
dealt with once, however many processes try, and whenever one is killed. Leases only spare them the trying.
"""

import asyncio
import inspect
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import delete, select, update

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure import log
from infrastructure.background import Background
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown, TookTooLong, Transaction
from infrastructure.leases import SharedLeases
from infrastructure.rows import columns, read_all, read_one, table, values
from infrastructure.services import Services
from models.enums import EventType
from models.events import EventFilter, RecordedEvent
from models.handling import Checkpoint, CheckpointRow, DeadLetter, DeadLetterRow

CHECKPOINTS, DEAD_LETTERS = table(CheckpointRow), table(DeadLetterRow)
LEASE = "handlers"
BATCH = 50
IDLE_MAX = 1000
"""How many events that are not a handler's own it may pass before it notes how far it has come."""
PAUSE_S_MAX = 30.0
ERROR_LENGTH_MAX = 1000

Reaction = Callable[[Services, Transaction, RecordedEvent], Awaitable[None] | None]

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Handler:
    """What reacts to events of these types: `react` does it in the transaction that it is given.

    `batch` is how many events share a transaction at most; 1 for a handler that locks what others wait for.
    """

    name: str
    types: frozenset[EventType]
    react: Reaction
    batch: int = BATCH

    @property
    def chosen(self) -> EventFilter:
        """Its own events."""
        return EventFilter(types=self.types)

    async def handle(self, services: Services, tx: Transaction, event: RecordedEvent) -> None:
        """React to one event; a plain function does so at once."""
        done = self.react(services, tx, event)
        if inspect.isawaitable(done):
            await done


class HandlerFailed(Exception):  # noqa: N818 - reason: the name says what it is
    """A handler took longer than it may, or something outside of the database did not answer it."""


class Overtaken(Exception):  # noqa: N818 - reason: it is no error
    """Another process has moved the handler's checkpoint: it has the handler now."""


class Bus:
    """Who reacts to what, and the work of it in this process.

    Each handler has a task of its own, so that one that fails or is slow holds up no other. The processes on one
    database share the handlers.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._handlers: dict[str, Handler] = {}
        self._by_type: dict[EventType, list[Handler]] = defaultdict(list)
        holder = str(services.ids.new())
        self._leases = SharedLeases(services.database, LEASE, holder, services.settings.lease_s, services.clock)
        self._sharing = Background("handlers", self._share)
        self._running: dict[str, Background] = {}

    def subscribe(self, handler: Handler) -> None:
        """Have it react; raises `ValueError` for a second one of that name."""
        if handler.name in self._handlers:
            raise ValueError(f"there are two handlers {handler.name}")
        self._handlers[handler.name] = handler
        for kind in handler.types:
            self._by_type[kind].append(handler)
            self._services.metrics.handlers.labels(kind).set(self.subscribers(kind))

    def subscribers(self, kind: EventType) -> int:
        """How many react to events of that type."""
        return len(self._by_type[kind])

    @property
    def running(self) -> frozenset[str]:
        """The handlers that this process has just now."""
        return frozenset(self._running)

    async def start(self) -> None:
        """Every handler begins, once and for all, where the log stands now; then share them, if the settings say so."""
        await self.register()
        if self._services.settings.handlers:
            self._sharing.start()

    async def register(self) -> None:
        """Note for each handler that is new where the log stands: what is older is none of its business."""
        async with self._services.database.read() as connection:
            known = set(await connection.scalars(select(CHECKPOINTS.c.handler)))
            head = await log.head(connection)
        if new := [Checkpoint(name, head.seq, 0) for name in self._handlers if name not in known]:
            async with self._services.database.write() as tx:
                rows = [{**values(checkpoint), "begun": head.seq} for checkpoint in new]
                await tx.execute(insert(CHECKPOINTS).on_conflict_do_nothing(), rows)

    async def stop(self) -> None:
        """End; what a handler has begun and not committed is rolled back. The others may have the handlers at once."""
        await self._sharing.stop()
        await self._run_only(set())
        if self._services.settings.handlers:
            try:
                await self._leases.release()
            except (DatabaseUnavailable, OutcomeUnknown) as error:
                logger.warning("the handlers' leases were not released: they run out by themselves", error=str(error))

    async def _share(self) -> None:
        while True:
            await self._run_only(await self._leases.share(self._handlers))
            await asyncio.sleep(self._services.settings.lease_s / 3)

    async def _run_only(self, names: set[str]) -> None:
        for name in self.running - names:
            await self._running.pop(name).stop()
        for name in names - self.running:
            runner = Runner(self._services, self._handlers[name])
            self._running[name] = Background(f"handler {name}", runner.run)
            self._running[name].start()
        self._services.metrics.handlers_running.set(len(self._running))


class Runner:
    """One handler on its way through the log."""

    def __init__(self, services: Services, handler: Handler) -> None:
        self._services, self._database, self._relay = services, services.database, services.relay
        self._handler = handler

    async def run(self) -> None:
        """Deal with every event of its own behind its checkpoint, in order; raises what the database raises.

        Ends when the relay stops, or another process has the handler.
        """
        at = await checkpoint(self._services, self._handler.name)
        async with self._database.read() as connection:
            # What is archived behind the checkpoint of a handler has nothing of its own.
            seen = max(at.seq, (await log.floor(connection)).seq)
        try:
            while True:
                await self._relay.reached(seen + 1)
                if self._relay.position <= seen:
                    return
                at, seen = await self.go_on(at, seen)
        except Overtaken:
            return

    async def go_on(self, at: Checkpoint, seen: int) -> tuple[Checkpoint, int]:
        """The next stretch of the log: where the checkpoint is after it, and up to where there is nothing to do."""
        own, until = await self._relay.behind(seen, self._handler.chosen)
        for begin in range(0, len(own), self._handler.batch):
            at = await self._deal(at, own[begin : begin + self._handler.batch])
        if until - at.seq >= IDLE_MAX:
            async with self._database.write() as tx:
                at = await move(tx, at, until)
        return at, until

    async def _deal(self, at: Checkpoint, batch: Sequence[RecordedEvent]) -> Checkpoint:
        """All of them in one transaction; if that fails, each in one of its own."""
        done = await self._tried(at, batch)
        if isinstance(done, Checkpoint):
            return done
        if len(batch) == 1:
            return await self._persist(at, batch[0], done)
        for event in batch:
            at = await self._deal(at, [event])
        return at

    async def _persist(self, at: Checkpoint, event: RecordedEvent, error: Exception) -> Checkpoint:
        """An event has failed: again after growing pauses, and when it has had its chances it is a dead letter."""
        pause_s = self._services.settings.handler_pause_ms / 1000
        while (at := await self._note(at, event, error)).seq < event.seq:
            await asyncio.sleep(min(pause_s * 2 ** (at.attempts - 1), PAUSE_S_MAX))
            done = await self._tried(at, [event])
            if isinstance(done, Checkpoint):
                return done
            error = done
        return at

    async def _tried(self, at: Checkpoint, batch: Sequence[RecordedEvent]) -> Checkpoint | Exception:
        """The checkpoint after them, or what the handler raised; then nothing of it is done.

        Raises what is not the handler's failure.
        """
        try:
            async with self._database.write() as tx:
                # First of all: another process that deals with the same waits here, and then finds it done.
                moved = await move(tx, at, batch[-1].seq)
                await handled(self._services, tx, self._handler, batch)
        except Exception as error:
            if isinstance(error, Overtaken) or _is_outage(error):
                raise
            seqs = [batch[0].seq, batch[-1].seq]
            logger.warning("a handler failed", handler=self._handler.name, seqs=seqs, exc_info=error)
            return error
        return moved

    async def _note(self, at: Checkpoint, event: RecordedEvent, error: Exception) -> Checkpoint:
        """Count the failure, also over restarts; with the last that it may have, the event is a dead letter."""
        attempts = at.attempts + 1
        name = self._handler.name
        async with self._database.write() as tx:
            if attempts < self._services.settings.handler_attempts:
                return await move(tx, at, at.seq, attempts)
            letter = DeadLetter(name, event.seq, attempts, _said(error), self._services.clock.now())
            await tx.execute(insert(DEAD_LETTERS).values(values(letter)).on_conflict_do_nothing())
            moved = await move(tx, at, event.seq)
        logger.error("a handler gave an event up", handler=name, seq=event.seq, exc_info=error)
        return moved


async def handled(services: Services, tx: Transaction, handler: Handler, events: Iterable[RecordedEvent]) -> None:
    """Have the handler react to each, in the time that it has for all of them together.

    The transaction holds others up, on SQLite everybody who writes.
    """
    try:
        async with asyncio.timeout(services.settings.handler_s) as patience:
            for event in events:
                await handler.handle(services, tx, event)
    except OSError as error:  # TimeoutError is one
        # As it is, the transaction would take it for a silence of the database.
        limit = f"it took longer than {services.settings.handler_s:g} s"
        raise HandlerFailed(limit if patience.expired() else _said(error)) from error


def _is_outage(error: Exception) -> bool:
    """Whether the database is gone, for which no handler can do anything: not so if it was only slow in an answer."""
    return isinstance(error, DatabaseUnavailable | OutcomeUnknown) and not isinstance(error, TookTooLong)


def _said(error: BaseException) -> str:
    if isinstance(error, TookTooLong):
        error = error.__cause__ or error
    return f"{type(error).__name__}: {error}".replace("\0", "")[:ERROR_LENGTH_MAX]


async def move(tx: Transaction, at: Checkpoint, seq: int, attempts: int = 0) -> Checkpoint:
    """The checkpoint, moved from where it is known to be; raises `Overtaken` if it is elsewhere."""
    moved = await tx.execute(
        update(CHECKPOINTS)
        .where(CHECKPOINTS.c.handler == at.handler, CHECKPOINTS.c.seq == at.seq, CHECKPOINTS.c.attempts == at.attempts)
        .values(seq=seq, attempts=attempts)
    )
    if moved.rowcount != 1:
        raise Overtaken(at.handler)
    return Checkpoint(at.handler, seq, attempts)


async def checkpoint(services: Services, name: str) -> Checkpoint:
    """How far a handler has come; raises `LookupError` for one that was never registered."""
    statement = select(*columns(CheckpointRow, Checkpoint)).where(CHECKPOINTS.c.handler == name)
    async with services.database.read() as connection:
        found = await read_one(connection, Checkpoint, statement)
    if found is None:
        raise LookupError(name)
    return found


async def dead_letters(services: Services, name: str | None = None) -> list[DeadLetter]:
    """What could not be dealt with and was not dropped, by handler and place in the log."""
    own = DEAD_LETTERS.c
    statement = select(*columns(DeadLetterRow, DeadLetter)).where(own.dropped_at.is_(None))
    statement = statement.order_by(own.handler, own.seq)
    if name is not None:
        statement = statement.where(own.handler == name)
    async with services.database.read() as connection:
        return await read_all(connection, DeadLetter, statement)


async def deal_again(services: Services, handler: Handler, event: RecordedEvent) -> str | None:
    """Deal with an event outside of the handler's turn, and its dead letter goes; what went wrong, if something did.

    Of one that is no dead letter nobody is told: it was dealt with in its time, or came before the handler.
    """
    dead = (DEAD_LETTERS.c.handler == handler.name) & (DEAD_LETTERS.c.seq == event.seq)
    try:
        async with services.database.write() as tx:
            tx.replays = not (await tx.execute(delete(DEAD_LETTERS).where(dead))).rowcount
            await handled(services, tx, handler, [event])
    except Exception as error:
        if _is_outage(error):
            raise
        logger.warning("a handler failed", handler=handler.name, seq=event.seq, exc_info=error)
        return f"{handler.name} at {event.seq}: {_said(error)}"
    return None
