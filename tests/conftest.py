"""The fixtures of the whole suite. What asks for `settings`, `database` or `services` runs once on each database."""

import random
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest
import structlog
from redis import Redis

from infrastructure.budgets.limiter import Limiter
from infrastructure.budgets.rates import Rates
from infrastructure.cache import Cache
from infrastructure.database import Database
from infrastructure.ids import Ids
from infrastructure.key_uses import KeyUses
from infrastructure.known import Known
from infrastructure.passwords import Passwords
from infrastructure.quotes import QuoteBoard
from infrastructure.relay import Relay
from infrastructure.services import Services
from infrastructure.settings import Settings, signing_secret
from infrastructure.throttle import Throttle
from infrastructure.tokens import Tokens
from resolvers.changes import tags_of
from tests.support.clock import ManualClock
from tests.support.house import emptied, migrated, settings_for
from tests.support.redis_server import redis_server
from tests.support.servers import PostgresDatabases, postgres_server

BACKENDS = ("sqlite", "postgresql")

# How long an example takes says more of the machine than of the code.
hypothesis.settings.register_profile("tradegraph", deadline=None)
hypothesis.settings.load_profile("tradegraph")

# As processes have it: a traceback with every local variable takes a second, in which the loop stands.
structlog.configure(processors=[structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresDatabases]:
    """A PostgreSQL server of this session (of each worker, under xdist)."""
    with postgres_server() as databases:
        yield databases


@pytest.fixture(scope="session")
def redis_server_url() -> Iterator[str]:
    """A Redis of this session (of each worker, under xdist)."""
    with redis_server() as url:
        yield url


@pytest.fixture
def redis_url(redis_server_url: str) -> str:
    """The URL of a Redis whose database is empty."""
    with Redis.from_url(redis_server_url) as client:
        client.flushdb()
    return redis_server_url


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresDatabases, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a migrated database to copy."""
    migrated(settings_for(postgres.create_database("template"), tmp_path_factory.mktemp("home")))
    return "template"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "tradegraph.db"
    migrated(settings_for(f"sqlite:///{path}", path.parent))
    return path


@pytest.fixture(scope="module")
def postgres_database(
    postgres: PostgresDatabases, postgres_template: str, request: pytest.FixtureRequest
) -> Iterator[str]:
    """The name of this module's database; `settings` empties it for each test."""
    name = request.node.name.rpartition("/")[2].removesuffix(".py")
    postgres.create_database(name, template=postgres_template)
    yield name
    postgres.drop_database(name)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Which database; a test for one only says `@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)`."""
    return str(request.param)


@pytest.fixture
def settings(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    """Settings with the URL of a migrated database that has no data but what `migrate` makes."""
    if backend == "sqlite":
        path = tmp_path / "tradegraph.db"
        shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
        return settings_for(f"sqlite:///{path}", tmp_path)
    name = request.getfixturevalue("postgres_database")
    emptied(request.getfixturevalue("postgres"), name)
    return settings_for(request.getfixturevalue("postgres").url(name), tmp_path)


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    """The database of `settings`, open."""
    database = Database(settings)
    yield database
    await database.close()


@pytest.fixture
def clock() -> ManualClock:
    """A clock that only the test moves."""
    return ManualClock()


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    """The same ids in each run."""
    return Ids(clock, random.Random(1))  # noqa: S311 - repeatable on purpose


@pytest.fixture
async def services(settings: Settings, database: Database, clock: ManualClock, ids: Ids) -> AsyncIterator[Services]:
    """What a process has, with its relay running; passwords are hashed as cheaply as argon2 can."""
    relay = Relay(database, settings.relay_poll_ms / 1000, settings.relay_ring)
    cache = Cache(settings, None, tags_of)
    cache.follow(relay, database)
    limiter = Limiter(clock)
    services = Services(
        settings=settings,
        clock=clock,
        ids=ids,
        database=database,
        relay=relay,
        cache=cache,
        quotes=QuoteBoard(settings.quote_stale_after_ms),
        passwords=Passwords(memory_kib=8, time_cost=1),
        tokens=Tokens(signing_secret(settings), settings.access_token_s),
        limiter=limiter,
        rates=Rates(settings),
        throttle=Throttle(settings, limiter),
        key_uses=KeyUses(database),
        known=Known(database),
    )
    await services.relay.start()
    yield services
    await services.cache.stop()
    await services.relay.stop()
