"""A server or a database that is killed under load loses nothing that it acknowledged, and does nothing twice."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from infrastructure.database import Database
from tests.e2e.books import check_books, check_deposits, check_orders
from tests.e2e.conftest import SETTINGS
from tests.e2e.trading import PLACE, Load, all_settled, open_account, until
from tests.support.house import settings_for
from tests.support.rebuild import verify
from tests.support.server import Server
from tests.support.servers import PostgresServer
from tests.support.wire import Client

KILLS = [5, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])]
ASKED_AGAIN = 20

pytestmark = pytest.mark.timeout(300)


@asynccontextmanager
async def database_of(server: Server, url: str = "") -> AsyncIterator[Database]:
    database = Database(settings_for(url, server.home))
    try:
        yield database
    finally:
        await database.close()


async def settle(client: Client, load: Load) -> None:
    """Wait until every market order is filled, so that there is nothing more to come."""
    await until(lambda: all_settled(client, load.account))


async def check(server: Server, url: str, load: Load) -> None:
    """No acknowledged request is missing, none was done twice, and the books are right."""
    async with database_of(server, url) as database:
        await check_orders(database, load.account.portfolio_id, load.orders)
        await check_deposits(database, load.account.portfolio_id, load.deposits)
        await check_books(database)
        await verify(database)


@pytest.mark.parametrize("kills", KILLS)
async def test_server_when_killed_under_load_then_all_that_it_acknowledged_is_there_once(
    server: Server, kills: int, request: pytest.FixtureRequest, backend: str
) -> None:
    chance = random.Random(kills)  # noqa: S311 - repeatable
    async with server.client() as client:
        async with Load(client, await open_account(client, "ada@example.com"), seed=kills) as load:
            for _ in range(kills):
                await load.more(chance.randint(10, 60))
                load.up.clear()
                server.kill()
                await server.start()
                load.up.set()
            await load.more(20)
        await settle(client, load)
        await same_answers(client, load)
    await server.stop()
    assert load.cut_off >= kills
    assert not {code for status, code in load.refused} - {"INSTRUMENT_NOT_TRADABLE"}
    url = "" if backend == "sqlite" else request.getfixturevalue("postgres").url("e2e")
    await check(server, url, load)


async def same_answers(client: Client, load: Load) -> None:
    """Who asks again with a key, even now, gets the order that it made."""
    keys = list(load.orders)[:ASKED_AGAIN]
    asked = [client.data(PLACE, {"input": load.requests[key]}, load.account.token) for key in keys]
    answers = await asyncio.gather(*asked)
    assert [answer["placeOrder"]["order"]["id"] for answer in answers] == [load.orders[key] for key in keys]


@pytest.mark.parametrize("kills", [2, pytest.param(25, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_postgresql_when_killed_under_load_then_writes_are_refused_clearly_and_nothing_is_lost(
    kills: int, tmp_path: Path
) -> None:
    with PostgresServer(fsync=True) as postgres:
        url = postgres.create_database("e2e")
        server = Server(tmp_path, url, **SETTINGS)
        server.run("migrate")
        async with server, server.client() as client:
            async with Load(client, await open_account(client, "ada@example.com"), seed=kills) as load:
                for _ in range(kills):
                    await load.more(30)
                    await asyncio.to_thread(postgres.kill)
                    await load.more_refused(8)
                    assert (await client.http.get("/healthz")).status_code == 200
                    lacking = await client.http.get("/readyz")
                    assert lacking.status_code == 503
                    assert set(lacking.json()["lacking"]) - {"log"} == {"database"}  # that as soon as it is read
                    await asyncio.to_thread(postgres.restart)
                await load.more(30)
            await settle(client, load)
            await same_answers(client, load)
        assert {code for _, code in load.refused} - {"INSTRUMENT_NOT_TRADABLE"} <= {"UNAVAILABLE", "OUTCOME_UNKNOWN"}
        assert {status for status, _ in load.refused} <= {200, 503}
        assert load.cut_off == 0
        assert "internal error" not in server.output
        await check(server, url, load)
