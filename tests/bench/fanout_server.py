"""What the fan-out is measured on: the API, or a bare Starlette that sends a ready-made text; a process by itself."""

import asyncio
import dataclasses
import resource
import socket
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from graph.app import create_app
from graph.process import Process, build_services, prepare
from graph.wire.sockets.protocol import Protocol
from infrastructure.passwords import Passwords
from infrastructure.services import Services
from models.marketdata import Quote
from models.people import Registration
from resolvers.accounts.commands import register
from resolvers.context import Context
from tests.support.house import an_event, migrated, settings_for

ROUND_S = 0.13
"""A little more than the 100 ms that a stream of quotes waits at least."""
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

    async def go(self, _kind: str, rounds: int) -> None:
        """Send."""
        for _ in range(rounds):
            for reader in list(self._readers):
                await reader.send_text(TEXT)
            await asyncio.sleep(ROUND_S)


class Api:
    """The application, without the market: quotes and events come when they are told to."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self.app = create_app(services.settings)
        self.app.state.process = Process(services, works=[])
        self._owners: list[Any] = []

    async def tokens(self, count: int) -> list[str]:
        """Of so many users."""
        found = []
        ctx = Context(self._services, None, "bench", 0)
        for number in range(count):
            signed_in = await register(ctx, Registration(f"u{number}@example.com", "correct horse", "U", "V"))
            self._owners.append(signed_in.user.id)
            found.append(signed_in.access_token)
        return found

    async def go(self, kind: str, rounds: int) -> None:
        """A quote a round, or an event of each owner."""
        for number in range(rounds):
            if kind == "quotes":
                price = Decimal(100 + number)
                self._services.quotes.put([dataclasses.replace(_quote(self._services), bid=price, ask=price)])
                await asyncio.sleep(ROUND_S)
            else:
                for begin in range(0, len(self._owners), 100):
                    async with self._services.database.write() as tx:
                        tx.record(*(an_event(owner_id=owner) for owner in self._owners[begin : begin + 100]))


def _quote(services: Services) -> Quote:
    one, size = Decimal(1), Decimal(100)
    now = services.clock.now()
    values: dict[str, Any] = {"symbol": "AAPL", "as_of": now, "bid_size": size, "ask_size": size}
    return Quote(**{each.name: values.get(each.name, one) for each in dataclasses.fields(Quote)})


def _usage() -> dict[str, float]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {"cpu_s": time.process_time(), "memory": pages * resource.getpagesize()}


async def main(kind: str) -> None:
    """Serve on a free port, which is written to the standard output."""
    with tempfile.TemporaryDirectory() as folder:
        bench: Bare | Api
        services = None
        if kind == "bare":
            bench = Bare()
        else:
            home = Path(folder)
            no_limits: dict[str, Any] = {
                "limit_register_per_address": MANY,
                "sockets_per_user": 0,
                "sockets_per_address": 0,
            }
            settings = settings_for(f"sqlite:///{home / 'bench.db'}", home, access_token_s=36_000, **no_limits)
            migrated(settings)
            services = build_services(settings, passwords=Passwords(memory_kib=8, time_cost=1))
            await prepare(services)
            await services.relay.start()
            bench = Api(services)

        async def tokens(request: Request) -> Response:
            return JSONResponse(await bench.tokens(int(request.query_params["count"])))

        async def go(request: Request) -> Response:
            await bench.go(request.query_params["kind"], int(request.query_params["rounds"]))
            return JSONResponse({})

        async def usage(_request: Request) -> Response:
            return JSONResponse(_usage())

        bench.app.router.routes += [Route("/tokens", tokens), Route("/go", go), Route("/usage", usage)]
        config = uvicorn.Config(
            bench.app, lifespan="off", log_config=None, ws=Protocol, ws_per_message_deflate=False, backlog=2048
        )
        with socket.create_server(("127.0.0.1", 0), backlog=2048) as listening:
            sys.stdout.write(f"{listening.getsockname()[1]}\n")
            sys.stdout.flush()
            await uvicorn.Server(config).serve(sockets=[listening])
        if services is not None:
            await services.relay.stop()
            await services.database.close()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
