"""Readers that stop reading are let go in time, and those beside them notice nothing."""

import asyncio
import contextlib
import socket
import statistics
from typing import Any

import orjson
import pytest
import websockets
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from resolvers.accounts.commands import login
from resolvers.events.queries import cursor_of
from resolvers.portfolios.commands import deposit_cash
from tests.support.log_race import whole_log
from tests.support.market import D, Trader
from tests.support.people import PASSWORD, anonymous
from tests.support.wait import until
from tests.support.wire import SUBPROTOCOL, Socket, server_of, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

# Some 6 kB for each event, so that a few dozen of them fill every buffer on the way.
LARGE = f"subscription {{ events {{ cursor {' '.join(f'p{number}: payload' for number in range(20))} }} }}"
COUNT = 60
BUFFER = 4096
SLACK_S = 0.1
"""What a turn of a busy machine may add."""


async def stalled(server: str, token: str, stack: contextlib.AsyncExitStack) -> websockets.ClientConnection:
    """A client that subscribes, and never reads again."""
    host, _, port = server.partition(":")
    opened = socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    opened.setblocking(False)
    await asyncio.get_running_loop().sock_connect(opened, (host, int(port)))
    connection = await websockets.connect(
        f"ws://{server}/graphql", sock=opened, subprotocols=[SUBPROTOCOL], max_queue=1, ping_interval=None
    )
    stack.callback(connection.transport.abort)
    await connection.send(
        orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}).decode()
    )
    await connection.recv()
    await connection.send(orjson.dumps({"type": "subscribe", "id": "s", "payload": {"query": LARGE}}).decode())
    connection.transport.pause_reading()
    return connection


async def waits(trader: Trader, healthy: list[Socket]) -> list[float]:
    """How long each reader waited for each of some events, in seconds; they are the right ones, in order."""
    clock = asyncio.get_running_loop().time
    begun: list[float] = []
    made: list[str] = []

    async def follow(reader: Socket) -> list[tuple[str, float]]:
        return [((await reader.data("s"))["events"]["cursor"], clock()) for _ in range(COUNT)]

    async with asyncio.TaskGroup() as group:
        following = [group.create_task(follow(each)) for each in healthy]
        for _ in range(COUNT):
            begun.append(clock())
            done = await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
            made.append(cursor_of(trader.ctx, done.position))
    seen = [each.result() for each in following]
    assert all([cursor for cursor, _ in each] == made for each in seen)
    return [at - began for each in seen for (_, at), began in zip(each, begun, strict=True)]


async def story(services: Services, readers: int, unread_ms: int) -> tuple[list[float], list[float]]:
    """How long the healthy waited by themselves, and beside as many that stalled and were let go."""
    trader = await Trader.with_cash(services)
    token = (await login(anonymous(services), "ada@example.com", PASSWORD)).access_token
    await services.relay.reached(len(await whole_log(services.database)))
    limits: dict[str, Any] = {"sockets_per_user": 0, "sockets_per_address": 0, "unread_ms_max": unread_ms}
    app: Starlette = create_app(services.settings.model_copy(update=limits))
    app.state.process = Process(services, works=[])
    async with server_of(app, BUFFER) as server, contextlib.AsyncExitStack() as stack:
        healthy: list[Socket] = [await stack.enter_async_context(socket_to(server)) for _ in range(readers)]
        for each in healthy:
            await each.init(token)
            await each.start("s", LARGE)
        await until(lambda: app.state.fanout.subscriptions == readers and len(app.state.fanout) == 1)
        alone = await waits(trader, healthy)
        for _ in range(readers):
            await stalled(server, token, stack)
        await until(lambda: app.state.fanout.subscriptions == 2 * readers and len(app.state.fanout) == 1)
        async with asyncio.timeout(unread_ms / 1000 * 1.5):
            beside = await waits(trader, healthy)
            await until(lambda: app.state.seats.open == readers)
        assert app.state.fanout.subscriptions == readers
    return alone, beside


async def test_readers_when_they_stop_reading_then_they_are_let_go_and_the_others_miss_nothing(
    services: Services,
) -> None:
    await story(services, readers=10, unread_ms=3000)


@pytest.mark.soak
async def test_readers_when_two_hundred_stall_then_they_are_gone_in_fifteen_seconds_and_the_others_wait_no_longer(
    services: Services,
) -> None:
    alone, beside = await story(services, readers=200, unread_ms=10_000)
    assert p99(beside) < 2 * p99(alone) + SLACK_S


def p99(waited: list[float]) -> float:
    return statistics.quantiles(waited, n=100)[-1]
