"""What the wire costs by itself: the server's CPU for a request that asks for nothing, `{ __typename }`.

Beside it in the same run, in turn: a bare route of Starlette that answers a constant, and Strawberry's own ASGI app
with the same schema. `python -m tests.bench.overhead` measures and says so by itself.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from strawberry.asgi import GraphQL

from graph.app import create_app
from graph.process import Process, build_services
from graph.schema import build_schema
from tests.bench.data import fill
from tests.bench.processes import cpu_ms, served
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for

ROUNDS, REQUESTS, WARM_UP = 7, 1000, 500
ASKED = {"query": "{ __typename }"}
CONSTANT = b'{"data":{"__typename":"Query"}}'
BARE, STRAWBERRY, OURS, SIGNED_IN = (
    "bare Starlette",
    "strawberry.asgi",
    "Tradegraph, anonymous",
    "Tradegraph, signed in",
)
TOKEN_S = 7200


async def measure(home: Path) -> dict[str, float]:
    """The milliseconds of CPU of each server for a request, in the median of interleaved rounds."""
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


def _measure(servers: dict[str, tuple[int, str]], token: str) -> dict[str, float]:
    found: dict[str, list[float]] = {kind: [] for kind in servers}
    for number in range(ROUNDS + 1):
        for kind, (pid, address) in servers.items():
            with Wire(address, token if kind == SIGNED_IN else "") as wire:
                before = cpu_ms(pid)
                for _ in range(REQUESTS if number else WARM_UP):
                    assert wire.post("/graphql", ASKED)[1] == {"data": {"__typename": "Query"}}
                if number:
                    found[kind].append((cpu_ms(pid) - before) / REQUESTS)
    return {kind: statistics.median(times) for kind, times in found.items()}


async def _constant(_request: Request) -> Response:
    return Response(CONSTANT, media_type="application/json")


@contextlib.asynccontextmanager
async def _without_works(app: Starlette, settings: Any) -> AsyncIterator[None]:
    """The application's lifespan, without the market and the handlers: they compute too."""
    process = app.state.process = Process(build_services(settings), works=[])
    await process.start()
    yield
    await process.stop()


def serve(kind: str, url: str, home: str, port: str) -> None:
    """Serve one of them."""
    if kind == BARE:
        app = Starlette(routes=[Route("/graphql", _constant, methods=["POST"])])
    elif kind == STRAWBERRY:
        app = Starlette(routes=[Route("/graphql", GraphQL(build_schema()))])
    else:
        settings = settings_for(url, Path(home), access_token_s=TOKEN_S)
        app = create_app(settings)
        app.router.lifespan_context = lambda served: _without_works(served, settings)
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False)


async def main() -> None:
    """Measure, and say it."""
    with tempfile.TemporaryDirectory() as folder:
        found = await measure(Path(folder))
    for kind, spent in found.items():
        sys.stdout.write(f"{kind:24} {spent:.3f} ms  {spent / found[BARE]:.2f}\n")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(*sys.argv[1:])
    else:
        asyncio.run(main())
