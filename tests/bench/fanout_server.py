"""What the fan-out is measured on: the API, or a bare Starlette that sends a ready-made text; a process by itself."""

import asyncio
import contextlib
import dataclasses
import gc
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from graph.app import create_app
from graph.cli.serving import COLLECTED_AT
from graph.process import Process, build_services, prepare
from graph.wire.sockets.protocol import Protocol
from infrastructure.passwords import Passwords
from infrastructure.services import Services
from models.cursors import Cursor
from models.marketdata import Quote
from models.people import Registration
from resolvers.accounts.commands import register
from resolvers.context import Context
from tests.support.house import an_event, migrated, settings_for

A_COMMIT = 100
"""Owners whose events are committed together."""
Told = list[list[float]]
"""When each round was sent or committed, by the clock that processes share; of owners, for each commit."""
MANY = "100000000/minute"
TEXT = (
    '{"id":"s","type":"next","payload":{"data":{"quotes":{"symbol":"AAPL","bid":"100.01","ask":"100.02","last":"1"}}}}'
)


class Bare:
    """The same text to everybody."""

    def __init__(self) -> None:
        self._readers: set[WebSocket] = set()
        self.app = Starlette(routes=[WebSocketRoute("/graphql", self._serve)])

    async def _serve(self, websocket: WebSocket) -> None:
        await websocket.accept("graphql-transport-ws")
        self._readers.add(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            self._readers.discard(websocket)

    async def tokens(self, count: int) -> list[str]:
        """Nobody asks."""
        return [""] * count

    async def go(self, _kind: str, rounds: int, _pause_s: float) -> Told:
        """Send, one round after the other."""
        told = []
        for _ in range(rounds):
            told.append([time.monotonic()])
            for reader in list(self._readers):
                await reader.send_text(TEXT)
            await asyncio.sleep(0)
        return told

    def cursor(self) -> None:
        """There is none."""


class Api:
    """The application, without the market: quotes and events come when they are told to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.app = create_app(services.settings)
        self.app.state.process = Process(services, works=[])
        self._portfolios: list[tuple[UUID, UUID]] = []
        """Each owner, and the one portfolio that is theirs."""
        self._version = 0
        self._price = Decimal(100)

    async def tokens(self, count: int) -> list[str]:
        """Of so many users."""
        found = []
        ctx = Context(self._services, None, "bench", 0)
        for number in range(count):
            signed_in = await register(ctx, Registration(f"u{number}@example.com", "correct horse", "U", "V"))
            self._portfolios.append((signed_in.user.id, self._services.ids.new()))
            found.append(signed_in.access_token)
        return found

    async def go(self, kind: str, rounds: int, pause_s: float) -> Told:
        """A quote a round, or an event of each owner's portfolio."""
        return await (self._quotes(rounds, pause_s) if kind == "quotes" else self._events(rounds))

    def cursor(self) -> str:
        """Where the log stands."""
        return str(Cursor(self._services.relay.epoch, self._services.relay.position))

    async def _quotes(self, rounds: int, pause_s: float) -> Told:
        told = []
        for _ in range(rounds):
            self._price += 1
            told.append([time.monotonic()])
            quote = dataclasses.replace(_quote(self._services), bid=self._price, ask=self._price)
            self._services.quotes.put([quote])
            await asyncio.sleep(pause_s)
        return told

    async def _events(self, rounds: int) -> Told:
        told: Told = []
        for _ in range(rounds):
            told.append([])
            self._version += 1
            for begin in range(0, len(self._portfolios), A_COMMIT):
                some = self._portfolios[begin : begin + A_COMMIT]
                async with self._services.database.write() as tx:
                    tx.record(*(an_event(self._version, portfolio, owner_id=owner) for owner, portfolio in some))
                told[-1].append(time.monotonic())
        return told


def _quote(services: Services) -> Quote:
    one, size = Decimal(1), Decimal(100)
    now = services.clock.now()
    values: dict[str, Any] = {"symbol": "AAPL", "as_of": now, "bid_size": size, "ask_size": size}
    return Quote(**{each.name: values.get(each.name, one) for each in dataclasses.fields(Quote)})


def _usage() -> dict[str, float]:
    """CPU so far, and memory of its own: what of files is mapped (SQLite's, say) is the system's to keep or let go."""
    [own] = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon")]
    return {"cpu_s": time.process_time(), "memory": int(own.split()[1]) * 1024}


@contextlib.asynccontextmanager
async def _bench(kind: str, home: Path) -> AsyncIterator["Bare | Api"]:
    """What is measured, as it runs."""
    if kind == "bare":
        yield Bare()
        return
    no_limits: dict[str, Any] = {"limit_register_per_address": MANY, "sockets_per_user": 0, "sockets_per_address": 0}
    settings = settings_for(f"sqlite:///{home / 'bench.db'}", home, access_token_s=36_000, **no_limits)
    migrated(settings)
    services = build_services(settings, passwords=Passwords(memory_kib=8, time_cost=1))
    await prepare(services)
    await services.relay.start()
    yield Api(services)
    await services.relay.stop()
    await services.database.close()


def _routes(bench: "Bare | Api") -> list[Route]:
    """What it is asked over HTTP."""

    async def tokens(request: Request) -> Response:
        return JSONResponse(await bench.tokens(int(request.query_params["count"])))

    async def go(request: Request) -> Response:
        given = request.query_params
        return JSONResponse(await bench.go(given["kind"], int(given["rounds"]), float(given["pause_s"])))

    async def cursor(_request: Request) -> Response:
        return JSONResponse(bench.cursor())

    async def usage(_request: Request) -> Response:
        return JSONResponse(_usage())

    return [Route(f"/{answer.__name__}", answer) for answer in (tokens, go, cursor, usage)]


async def main(kind: str) -> None:
    """Serve on a free port, which is written to the standard output."""
    with tempfile.TemporaryDirectory() as folder:
        async with _bench(kind, Path(folder)) as bench:
            # As `tradegraph serve` has it.
            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTED_AT)
            bench.app.router.routes += _routes(bench)
            config = uvicorn.Config(
                bench.app, lifespan="off", log_config=None, ws=Protocol, ws_per_message_deflate=False, backlog=2048
            )
            with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
                sys.stdout.write(f"{listening.getsockname()[1]}\n")
                sys.stdout.flush()
                await uvicorn.Server(config).serve(sockets=[listening])


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
