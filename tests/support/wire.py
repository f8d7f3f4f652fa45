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
from graph.wire.answers import Answer
from graph.wire.headers import Http
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from graph.wire.sockets.protocol import Protocol
from resolvers.context import Context

SUBPROTOCOL = websockets.Subprotocol("graphql-transport-ws")
WAIT_S_MAX = 10.0


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


async def followed(ctx: Context, query: str, variables: dict[str, Any] | None = None) -> AsyncGenerator[Answer, None]:
    """The answers of a subscription, likewise."""
    pipeline = Pipeline(_schema(), ctx.services.settings)
    prepared = pipeline.prepare(GraphQLRequest(query, None, variables), ctx)
    async with contextlib.aclosing(pipeline.stream(prepared, ctx)) as answers:
        async for answer in answers:
            yield answer


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
