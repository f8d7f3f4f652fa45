"""Workers as real processes: killed at random, each handler's effect is there once."""

import random
from pathlib import Path

import pytest

from infrastructure.database import Database
from tests.e2e.conftest import SETTINGS
from tests.e2e.effects import check_told, dealt_with
from tests.e2e.trading import Load, all_settled, open_account, until
from tests.support.house import settings_for
from tests.support.server import Server, Worker
from tests.support.servers import PostgresDatabases

pytestmark = pytest.mark.timeout(300)

BRIEF = 3
PAUSE_S = 0.5
"""Of each client after what it did, in the long form: else it places orders faster than they are filled, and what waits
in the end takes as long again to fill.
"""
SETTLED_S_MAX, LONG_SETTLED_S_MAX = 180, 600


@pytest.mark.parametrize("kills", [BRIEF, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_workers_when_killed_at_random_under_load_then_each_effect_happens_once(
    kills: int, tmp_path: Path, postgres: PostgresDatabases, postgres_template: str
) -> None:
    pause_s, settled_s_max = (0.0, SETTLED_S_MAX) if kills == BRIEF else (PAUSE_S, LONG_SETTLED_S_MAX)
    chance = random.Random(kills)  # noqa: S311 - repeatable
    url = postgres.create_database("workers", template=postgres_template)
    server = Server(tmp_path / "server", url, **SETTINGS, handlers=False, access_token_s=36_000)
    workers = [Worker(tmp_path / f"worker {number}", url, **SETTINGS) for number in range(2)]
    database = Database(settings_for(url, tmp_path))
    try:
        async with server, workers[0], workers[1], server.client() as client:
            account = await open_account(client, "ada@example.com")
            async with Load(client, account, seed=kills, pause_s=pause_s) as load:
                for _ in range(kills):
                    await load.more(chance.randint(5, 40))
                    worker = chance.choice(workers)
                    worker.kill()
                    await worker.start()
                await load.more(20)
            await until(lambda: all_settled(client, account), seconds=settled_s_max)
            await until(lambda: dealt_with(database), seconds=settled_s_max)
        await check_told(database)
    finally:
        await database.close()
        postgres.drop_database("workers")
