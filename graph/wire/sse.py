"""GraphQL over server-sent events: the distinct connections mode of graphql-sse, one operation a request.

https://github.com/enisdenjo/graphql-sse/blob/master/PROTOCOL.md
"""

import asyncio

from starlette.types import Message, Receive, Send

from graph.wire.answers import Answer, failed
from graph.wire.channel import Channel
from graph.wire.fanout import Event, Fanout, Subscription
from graph.wire.negotiation import EVENTS
from graph.wire.outbox import Outbox
from graph.wire.pipeline import Prepared
from infrastructure.settings import Settings
from models.errors import Unauthenticated
from resolvers.context import Context
from resolvers.signed_in import SignIn

HEADERS = (
    (b"content-type", f"{EVENTS}; charset=utf-8".encode()),
    (b"cache-control", b"no-store, no-transform"),
    (b"vary", b"Accept"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
)
COMPLETE = b"event: complete\ndata:\n\n"


def in_one(answer: Answer) -> bytes:
    """All that is said of an operation that has one answer."""
    return Event(answer, None).sent + COMPLETE


class EventStream(Channel):
    """One response that goes on: what a subscription says."""

    def __init__(self, fanout: Fanout, settings: Settings, receive: Receive, send: Send) -> None:
        super().__init__(Outbox(send, settings.unread_ms_max / 1000, self._finish))
        self._fanout = fanout
        self._settings = settings
        self._receive = receive
        self._send = send
        self._over = asyncio.Event()
        self._sign_in: SignIn | None = None

    async def run(self, subscription: Subscription, prepared: Prepared, ctx: Context, after: str | None) -> None:
        """Until it is over, or the client leaves. `after` is the cursor of the last event that the client has seen."""
        await self._send({"type": "http.response.start", "status": 200, "headers": list(HEADERS)})
        self._put(b":\n\n")
        tasks = [asyncio.create_task(self._left()), asyncio.create_task(self._beat())]
        try:
            async with self._fanout.turns.turn():
                await self._watch(ctx)
            subscription.start(prepared, ctx, after)
            await self._over.wait()
        except Exception as error:  # noqa: BLE001 - reason: the response has begun, and nobody else can say it any more
            self.end(Answer.refused(failed(error)))
            await self._over.wait()
        finally:
            self._ended = True
            if self._sign_in is not None:
                self._sign_in.close()
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            await self._outbox.close()

    def stop(self) -> None:
        """End the response in the middle, so that the client comes back: this server stops."""
        self._ended = True
        self._put(b"", last=True)
        self._finish()

    def end(self, answer: Answer | None) -> None:
        """Say so: what is wrong comes as an answer too, as the client can read nothing else by now."""
        if self._ended:
            return
        self._ended = True
        self._put(COMPLETE if answer is None else in_one(answer), last=True)
        self._fanout.task(self._until_sent())

    async def _until_sent(self) -> None:
        await self._outbox.room()
        self._finish()

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

    def _put(self, content: bytes, *, last: bool = False) -> None:
        self._outbox.put(_body(content, last=last))

    def _finish(self) -> None:
        self._ended = True
        self._over.set()

    def _message(self, event: Event) -> Message:
        return _body(event.sent)


def _body(content: bytes, *, last: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": not last}
