"""Whatever comes, again and again, and never twice the same: memory stays where it is."""

import asyncio
import contextlib
import gc
import logging
import random
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import orjson
import pytest
import websockets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from tests.graph.wire.conftest import JSON
from tests.graph.wire.test_anything import asked, assert_well, bodies, broken, headers, methods
from tests.graph.wire.test_socket_frames import a_socket, frames
from tests.support.people import signed_up
from tests.support.wire import server_of

pytestmark = [
    pytest.mark.soak,
    pytest.mark.timeout(600),
    pytest.mark.parametrize("backend", ["sqlite"], indirect=True),
]

REQUESTS, SOCKETS = 400, 200
WARM, ROUNDS = 5, 10
GROWTH_BYTES_MAX = 100_000
"""In `ROUNDS` times as many: 25 bytes for a request, 50 for a socket; whatever is kept of one is more."""


@pytest.fixture
async def app(services: Services) -> Starlette:
    """Its bounded caches are small, so that they are full when it is measured."""
    app = create_app(services.settings.model_copy(update={"documents_max": 20}))
    app.state.process = Process(services, works=[])
    return app


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    """What the test run would keep of the log is none of the server's memory."""
    logging.disable(logging.CRITICAL)
    tracemalloc.start()
    yield
    tracemalloc.stop()
    logging.disable(logging.NOTSET)


def drawn(strategy: st.SearchStrategy[Any], count: int) -> list[Any]:
    found: list[Any] = []

    @settings(max_examples=count, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(value: Any) -> None:
        found.append(value)

    draw()
    return found


async def growth(once: Callable[[random.Random], Awaitable[None]]) -> int:
    """By how many bytes memory grows in some rounds, once some have gone by."""
    chance = random.Random(7)  # noqa: S311 - repeatable
    for _ in range(WARM):
        await once(chance)
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(ROUNDS):
        await once(chance)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    return after - before


async def test_memory_when_any_requests_come_by_the_thousand_then_it_does_not_grow(
    app: Starlette, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    signed_in = [(b"content-type", JSON.encode()), (b"authorization", f"Bearer {token}".encode())]
    requests = drawn(st.tuples(methods, headers, bodies, st.booleans()), REQUESTS)

    async def once(chance: random.Random) -> None:
        for method, more, body, plain in requests:
            other = broken(body, chance.randrange(1000), chance.randrange(256)) if chance.random() < 1 / 2 else body
            stranger = [*more, (b"authorization", f"Bearer {chance.random()}".encode())]
            status, _, _ = await asked(app, method, b"", signed_in if plain else stranger, [other])
            assert status < 500
            await asyncio.sleep(0)  # to the loop, which forgets the timers that were cancelled

    assert await growth(once) < GROWTH_BYTES_MAX
    await assert_well(app, token)


@pytest.fixture
async def server(app: Starlette) -> AsyncIterator[str]:
    """The same behind a real server."""
    async with server_of(app) as server:
        yield server


async def test_memory_when_any_frames_come_over_sockets_by_the_thousand_then_it_does_not_grow(
    server: str, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    hello = orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}).decode()
    stories = drawn(st.lists(frames, max_size=6), SOCKETS)

    async def once(chance: random.Random) -> None:
        for sent in stories:
            async with a_socket(server) as connection:
                with contextlib.suppress(websockets.ConnectionClosed):
                    await connection.send(hello)
                    for frame in chance.sample(sent, len(sent)):
                        await connection.send(frame)
                    await connection.close()

    assert await growth(once) < GROWTH_BYTES_MAX
