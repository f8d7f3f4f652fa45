"""What the wire costs by itself: the server's CPU for an operation that asks for nothing, `{ __typename }`.

Beside it in the same run, in turn: a bare Starlette that answers a constant, and Strawberry's own ASGI app with the
same schema. `python -m tests.bench.overhead` measures and says so by itself.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from strawberry.asgi import GraphQL
from websockets.sync.client import connect

from graph.app import create_app
from graph.process import Process, build_services
from graph.schema import build_schema
from graph.wire.headers import Http
from graph.wire.sockets.protocol import Protocol
from tests.bench.data import fill
from tests.bench.processes import cpu_ms, served
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for
from tests.support.wire import SUBPROTOCOL

ROUNDS, REQUESTS, WARM_UP = 9, 1024, 512
AT_ONCE = (16, 64)
ASKED = {"query": "{ __typename }"}
DATA = {"data": {"__typename": "Query"}}
CONSTANT = orjson.dumps(DATA)
BARE, STRAWBERRY, OURS, SIGNED_IN = (
    "bare Starlette",
    "strawberry.asgi",
    "Tradegraph, anonymous",
    "Tradegraph, signed in",
)
TOKEN_S = 7200

Figures = dict[str, dict[str, float]]
"""Milliseconds of CPU for an operation, by the way that it came and by the server."""


async def measure(home: Path) -> Figures:
    """In the median of interleaved rounds."""
    url = f"sqlite:///{home / 'tradegraph.db'}"
    settings = settings_for(url, home, access_token_s=TOKEN_S)
    migrated(settings)
    token = (await fill(settings)).token
    async with contextlib.AsyncExitStack() as stack:
        servers = {
            kind: await stack.enter_async_context(served("tests.bench.overhead", kind, url, str(home)))
            for kind in (BARE, STRAWBERRY, OURS)
        }
        return await asyncio.to_thread(_measure, {**servers, SIGNED_IN: servers[OURS]}, token)


def _measure(servers: dict[str, tuple[int, str]], token: str) -> Figures:
    found: dict[str, dict[str, list[float]]] = {way: {kind: [] for kind in servers} for way in WAYS}
    for number in range(ROUNDS + 1):
        for way, ask in WAYS.items():
            for kind, (pid, address) in servers.items():
                requests = REQUESTS if number else WARM_UP
                with ask(address, token if kind == SIGNED_IN else "") as asked:
                    before = cpu_ms(pid)
                    asked(requests)
                    if number:
                        found[way][kind].append((cpu_ms(pid) - before) / requests)
    return {
        way: {kind: statistics.median(times) for kind, times in by_server.items()} for way, by_server in found.items()
    }


Asked = contextlib.AbstractContextManager[Callable[[int], None]]


@contextlib.contextmanager
def _by_http(address: str, token: str, connections: int = 1) -> Any:
    """So many requests on so many connections: each has its request under way before the first answer is read."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(address, token)) for _ in range(connections)]
        request = wires[0].request("/graphql", ASKED)

        def asked(requests: int) -> None:
            for _ in range(-(-requests // connections)):
                for wire in wires:
                    wire.send(request)
                for wire in wires:
                    assert wire.answer() == CONSTANT

        yield asked


@contextlib.contextmanager
def _by_websocket(address: str, token: str) -> Any:
    said = {"authorization": f"Bearer {token}"} if token else {}
    with connect(f"ws://{address}/graphql", subprotocols=[SUBPROTOCOL], compression=None) as socket:
        socket.send(orjson.dumps({"type": "connection_init", "payload": said}).decode())
        assert orjson.loads(socket.recv()) == {"type": "connection_ack"}
        request = orjson.dumps({"id": "1", "type": "subscribe", "payload": ASKED}).decode()

        def asked(requests: int) -> None:
            for _ in range(requests):
                socket.send(request)
                assert orjson.loads(socket.recv()) == {"id": "1", "type": "next", "payload": DATA}
                assert orjson.loads(socket.recv()) == {"id": "1", "type": "complete"}

        yield asked


WAYS: dict[str, Callable[[str, str], Asked]] = {
    "HTTP, one after the other": _by_http,
    **{f"HTTP, {count} at once": partial(_by_http, connections=count) for count in AT_ONCE},
    "websocket": _by_websocket,
}


# ---------------------------------------------------------------- the servers


async def _constant(_request: Request) -> Response:
    return Response(CONSTANT, media_type="application/json")


async def _constants(socket: WebSocket) -> None:
    """For each message what a websocket of GraphQL has for it: two, as it takes to say that an operation has ended."""
    await socket.accept(SUBPROTOCOL)
    await socket.receive_text()
    await socket.send_text('{"type":"connection_ack"}')
    async for _ in socket.iter_text():
        await socket.send_text('{"id":"1","type":"next","payload":{"data":{"__typename":"Query"}}}')
        await socket.send_text('{"id":"1","type":"complete"}')


@contextlib.asynccontextmanager
async def _without_works(app: Starlette, settings: Any) -> AsyncIterator[None]:
    """The application's lifespan, without the market and the handlers: they compute too."""
    process = app.state.process = Process(build_services(settings), works=[])
    await process.start()
    yield
    await process.stop()


def serve(kind: str, url: str, home: str, port: str) -> None:
    """Serve one of them."""
    ours: dict[str, Any] = {}
    if kind == BARE:
        app = Starlette(routes=[Route("/graphql", _constant, methods=["POST"]), WebSocketRoute("/graphql", _constants)])
    elif kind == STRAWBERRY:
        graphql: Any = GraphQL(build_schema())
        app = Starlette(routes=[Route("/graphql", graphql), WebSocketRoute("/graphql", graphql)])
    else:
        settings = settings_for(url, Path(home), access_token_s=TOKEN_S)
        app = create_app(settings)
        app.router.lifespan_context = lambda served: _without_works(served, settings)
        ours = {"http": Http, "ws": Protocol}
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False, ws_per_message_deflate=False, **ours)


async def main() -> None:
    """Measure, and say it."""
    with tempfile.TemporaryDirectory() as folder:
        figures = await measure(Path(folder))
    for way, found in figures.items():
        for kind, spent in found.items():
            sys.stdout.write(f"{way:26} {kind:24} {spent:.3f} ms  {spent / found[BARE]:.2f}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(*sys.argv[1:])
    else:
        asyncio.run(main())
