"""GraphQL over server-sent events: the distinct connections mode of graphql-sse, one operation a request.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

import asyncio
from collections.abc import Awaitable, Callable

from graphql import OperationType
from starlette.types import Message, Receive, Send

from graph.wire.answers import Answer, failed
from graph.wire.fanout import Event, Fanout, Subscription
from graph.wire.outbox import Lane, Outbox
from graph.wire.pipeline import Prepared
from graph.wire.requests import GraphQLRequest
from infrastructure.relay import QUEUE_MAX
from infrastructure.settings import Settings
from models.errors import Unauthenticated
from resolvers.context import Context
from resolvers.signed_in import SignIn

EVENTS = "text/event-stream"
LATEST_MAX = 32
"""As on a websocket: of a stream of the latest so much waits."""
HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store, no-transform"),
    (b"vary", b"Accept"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)


class EventStream:
    """One response that goes on: the answers of one operation."""

    def __init__(self, fanout: Fanout, settings: Settings, receive: Receive, send: Send) -> None:
        self._fanout = fanout
        self._settings = settings
        self._receive = receive
        self._send = send
        self._outbox = Outbox(send, settings.unread_ms_max / 1000, self._finish)
        self._lane = Lane()
        self._over = asyncio.Event()
        self._sign_in: SignIn | None = None
        self._ended = False

    async def run(
        self, request: GraphQLRequest, ctx: Context, begin: Callable[[], Awaitable[Context]], after: str | None
    ) -> None:
        """Until it is over, or the client leaves. `after` is the cursor of the last event that the client has seen."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        self._put(b":\n\n")
        subscription: Subscription | None = None
        leaving = asyncio.create_task(self._left())
        beating = asyncio.create_task(self._beat())
        answering: asyncio.Task[None] | None = None
        try:
            async with self._fanout.turns.turn():
                await self._watch(ctx)
            prepared = self._fanout.pipeline.prepare(request, ctx)
            if prepared.kind is OperationType.SUBSCRIPTION and prepared.refusal is None:
                subscription = Subscription(self._fanout, request, begin, self)
                await subscription.start(prepared, ctx, after)
            else:
                answering = asyncio.create_task(self._answer(prepared, ctx))
            await self._over.wait()
        except Exception as error:  # noqa: BLE001 - reason: the response has begun, and nobody else can say it any more
            self.end(Answer.refused(failed(error)))
            await self._over.wait()
        finally:
            self._ended = True
            if self._sign_in is not None:
                self._sign_in.close()
            tasks = [task for task in (leaving, beating, answering) if task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            if subscription is not None:
                await subscription.close()
            await self._outbox.close()

    def stop(self) -> None:
        """End the response in the middle, so that the client comes back: this server stops."""
        self._ended = True
        self._put(b"", last=True)
        self._finish()

    # ------------------------------------------------------------ where a subscription's events go

    def take(self, event: Event) -> bool:
        """Send it or keep it."""
        if self._ended:
            return True
        if self._lane.waiting >= (LATEST_MAX if event.mark is None else QUEUE_MAX) or self._outbox.full:
            return False
        self._put(event.sent, self._lane)
        return True

    def gather(self) -> None:
        """Each goes out by itself."""

    async def room(self) -> None:
        """Wait until the client has taken everything."""
        await self._outbox.room()

    def drop(self) -> None:
        """Leave out what is kept."""
        self._lane.drop()

    def end(self, answer: Answer | None) -> None:
        """Say so: what is wrong comes as an answer too, as the client can read nothing else by now."""
        if self._ended:
            return
        self._ended = True
        error = b"" if answer is None else Event(answer, None).sent
        self._put(error + b"event: complete\ndata:\n\n", last=True)
        self._fanout.task(self._until_sent())

    async def _until_sent(self) -> None:
        await self._outbox.room()
        self._finish()

    # ------------------------------------------------------------

    async def _answer(self, prepared: Prepared, ctx: Context) -> None:
        answer = await self._fanout.pipeline.answer(prepared, ctx)
        self.take(Event(answer, None))
        self.end(None)

    async def _watch(self, ctx: Context) -> None:
        if ctx.viewer is not None:
            self._sign_in = SignIn(ctx, self._signed_out)
            await self._sign_in.begin()

    def _signed_out(self, why: Unauthenticated) -> None:
        self._lane.drop()
        self.end(Answer.refused(failed(why)))

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._finish()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.sse_ping_ms / 1000)
            await self._outbox.room()
            if not self._ended:
                self._put(b":\n\n")

    def _put(self, content: bytes, lane: Lane | None = None, *, last: bool = False) -> None:
        message: Message = {"type": "http.response.body", "body": content, "more_body": not last}
        self._outbox.put(message, lane)

    def _finish(self) -> None:
        self._ended = True
        self._over.set()
