"""Readers that stop reading are let go in time, and those beside them notice nothing."""

import asyncio
import contextlib
import socket
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


async def story(services: Services, readers: int, unread_ms: int) -> None:
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
        for _ in range(readers):
            await stalled(server, token, stack)
        await until(lambda: app.state.fanout.subscriptions == 2 * readers and len(app.state.fanout) == 1)
        made = [(await deposit_cash(trader.ctx, trader.portfolio_id, D(1))).position for _ in range(COUNT)]
        async with asyncio.timeout(unread_ms / 1000 * 1.5):
            await until(lambda: app.state.seats.open == readers)
        for each in healthy:
            seen = [(await each.data("s"))["events"]["cursor"] for _ in made]
            assert seen == [cursor_of(trader.ctx, seq) for seq in made]
        assert app.state.fanout.subscriptions == readers


async def test_readers_when_they_stop_reading_then_they_are_let_go_and_the_others_miss_nothing(
    services: Services,
) -> None:
    await story(services, readers=10, unread_ms=3000)


@pytest.mark.soak
async def test_readers_when_two_hundred_stop_reading_then_they_are_gone_in_fifteen_seconds(services: Services) -> None:
    await story(services, readers=200, unread_ms=10_000)
