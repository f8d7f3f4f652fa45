"""Whatever happens to connections, servers, worker and Redis: no subscriber loses an event, or sees one twice."""

import asyncio
import contextlib
import functools
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from infrastructure.database import Database
from tests.e2e.books import check_books
from tests.e2e.conftest import SETTINGS
from tests.e2e.effects import check_told, dealt_with
from tests.e2e.readers import STREAMS, Reader
from tests.e2e.trading import Load, all_settled, open_account, until
from tests.support.house import settings_for
from tests.support.log_race import whole_log
from tests.support.redis_server import RedisServer
from tests.support.server import Server, Worker
from tests.support.servers import PostgresDatabases
from tests.support.wire import Client

ACCOUNTS = 5
PAUSE_S = 0.3
"""Between the orders of an account: what the machine has to spare is for the readers."""
BRIEF = 100
"""Up to so many subscribers it is the suite's short form."""
BETWEEN = 4
"""Orders and deposits from one disaster to the next."""
MANY = {"sockets_per_user": 0, "sockets_per_address": 0, "log_level": "WARNING", "access_token_s": 36_000}
WAIT_S_MAX = 150


@dataclass
class Storm:
    """Two servers, a worker and a Redis on one database, and what befalls them."""

    servers: Sequence[Server]
    worker: Worker
    redis: RedisServer
    database: Database
    chance: random.Random
    loads: list[Load] = field(default_factory=list)

    async def of_processes(self, *, briefly: bool) -> None:
        """Each is killed and is stopped in order, and begins again; briefly, each but one or the other."""
        one, other = self.chance.sample(self.servers, 2)
        befalls = [self._killed(one), self._stopped(other), self._killed(self.worker)]
        if not briefly:
            befalls += [self._stopped(one), self._killed(other), self._stopped(self.worker)]
        self.chance.shuffle(befalls)
        for befall in befalls:
            await befall()
            await self._trading()

    def _killed(self, process: Server) -> Callable[[], Awaitable[None]]:
        async def befall() -> None:
            process.kill()
            await self._trading(process)
            await process.start()

        return befall

    def _stopped(self, process: Server) -> Callable[[], Awaitable[None]]:
        async def befall() -> None:
            await process.stop()
            await process.start()

        return befall

    async def of_redis(self) -> None:
        """It is killed, frozen, and begun again empty, again and again until this is cancelled; then it is well."""
        frozen = down = False
        try:
            while True:
                match self.chance.choice(("kill", "freeze", "restart")):
                    case "kill":
                        self.redis.kill()
                        down = True
                        await self._trading()
                        self.redis.restart()
                        down = False
                    case "freeze":
                        self.redis.freeze()
                        frozen = True
                        await self._trading()
                        self.redis.thaw()
                        frozen = False
                    case _:
                        self.redis.restart()
                await self._trading()
        finally:
            if down:
                self.redis.restart()
            elif frozen:
                self.redis.thaw()

    async def _trading(self, down: Server | None = None) -> None:
        """Until something more was done, where not everything is down."""
        asked = [
            load for load in self.loads if down is None or load.client.http.base_url.netloc.decode() != down.address
        ]
        await self.chance.choice(asked).more(BETWEEN)


@asynccontextmanager
async def a_storm(home: Path, postgres: PostgresDatabases, template: str, seed: int) -> AsyncIterator[Storm]:
    """All of it, running."""
    name = f"storm_{seed}"
    url = postgres.create_database(name, template=template)
    database = Database(settings_for(url, home))
    try:
        async with contextlib.AsyncExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            settings = SETTINGS | MANY | {"redis_url": redis.url, "handlers": False}
            servers = [Server(home / each, url, **settings) for each in ("one", "other")]
            worker = Worker(home / "worker", url, **settings | {"handlers": True})
            await asyncio.gather(*(stack.enter_async_context(each) for each in (*servers, worker)))
            yield Storm(servers, worker, redis, database, random.Random(seed))  # noqa: S311 - repeatable
    finally:
        await database.close()
        postgres.drop_database(name)


@asynccontextmanager
async def reading(readers: Sequence[Reader]) -> AsyncIterator[None]:
    """They follow meanwhile; what is wrong with one is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(reader.run()) for reader in readers]
        yield
        for task in tasks:
            task.cancel()


async def at_rest(storm: Storm, client: Client) -> None:
    """Until nothing more happens by itself: every order is filled or rests, every handler has dealt with everything."""
    for load in storm.loads:
        await until(functools.partial(all_settled, client, load.account), seconds=WAIT_S_MAX)
    await until(lambda: dealt_with(storm.database), seconds=WAIT_S_MAX)


async def readers_of(storm: Storm, client: Client, count: int) -> list[Reader]:
    """So many, of each account as many, of each stream as many; one of four begins with a snapshot."""
    accounts = [load.account for load in storm.loads]
    start = (await client.data("{ streamCursor }"))["streamCursor"]
    addresses, stays = [server.address for server in storm.servers], asyncio.Event()
    found = []
    for number in range(count):
        query = STREAMS[number // ACCOUNTS % len(STREAMS)]
        chance = random.Random(storm.chance.random())  # noqa: S311 - repeatable
        begin = None if query is STREAMS[0] else start
        found.append(Reader(accounts[number % ACCOUNTS], query, addresses, chance, stays, begin))
    return found


async def ride_out(storm: Storm, clients: Sequence[Client], count: int) -> None:
    """Readers follow and traders trade while everything breaks; in the end each has seen what is in the log."""
    for number in range(ACCOUNTS):
        client = clients[number % len(clients)]
        account = await open_account(client, f"u{number}@example.com")
        storm.loads.append(Load(client, account, number, clients=1, pause_s=PAUSE_S))
    readers = await readers_of(storm, clients[0], count)
    async with reading(readers):
        async with contextlib.AsyncExitStack() as stack:
            for load in storm.loads:
                await stack.enter_async_context(load)
            breaking = asyncio.create_task(storm.of_redis())
            await storm.of_processes(briefly=count <= BRIEF)
            breaking.cancel()
            await asyncio.wait([breaking])
        readers[0].stays.set()
        await at_rest(storm, clients[0])
        events = await whole_log(storm.database)

        async def all_seen() -> bool:
            return all(reader.is_at_the_end(events) for reader in readers)

        await until(all_seen, seconds=WAIT_S_MAX)
    for reader in readers:
        reader.check(events)
    for happened in ("left", "stalled", "thrown_off"):
        assert sum(getattr(reader, happened) for reader in readers) > count / 10
    await check_told(storm.database)
    await check_books(storm.database)
    for process in (*storm.servers, storm.worker):
        assert "internal error" not in process.output


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("count", "seed"),
    [(100, 1), *(pytest.param(1000, seed, marks=[pytest.mark.soak]) for seed in range(1, 21))],
)
async def test_subscribers_when_everything_around_them_fails_at_random_then_none_loses_an_event_or_sees_one_twice(
    count: int, seed: int, tmp_path: Path, postgres: PostgresDatabases, postgres_template: str
) -> None:
    try:
        async with (
            a_storm(tmp_path, postgres, postgres_template, seed) as storm,
            storm.servers[0].client() as one,
            storm.servers[1].client() as other,
        ):
            await ride_out(storm, (one, other), count)
    except BaseException as error:
        error.add_note(f"{count} subscribers, seed {seed}")
        raise
