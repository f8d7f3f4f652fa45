"""A commit in one process is seen in another at once with Redis, and at the next poll without it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest

from infrastructure.database import Database
from infrastructure.redis import Redis
from infrastructure.relay import Relay
from infrastructure.settings import Settings
from infrastructure.waking import Waker
from tests.support.house import an_event
from tests.support.redis_server import RedisServer

NEVER_S, SOON_S = 3600.0, 0.2


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def a_process(settings: Settings, server: RedisServer, poll_s: float) -> AsyncIterator[tuple[Database, Relay]]:
    """A database's connections, a relay that polls so often, and a waker."""
    settings = settings.model_copy(update={"redis_url": server.url})
    database, redis = Database(settings), Redis(settings)
    relay = Relay(database, poll_s, settings.relay_ring)
    waker = Waker(redis, database, relay)
    await relay.start()
    await waker.start()
    try:
        yield database, relay
    finally:
        await waker.stop()
        await relay.stop()
        await redis.close()
        await database.close()


async def commit(database: Database) -> int:
    async with database.write() as tx:
        tx.record(an_event(1, uuid4()))
    return tx.position


async def seen(database: Database, relay: Relay) -> None:
    """Commits until one is seen: somebody who begins to listen has to be heard of first."""
    async with asyncio.timeout(30):
        while True:
            position = await commit(database)
            try:
                async with asyncio.timeout(1):
                    await relay.reached(position)
            except TimeoutError:
                continue
            return


async def test_commit_when_another_process_hears_of_it_then_it_reads_the_log_without_polling(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server, NEVER_S) as (database, _), a_process(settings, server, NEVER_S) as other:
        await seen(database, other[1])
        async with asyncio.timeout(10):
            await other[1].reached(await commit(database))


@pytest.mark.parametrize("way", ["killed", "frozen"])
async def test_commit_when_redis_is_gone_then_it_is_seen_at_the_next_poll_and_at_once_when_redis_is_back(
    settings: Settings, server: RedisServer, way: str
) -> None:
    async with (
        a_process(settings, server, SOON_S) as (database, _),
        a_process(settings, server, SOON_S) as (_, polls),
        a_process(settings, server, NEVER_S) as (_, waits),
    ):
        await seen(database, waits)
        server.kill() if way == "killed" else server.freeze()
        try:
            async with asyncio.timeout(10):
                for _ in range(5):
                    await polls.reached(await commit(database))
        finally:
            server.restart() if way == "killed" else server.thaw()
        # Empty after the restart: there is nothing in it that anybody would miss.
        await seen(database, waits)
