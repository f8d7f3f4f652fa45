"""Starting and stopping the server as whoever runs it does."""

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.e2e.trading import Load, open_account
from tests.support.server import Server
from tests.support.wire import socket_to

GRACE_S_MAX = 10.0
SERVICE_RESTART = 1012
"""With this the server closes a websocket: come again."""

EVENTS = "subscription { events { cursor } }"


async def test_server_when_told_to_stop_then_it_ends_in_order_and_closes_its_websockets(server: Server) -> None:
    async with server.client() as client:
        account = await open_account(client, "ada@example.com")
        async with socket_to(server.address) as followed, socket_to(server.address) as silent:
            await followed.init(account.token)
            await followed.start("events", EVENTS)
            assert await followed.execute("{ __typename }") == {"data": {"__typename": "Query"}}
            assert await server.stop() < GRACE_S_MAX
            assert (await followed.closed())[0] == SERVICE_RESTART
            assert (await silent.closed())[0] == SERVICE_RESTART
        with pytest.raises(httpx.ConnectError):
            await client.http.get("/healthz")
    assert "Traceback" not in server.output


async def test_server_when_stopped_under_load_then_what_it_took_is_answered(server: Server) -> None:
    async with server.client() as client, Load(client, await open_account(client, "ada@example.com"), seed=1) as load:
        await load.more(10)
        stopping = asyncio.create_task(server.stop())
        assert await stopping < GRACE_S_MAX
        load.up.clear()
        await server.start()
        load.up.set()
        await load.more(10)
    assert not load.refused
    assert "Traceback" not in server.output


async def test_server_when_its_database_is_not_migrated_then_it_says_what_to_do(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    postgres = request.getfixturevalue("postgres")
    server = Server(tmp_path, postgres.create_database("empty"))
    with pytest.raises(AssertionError, match="The database is not migrated: run `tradegraph migrate` first"):
        async with server:
            pass
    postgres.drop_database("empty")
