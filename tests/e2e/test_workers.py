"""Workers as real processes: killed at random, each handler's effect is there once."""

import random
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS
from infrastructure.database import Database
from models.enums import EventType
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.registry import HANDLERS
from tests.e2e.conftest import SETTINGS
from tests.e2e.trading import Load, all_settled, open_account, until
from tests.support.house import settings_for
from tests.support.log_race import whole_log
from tests.support.server import Server, Worker
from tests.support.servers import PostgresDatabases

pytestmark = pytest.mark.timeout(300)

TELLS = {
    "order-placed": EventType.ORDER_PLACED,
    "order-executed": EventType.ORDER_EXECUTED,
    "position-closed": EventType.POSITION_CLOSED,
    "trading-paused": EventType.TRADING_PAUSED,
}
"""Handlers that tell each event's owner, all of whose preferences say yes."""


async def dealt_with(database: Database) -> bool:
    """Whether every handler has dealt with every event of its own."""
    events = await whole_log(database)
    async with database.read() as connection:
        places = {row.handler: row.seq for row in await connection.execute(select(CHECKPOINTS))}
    last = {handler.name: [e.seq for e in events if e.type in handler.types] for handler in HANDLERS}
    return all(places[name] >= max(own, default=0) for name, own in last.items())


async def check_told(database: Database) -> None:
    """Of each event its handlers have told the owner, once, and there is an event of that, once."""
    events = await whole_log(database)
    async with database.read() as connection:
        rows = (await connection.execute(select(NOTIFICATIONS))).all()
        dead = (await connection.execute(select(DEAD_LETTERS))).all()
    told = Counter((row.handler, row.event_seq) for row in rows)
    due = Counter((name, event.seq) for name, kind in TELLS.items() for event in events if event.type is kind)
    assert told == due
    sent = [event.aggregate_id for event in events if event.type is EventType.NOTIFICATION_SENT]
    assert sorted(sent) == sorted(row.id for row in rows)
    assert dead == []


@pytest.mark.parametrize("kills", [3, pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
async def test_workers_when_killed_at_random_under_load_then_each_effect_happens_once(
    kills: int, tmp_path: Path, postgres: PostgresDatabases, postgres_template: str
) -> None:
    chance = random.Random(kills)  # noqa: S311 - repeatable
    url = postgres.create_database("workers", template=postgres_template)
    server = Server(tmp_path / "server", url, **SETTINGS, handlers=False)
    workers = [Worker(tmp_path / f"worker {number}", url, **SETTINGS) for number in range(2)]
    database = Database(settings_for(url, tmp_path))
    try:
        async with server, workers[0], workers[1], server.client() as client:
            async with Load(client, await open_account(client, "ada@example.com"), seed=kills) as load:
                for _ in range(kills):
                    await load.more(chance.randint(5, 40))
                    worker = chance.choice(workers)
                    worker.kill()
                    await worker.start()
                await load.more(20)
            await until(lambda: all_settled(client, load.account))
            await until(lambda: dealt_with(database))
        await check_told(database)
    finally:
        await database.close()
        postgres.drop_database("workers")
