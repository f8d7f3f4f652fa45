"""Two servers and a worker on PostgreSQL and Redis, as real processes: what is done on one is seen on the others."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import SETTINGS
from tests.e2e.trading import Account, open_account
from tests.support.redis_server import RedisServer
from tests.support.server import Server, Worker
from tests.support.servers import PostgresDatabases
from tests.support.wire import Client, Socket, socket_to

pytestmark = pytest.mark.timeout(180)

PLACE = """mutation ($input: PlaceOrderInput!) { placeOrder(input: $input) { order { id } errors { message } } }"""
FILLS = (
    """subscription ($after: String) { positionEvents(after: $after) { cursor previousCursor fill { quantity } } }"""
)
TOLD = "subscription { notifications { title } }"
RISK = "subscription ($after: String) { riskEvents(after: $after) { type tradingStatus { state } } }"
PAUSE = """mutation ($id: ID!, $until: DateTime!) {
  pauseTrading(input: { portfolioId: $id reason: "Lunch" resumeAfter: $until }) { errors { message } }
}"""


@dataclass
class Hosts:
    """A server that is asked, another that is listened to, and the worker that has the handlers."""

    asked: Server
    heard: Server
    redis: RedisServer
    client: Client
    account: Account
    socket: Socket

    async def buy(self, quantity: int, key: str) -> None:
        """A market order at the server that is asked."""
        given = {"portfolioId": self.account.portfolio_id, "symbol": "AAPL", "side": "BUY", "type": "MARKET"}
        given |= {"quantity": str(quantity), "clientOrderId": key}
        done = (await self.client.data(PLACE, {"input": given}, self.account.token))["placeOrder"]
        assert done["errors"] == []

    async def next(self, name: str) -> Any:
        """What comes next of an operation's only field."""
        [found] = (await self.socket.data(name)).values()
        return found


@pytest.fixture
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def hosts(
    tmp_path: Path, postgres: PostgresDatabases, postgres_template: str, redis: RedisServer
) -> AsyncIterator[Hosts]:
    url = postgres.create_database("hosts", template=postgres_template)
    try:
        settings = SETTINGS | {"redis_url": redis.url}
        asked = Server(tmp_path / "asked", url, **settings, handlers=False)
        heard = Server(tmp_path / "heard", url, **settings, handlers=False)
        worker = Worker(tmp_path / "worker", url, **settings)
        async with worker, asked, heard, asked.client() as client:
            account = await open_account(client, "ada@example.com")
            async with socket_to(heard.address) as socket:
                await socket.init(account.token)
                yield Hosts(asked, heard, redis, client, account, socket)
    finally:
        postgres.drop_database("hosts")


async def test_fill_when_it_is_booked_by_one_process_then_others_tell_of_it_whatever_becomes_of_redis_and_of_them(
    hosts: Hosts,
) -> None:
    await hosts.socket.start("told", TOLD)
    await hosts.socket.start("fills", FILLS)
    await hosts.socket.execute("{ streamCursor }")
    previous, bought = None, list[str]()
    for number, happens in enumerate(
        [None, hosts.redis.kill, hosts.redis.restart, hosts.redis.freeze, hosts.redis.thaw], 1
    ):
        if happens is not None:
            happens()
        await hosts.buy(number, f"order {number}")
        left = number
        while left:  # it may be filled in parts
            event = await hosts.next("fills")
            assert event["previousCursor"] == previous
            previous = event["cursor"]
            left -= int(event["fill"]["quantity"])
        assert left == 0
        bought.append(f"Order accepted: buy {number} AAPL")
    accepted = list[str]()
    while len(accepted) < len(bought):
        title = (await hosts.next("told"))["title"]
        accepted += [title] if title.startswith("Order accepted") else []
    assert accepted == bought
    await stop_and_resume_elsewhere(hosts, str(previous))


async def stop_and_resume_elsewhere(hosts: Hosts, seen: str) -> None:
    """A server that stops tells its sockets to come back, and what happens meanwhile is there."""
    assert await hosts.heard.stop() < 10
    assert (await hosts.socket.closed())[0] == 1012
    await hosts.buy(1, "meanwhile")
    async with socket_to(hosts.asked.address) as socket:
        await socket.init(hosts.account.token)
        await socket.start("fills", FILLS, {"after": seen})
        assert (await socket.data("fills"))["positionEvents"]["previousCursor"] == seen


async def test_trading_when_paused_until_a_moment_then_it_resumes_then_though_the_process_was_killed(
    hosts: Hosts,
) -> None:
    await hosts.socket.start("risk", RISK)
    await hosts.socket.execute("{ streamCursor }")
    until = datetime.now(UTC) + timedelta(seconds=2)
    given = {"id": hosts.account.portfolio_id, "until": until.isoformat()}
    done = await hosts.client.data(PAUSE, given, hosts.account.token)
    assert done["pauseTrading"]["errors"] == []
    hosts.asked.kill()
    assert await hosts.next("risk") == {"type": "TRADING_PAUSED", "tradingStatus": {"state": "PAUSED"}}
    assert await hosts.next("risk") == {"type": "TRADING_RESUMED", "tradingStatus": {"state": "ACTIVE"}}
    assert datetime.now(UTC) >= until
    await hosts.asked.start()
