"""Clients of the API as a front end has them: HTTP, and graphql-transport-ws over a real socket."""

import asyncio
import contextlib
import functools
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson
import uvicorn
import websockets
from starlette.applications import Starlette

from graph.schema import build_schema
from graph.wire.answers import Answer, failed
from graph.wire.fanout import Event, Fanout, Subscription
from graph.wire.headers import Http
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from graph.wire.sockets.protocol import Protocol
from graph.wire.turns import Turns
from resolvers.context import Context
from resolvers.signed_in import SignIn

SUBPROTOCOL = websockets.Subprotocol("graphql-transport-ws")
WAIT_S_MAX = 60.0


@dataclass
class Client:
    """Sends operations to an application in this process."""

    http: httpx.AsyncClient

    async def post(
        self, query: str, variables: dict[str, Any] | None = None, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """An operation's whole response."""
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        body = {"query": query, "variables": variables}
        return await self.http.post("/graphql", json=body, headers=headers)

    async def execute(self, query: str, variables: dict[str, Any] | None = None, token: str | None = None) -> Any:
        """An operation's answer, with `data` and `errors`."""
        return (await self.post(query, variables, token)).json()

    async def data(self, query: str, variables: dict[str, Any] | None = None, token: str | None = None) -> Any:
        """An operation's data, where nothing may be wrong."""
        answer = await self.execute(query, variables, token)
        assert "errors" not in answer, answer
        return answer["data"]


async def executed(ctx: Context, query: str, variables: dict[str, Any] | None = None) -> Answer:
    """An operation's answer, of who asks in `ctx`: the way of every transport, without any."""
    pipeline = Pipeline(_schema(), ctx.services.settings)
    return await pipeline.answer(pipeline.prepare(GraphQLRequest(query, None, variables), ctx), ctx)


class Reader:
    """Where a subscription's events go: to a test, which reads one after the other."""

    def __init__(self) -> None:
        self._answers: asyncio.Queue[Answer | None] = asyncio.Queue()

    async def next(self) -> Answer | None:
        """The next answer; at its end that which says why, if one does, and then none."""
        async with asyncio.timeout(WAIT_S_MAX):
            return await self._answers.get()

    def take(self, event: Event) -> bool:
        """Keep it."""
        self._answers.put_nowait(event.answer)
        return True

    def gather(self) -> None:
        """Each is read by itself."""

    async def room(self) -> None:
        """There is always some."""

    def drop(self) -> None:
        """Nothing is kept for want of room."""

    def end(self, answer: Answer | None) -> None:
        """It is over."""
        if answer is not None:
            self._answers.put_nowait(answer)
        self._answers.put_nowait(None)


async def followed(
    ctx: Context,
    query: str,
    variables: dict[str, Any] | None = None,
    pipeline: Pipeline | None = None,
    *,
    watched: bool = False,
) -> AsyncGenerator[Answer, None]:
    """The answers of a subscription, likewise. When it can't begin, or fails later, the last has `executed` False.

    `watched`: it ends with the sign-in, over which each transport watches.
    """

    async def begin() -> Context:
        raise AssertionError("who always has room never begins again")

    fanout = Fanout(pipeline or Pipeline(_schema(), ctx.services.settings), Turns(1))
    prepared = fanout.pipeline.prepare(GraphQLRequest(query, None, variables), ctx)
    if prepared.refusal is not None:
        yield await fanout.pipeline.answer(prepared, ctx)
        return
    reader, sign_in = Reader(), None
    subscription = Subscription(fanout, prepared.request, begin, reader)
    try:
        if watched:
            sign_in = SignIn(ctx, lambda why: reader.end(Answer.refused(failed(why))))
            await sign_in.begin()
        refusal = await subscription.admit(prepared, ctx)
        if refusal is not None:
            yield refusal
            return
        subscription.start(prepared, ctx)
        while (answer := await reader.next()) is not None:
            yield answer
    finally:
        if sign_in is not None:
            sign_in.close()
        await subscription.close()


_schema = functools.cache(build_schema)


@contextlib.asynccontextmanager
async def client_of(app: Starlette) -> AsyncIterator[Client]:
    """A client of the application, without a server between them."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://tradegraph") as http:
        yield Client(http)


class _Server(uvicorn.Server):
    """Says when it can be reached."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


@contextlib.asynccontextmanager
async def server_of(app: Starlette, send_buffer: int = 0, **options: Any) -> AsyncIterator[str]:
    """The application behind a real server on a free port; gives its host and port. Its lifespan is not run.

    `send_buffer` is how much the network keeps for a client that does not read; by itself that is megabytes.
    """
    options = {"http": Http, "ws": Protocol, "ws_max_size": 64 * 1024, "ws_per_message_deflate": False, **options}
    config = uvicorn.Config(app, lifespan="off", log_config=None, **options)
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        if send_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        server = _Server(config)
        task = asyncio.create_task(server._serve(sockets=[listening]))
        await server.listening.wait()
        try:
            yield "127.0.0.1:{1}".format(*listening.getsockname())
        finally:
            server.should_exit = True
            await task


@dataclass
class Socket:
    """A websocket that speaks graphql-transport-ws; frames are sorted by the operation that they belong to."""

    connection: websockets.ClientConnection
    _frames: dict[str, asyncio.Queue[Any]] = field(default_factory=dict)
    _reader: asyncio.Task[None] | None = None

    async def send(self, frame: Any) -> None:
        """Any frame."""
        await self.connection.send(orjson.dumps(frame).decode())

    async def init(self, token: str | None = None, **payload: str) -> None:
        """Say who it is, with an access token or in words of one's own, and wait until that is acknowledged."""
        payload |= {} if token is None else {"Authorization": f"Bearer {token}"}
        await self.send({"type": "connection_init", "payload": payload})
        async with asyncio.timeout(WAIT_S_MAX):
            acknowledged = orjson.loads(await self.connection.recv())
        assert acknowledged == {"type": "connection_ack"}
        self._reader = asyncio.create_task(self._read())

    async def start(self, name: str, query: str, variables: dict[str, Any] | None = None) -> None:
        """Begin an operation under this id."""
        self._frames[name] = asyncio.Queue()
        await self.send({"id": name, "type": "subscribe", "payload": {"query": query, "variables": variables}})

    async def next(self, name: str) -> Any:
        """The next frame of the operation."""
        async with asyncio.timeout(WAIT_S_MAX):
            return await self._frames[name].get()

    async def data(self, name: str) -> Any:
        """The data of the next frame, where nothing may be wrong."""
        frame = await self.next(name)
        assert frame["type"] == "next", frame
        assert "errors" not in frame["payload"], frame
        return frame["payload"]["data"]

    async def execute(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        """A query or mutation, from its beginning to its end."""
        await self.start("once", query, variables)
        answer = await self.next("once")
        if answer["type"] == "next":
            assert await self.next("once") == {"id": "once", "type": "complete"}
        return answer["payload"]

    async def closed(self) -> tuple[int | None, str | None]:
        """The code and the reason with which the server closes."""
        async with asyncio.timeout(WAIT_S_MAX):
            await self.connection.wait_closed()
        return self.connection.close_code, self.connection.close_reason

    async def _read(self) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                frame = orjson.loads(await self.connection.recv())
                self._frames.setdefault(frame["id"], asyncio.Queue()).put_nowait(frame)


@contextlib.asynccontextmanager
async def socket_to(server: str) -> AsyncIterator[Socket]:
    """A websocket to a server; `init` comes first."""
    # Without a bound to its queue: a client whose queue is full waits in vain for the other side's goodbye.
    connecting = websockets.connect(f"ws://{server}/graphql", subprotocols=[SUBPROTOCOL], max_queue=None)
    async with connecting as connection:
        opened = Socket(connection)
        try:
            yield opened
        finally:
            if opened._reader is not None:
                opened._reader.cancel()
