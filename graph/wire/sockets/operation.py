"""One operation on a websocket."""

import asyncio
from collections.abc import Awaitable, Callable

import orjson
from graphql import OperationType
from starlette.types import Message

from graph.wire.answers import Answer
from graph.wire.channel import Channel
from graph.wire.fanout import Event, Fanout, Subscription
from graph.wire.outbox import Outbox
from graph.wire.requests import GraphQLRequest
from graph.wire.sockets.frames import said
from infrastructure.metrics import UNKNOWN, Operations
from resolvers.context import Context


class Operation(Channel):
    """From `subscribe` to `complete`, whichever side says it. It has nothing to do with the others of its socket."""

    def __init__(
        self,
        operation_id: str,
        request: GraphQLRequest,
        fanout: Fanout,
        outbox: Outbox,
        metrics: Operations,
        over: Callable[[str], None],
    ) -> None:
        super().__init__(outbox)
        self._id = operation_id
        self._request = request
        self._fanout = fanout
        self._metrics = metrics
        self._over = over
        # Only what stands before the payload differs between those who get the same.
        self._head = f'{{"id":{orjson.dumps(operation_id).decode()},"type":"next","payload":'
        self._subscription: Subscription | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self, begin: Callable[[], Awaitable[Context]]) -> None:
        """Execute it beside everything else."""
        self._task = self._fanout.task(self._run(begin))

    def silence(self) -> None:
        """Say nothing more of it."""
        self._ended = True
        self._lane.drop()

    async def close(self) -> None:
        """The client wants no more of it; a mutation that has begun is finished all the same."""
        self.silence()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._subscription is not None:
            await self._subscription.close()

    def end(self, answer: Answer | None) -> None:
        """Say so, and be forgotten."""
        if self._ended:
            return
        self._ended = True
        if answer is None:
            self._outbox.put(said("complete", id=self._id))
        else:
            self._outbox.put(said("error", id=self._id, payload=answer.errors))
        self._over(self._id)

    def _message(self, event: Event) -> Message:
        return {"type": "websocket.send", "text": f"{self._head}{event.text}}}"}

    async def _run(self, begin: Callable[[], Awaitable[Context]]) -> None:
        opened = await self._fanout.opened(self._request, begin)
        if isinstance(opened, Answer):
            self._metrics.count(UNKNOWN, opened.outcome)
            self.end(opened)
            return
        prepared, ctx = opened
        if prepared.kind is OperationType.SUBSCRIPTION and prepared.refusal is None:
            self._subscription = Subscription(self._fanout, self._request, begin, self)
            refusal = await self._subscription.admit(prepared, ctx)
            if refusal is None:
                self._subscription.start(prepared, ctx)
            else:
                self.end(refusal)
            return
        answer = await self._fanout.pipeline.answer(prepared, ctx)
        if not answer.executed:
            self.end(answer)
            return
        await self._outbox.room()
        if not self._ended:
            self.take(Event(answer, None))
            self.end(None)
