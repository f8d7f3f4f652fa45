"""Subscriptions: each begins by itself, and goes on together with those that get the same.

A subscription's own run reads what lies behind its cursor. When it has come to the present, it joins the run of the
others with the same key, or becomes that run: from then on each event is executed and encoded once for all of them.
Whoever can't take more leaves, and begins again by itself from the last that it was given.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Protocol

import structlog

from graph.wire.answers import Answer, failed
from graph.wire.outbox import Rest, begun
from graph.wire.pipeline import SUBSCRIPTION, Admission, Pipeline, Prepared
from graph.wire.requests import GraphQLRequest
from graph.wire.sharing import Key, key_of
from graph.wire.turns import Turns
from resolvers.context import Context
from resolvers.events.queries import cursor_of
from resolvers.events.streams import Mark, mark_of

logger = structlog.get_logger(__name__)

BURST = 64
"""Deliveries in a row, before others have their turn."""


class Event:
    """What one event of a stream says to everybody who follows it."""

    __slots__ = ("_sent", "_text", "answer", "mark")

    def __init__(self, answer: Answer, mark: Mark | None) -> None:
        self.answer = answer
        self.mark = mark
        self._text: str | None = None
        self._sent: bytes | None = None

    @property
    def text(self) -> str:
        """The answer as JSON, encoded once for all."""
        if self._text is None:
            self._text = self.answer.encoded().decode()
        return self._text

    @property
    def sent(self) -> bytes:
        """The answer as a server-sent event, whose id is the cursor."""
        if self._sent is None:
            place = b"" if self.mark is None else b"id: %b\n" % self.mark.cursor.encode()
            self._sent = b"event: next\n%bdata: %b\n\n" % (place, self.text.encode())
        return self._sent


class Sink(Protocol):
    """Where a subscription's events go: to one client."""

    def take(self, event: Event) -> bool:
        """Send it or keep it until it can be sent; False if too much is kept already."""
        ...

    def gather(self) -> None:
        """Perhaps more comes right behind what is sent next: it may go out together."""
        ...

    async def room(self) -> None:
        """Wait until nothing is kept."""
        ...

    def drop(self) -> None:
        """Leave out what is kept."""
        ...

    def end(self, answer: Answer | None) -> None:
        """The stream is over: by itself, or with an error."""
        ...


Begin = Callable[[], Awaitable[Context]]
"""A context for an operation that begins now; raises `Unauthenticated`."""


class Fanout:
    """All subscriptions of a process. `turns` are those of who begins one."""

    def __init__(self, pipeline: Pipeline, turns: Turns) -> None:
        self.pipeline = pipeline
        self.turns = turns
        self.subscriptions = 0
        """Open ones."""
        self._runs: dict[Key, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """Runs that may be joined."""
        return len(self._runs)

    def task(self, work: Any) -> "asyncio.Task[None]":
        """Run it; the loop itself keeps only weak references to tasks."""
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def opened(self, request: GraphQLRequest, begin: Begin) -> tuple[Prepared, Context] | Answer:
        """An operation, prepared for who asks now, or why nobody can ask."""
        try:
            ctx = await begin()
            return self.pipeline.prepare(request, ctx), ctx
        except Exception as error:  # noqa: BLE001 - reason: whatever it is, it is said, masked and logged
            return Answer.refused(failed(error))

    def come_to_rest(self, run: "Run", position: int | None) -> None:
        """A run by itself has come to the present: it joins the others, or is the one to be joined."""
        if run.key is None:
            return
        other = self._runs.get(run.key)
        if other is None:
            self._runs[run.key] = run
            run.published = True
        elif other.can_be_joined(position):
            run.hand_over(other, position)

    def withdraw(self, run: "Run") -> None:
        """No longer to be joined."""
        if run.published and run.key is not None and self._runs.get(run.key) is run:
            del self._runs[run.key]
        run.published = False


class Run:
    """One execution of a subscription, for one reader or for many. To the stream it is the reader."""

    def __init__(self, fanout: Fanout, prepared: Prepared, ctx: Context, after: str | None) -> None:
        self._fanout = fanout
        self._prepared = prepared
        self._ctx = ctx
        self.after = after
        self.key = key_of(prepared, ctx.viewer, fanout.pipeline.schema._schema)  # noqa: SLF001 - reason: as in Pipeline
        self.published = False
        self.members: dict[Subscription, int] = {}
        """Each with the place in the log up to which it has been given everything."""
        self._position = 0
        self.sent: dict[Hashable, Hashable] = {}
        """Of a stream of the latest: what was sent, by key. It is the stream's own."""
        self._given = 0
        self._resting = False
        self._turn = fanout.turns.turn()
        """It lasts while the run reads what lies behind its reader's cursor, but for when it waits for the reader."""
        ctx.reader = self
        self._task: asyncio.Task[None] | None = None

    def start(self, member: "Subscription") -> None:
        """Begin, for one reader."""
        self.members[member] = -1
        self._task = self._fanout.task(self._go())

    def can_be_joined(self, position: int | None) -> bool:
        """Whether who has everything up to this place (of streams of the latest: of a round) misses nothing here."""
        return self._resting if position is None else self._position <= position

    def hand_over(self, other: "Run", position: int | None) -> None:
        """Every reader goes on with the other run, and this one ends."""
        for member in self.members:
            other.members[member] = -1 if position is None else position
            member.run = other
        # What only they were given may be as it was before by the next round: it is sent all the same.
        for key in [key for key, mark in other.sent.items() if self.sent.get(key) != mark]:
            del other.sent[key]
        self.members.clear()
        self.close()

    def leave(self, member: "Subscription") -> "asyncio.Task[None] | None":
        """One reader less; without any the run ends: then its task is the answer."""
        self.members.pop(member, None)
        return None if self.members else self.close()

    def close(self) -> "asyncio.Task[None] | None":
        """End, without a word to anybody."""
        self._fanout.withdraw(self)
        if self._task is not None:
            self._task.cancel()
        return self._task

    def rest(self, position: int | None, sent: dict[Hashable, Hashable] | None = None) -> None:
        """The stream has given everything, and waits."""
        if not self.members:
            return  # ended by its last reader just now, within its own turn: nobody may join it any more
        self._resting = True
        self._turn.end()
        if sent is not None:
            self.sent = sent
        if position is not None:
            self._position = max(self._position, position)
        if not self.published:
            if position is not None:
                place = cursor_of(self._ctx, position)
                for member in self.members:
                    member.placed(place)
            self._fanout.come_to_rest(self, position)

    async def _go(self) -> None:
        final: Answer | None = None
        pipeline = self._fanout.pipeline
        try:
            await self._turn.take()
            source = await pipeline.source(self._prepared)
            if isinstance(source, Answer):
                final = source
            else:
                async with contextlib.aclosing(source) as items:
                    async for item in items:
                        self._resting, mark = False, mark_of(self._ctx, item)
                        if mark is not None:
                            self._position = max(self._position, mark.seq)
                        await self._deliver(Event(await pipeline.event(self._prepared, item), mark))
                        self._given += 1
                        if not (self.published or self._given % BURST):
                            await asyncio.sleep(0)
        except Exception as error:  # noqa: BLE001 - reason: as above
            final = Answer.refused(failed(error))
        finally:
            self._turn.end()
            self._ctx.forget()
        self._fanout.withdraw(self)
        for member in list(self.members):
            member.end(final)

    async def _deliver(self, event: Event) -> None:
        if not self.published:
            for member in list(self.members):
                if (rest := begun(member.give(event))) is not None:
                    await self._out_of_turn(rest)
            return
        for count, (member, since) in enumerate(list(self.members.items()), 1):
            if member.run is self and (event.mark is None or event.mark.is_news(since)):
                member.offer(event)
            if not count % BURST:
                await asyncio.sleep(0)

    async def _out_of_turn(self, rest: Rest) -> None:
        """Wait for a client or for its budget, and let others begin meanwhile."""
        lasted = self._turn.lasts
        self._turn.end()
        await rest
        if lasted:
            await self._turn.take()


class Subscription:
    """One reader's subscription, from its beginning to its end."""

    def __init__(self, fanout: Fanout, request: GraphQLRequest, begin: Begin, sink: Sink) -> None:
        self._fanout = fanout
        self._request = request
        self._begin = begin
        self._sink = sink
        self._cursor: str | None = None
        """Of the last that was given, or where it began."""
        self._admission: Admission | None = None
        self._task: asyncio.Task[None] | None = None
        self._over = False
        self._outcome = "OK"
        self._count: Callable[[str, str], None] | None = None
        self.run: Run | None = None
        fanout.subscriptions += 1

    async def admit(self, prepared: Prepared, ctx: Context) -> Answer | None:
        """Ask the guard; an answer is a refusal, and with it this is over."""
        self._count = ctx.services.metrics.operations.count
        try:
            admitted = await self._fanout.pipeline.admit(prepared, ctx)
        except Exception as error:  # noqa: BLE001 - reason: as above
            admitted = Answer.refused(failed(error))
        if isinstance(admitted, Answer):
            self._outcome = admitted.outcome
            await self._finished()
            return admitted
        self._admission = admitted
        return None

    def start(self, prepared: Prepared, ctx: Context, after: str | None = None) -> None:
        """Begin, once it is admitted, behind a cursor that the reader came back with."""
        self._cursor = after
        self._run(prepared, ctx)

    async def close(self) -> None:
        """End it, because the reader wants no more."""
        tasks = [task for task in (self._task, self._leave()) if task is not None]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._finished()

    def end(self, answer: Answer | None) -> None:
        """It has ended by itself, or with an error. Never raises: a run ends all that share it, one after the other."""
        self._leave()
        if answer is not None:
            self._outcome = answer.outcome
        self._fanout.task(self._finished())
        try:
            self._sink.end(answer)
        except Exception:
            logger.exception("a reader could not be told that a subscription has ended")

    def placed(self, cursor: str) -> None:
        """Its beginning, once that is known: who begins again before the first event does so there, not later."""
        if self._cursor is None:
            self._cursor = cursor

    async def give(self, event: Event) -> None:
        """Send it, when the client can take it."""
        await self._sink.room()
        if self._admission is not None:
            await self._admission.delivered(event.answer)
        self._sink.gather()
        await self._surely(event)

    def offer(self, event: Event) -> None:
        """Send it now, or at least keep it; if neither can be, go on by oneself. What fails ends this one alone."""
        try:
            rest = None if self._admission is None else begun(self._admission.delivered(event.answer))
            sent = rest is None and self._send(event)
        except Exception as error:  # noqa: BLE001 - reason: as above
            self.end(Answer.refused(failed(error)))
            return
        if sent:
            return
        self._leave()
        if rest is not None:
            self._task = self._fanout.task(self._held_back(rest, event))
            return
        if event.mark is None:
            self._sink.drop()  # of what is only the latest
        self._task = self._fanout.task(self._again())

    async def _surely(self, event: Event) -> None:
        """Send it; others of the same client may fill what there is of room, so it waits until it is taken."""
        while not self._send(event):
            await self._sink.room()

    def _send(self, event: Event) -> bool:
        if not self._sink.take(event):
            return False
        if event.mark is not None:
            self._cursor = event.mark.cursor
        return True

    def _run(self, prepared: Prepared, ctx: Context) -> None:
        self.run = Run(self._fanout, prepared, ctx, self._cursor)
        self.run.start(self)

    def _leave(self) -> "asyncio.Task[None] | None":
        run, self.run = self.run, None
        return None if run is None else run.leave(self)

    async def _held_back(self, rest: Rest, event: Event) -> None:
        await rest
        await self._surely(event)
        await self._again()

    async def _again(self) -> None:
        """Begin again, behind the last that was given, when the client has taken what it was sent."""
        await self._sink.room()
        opened = await self._fanout.opened(self._request, self._begin)
        refusal = opened if isinstance(opened, Answer) else opened[0].refusal
        if isinstance(opened, Answer) or refusal is not None:
            self.end(refusal)
        else:
            self._run(*opened)

    async def _finished(self) -> None:
        if self._over:
            return
        self._over = True
        self._fanout.subscriptions -= 1
        if self._count is not None:
            self._count(SUBSCRIPTION.value, self._outcome)
        if self._admission is not None:
            await self._admission.settle(None)
