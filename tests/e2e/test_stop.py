"""A process that is told to stop is gone in time, also when what it stands on keeps silent."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import SETTINGS
from tests.e2e.trading import DEPOSIT, open_account
from tests.support.server import Server, Worker
from tests.support.servers import PostgresServer
from tests.support.wire import socket_to

LATE_S = 15.0
"""10 seconds are promised; this machine may be busy."""
HALF = b"POST /graphql HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"


@pytest.fixture
def postgres_that_hangs() -> Iterator[PostgresServer]:
    with PostgresServer() as postgres:
        yield postgres


async def test_server_when_its_postgresql_hangs_then_it_is_gone_in_time_all_the_same(
    postgres_that_hangs: PostgresServer, tmp_path: Path
) -> None:
    server = Server(tmp_path, postgres_that_hangs.create_database("hangs"), **SETTINGS)
    server.run("migrate")
    async with server, server.client() as client, socket_to(server.address) as silent:
        account = await open_account(client, "ada@example.com")
        postgres_that_hangs.freeze()
        given = {"input": {"portfolioId": account.portfolio_id, "amount": "5", "idempotencyKey": "hangs"}}
        waiting = [asyncio.ensure_future(client.execute(DEPOSIT, given, account.token)) for _ in range(3)]
        waiting += [
            asyncio.ensure_future(client.execute("{ viewer { email } }", None, account.token)) for _ in range(3)
        ]
        try:
            await asyncio.wait(waiting, timeout=0.5)
            assert not any(each.done() for each in waiting)
            assert await server.stop() < LATE_S
        finally:
            postgres_that_hangs.thaw()
        await silent.closed()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert "connections are dropped" in server.output


async def test_worker_when_its_postgresql_hangs_then_it_is_gone_in_time_all_the_same(
    postgres_that_hangs: PostgresServer, tmp_path: Path
) -> None:
    worker = Worker(tmp_path, postgres_that_hangs.create_database("hangs"), **SETTINGS)
    worker.run("migrate")
    async with worker:
        postgres_that_hangs.freeze()
        try:
            # What goes on beside requests is waiting for it by then.
            await asyncio.sleep(1)
            assert await worker.stop() < LATE_S
        finally:
            postgres_that_hangs.thaw()
    assert "connections are dropped" in worker.output


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_server_when_a_request_is_half_sent_then_it_does_not_wait_for_the_rest(server: Server) -> None:
    host, _, port = server.address.partition(":")
    with socket.create_connection((host, int(port))) as half:
        half.sendall(HALF)
        async with server.client() as client:
            assert (await client.http.get("/healthz")).status_code == 200
        assert await server.stop() < LATE_S
