"""The composition root: all that one process has and runs, put together once."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, Protocol

import structlog

from infrastructure.budgets.limiter import Limiter
from infrastructure.budgets.rates import Rates
from infrastructure.cache import Cache
from infrastructure.clock import Clock, SystemClock
from infrastructure.database import Database
from infrastructure.ids import Ids
from infrastructure.key_uses import KeyUses
from infrastructure.known import Known
from infrastructure.migrations import is_migrated, migrate
from infrastructure.notes import Notes
from infrastructure.passwords import Passwords
from infrastructure.quotes import QuoteBoard
from infrastructure.redis import Redis
from infrastructure.relay import Relay
from infrastructure.services import Services
from infrastructure.settings import Settings, signing_secret
from infrastructure.throttle import Throttle
from infrastructure.tokens import Tokens
from infrastructure.waking import Waker
from resolvers.alerts.forgetting import Forgetting
from resolvers.changes import tags_of
from resolvers.events.operators import Partitions
from resolvers.events.snapshots import Snapshots
from resolvers.floor import TradingFloor
from resolvers.marketdata.commands import seed_catalogue
from resolvers.registry import bus_of
from resolvers.seed import seed_demo

STOP_S: Final = 3.0
"""How long a process takes to stop in order; then it waits for nobody any more."""
LEAVE_S: Final = 1.0
"""How long it takes to leave what it does not wait for."""

logger = structlog.get_logger(__name__)


class NotMigrated(Exception):  # noqa: N818 - reason: the name says what is wrong
    """The database has no schema, or an old one."""


class Work(Protocol):
    """Work that goes on beside the requests."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End, and wait until it has ended."""


class Process:
    """One process: its services, and the work that goes on in it beside the requests."""

    def __init__(self, services: Services, works: list[Work]) -> None:
        self.services = services
        self._works = works
        self._started: list[Work] = []

    async def start(self) -> None:
        """Start every work in order. The embedded database is migrated first, and seeded if it is new.

        Raises `NotMigrated` for any other database that is not up to date.
        """
        services, settings = self.services, self.services.settings
        await prepare(services)
        await self._start(services.relay)
        # Before the market opens: the demo's year is filled at its own prices. A replay may have none for it.
        if settings.seeds_demo and settings.replay is None:
            await seed_demo(services)
        for work in self._works:
            await self._start(work)

    async def _start(self, work: Work) -> None:
        self._started.append(work)
        await work.start()

    async def stop(self, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Stop every work that was started, all at once, and close the connections; `before` is awaited first.

        A database that hangs holds up nobody: after `STOP_S` connections are dropped as they are, as if the process had
        been killed. What was not committed is rolled back by the server, and leases run out.
        """
        stopping = asyncio.ensure_future(self._stop_in_order(before))
        await asyncio.wait([stopping], timeout=STOP_S)
        if not stopping.done():
            logger.warning("not everything stopped in time: connections are dropped", seconds=STOP_S)
            self.services.database.abort()
            await asyncio.wait([stopping], timeout=LEAVE_S)
        if stopping.done():
            stopping.result()
        else:
            stopping.cancel()

    async def _stop_in_order(self, before: Callable[[], Awaitable[None]] | None) -> None:
        if before is not None:
            await before()
        works, self._started = self._started[::-1], []
        ends = await asyncio.gather(*(work.stop() for work in works), return_exceptions=True)
        for work, end in zip(works, ends, strict=True):
            if isinstance(end, BaseException):
                logger.error("work did not stop in order", work=type(work).__name__, exc_info=end)
        await self.services.limiter.settle()
        await self.services.cache.stop()
        if self.services.redis is not None:
            await self.services.redis.close()
        await self.services.database.close()


async def prepare(services: Services) -> None:
    """Bring the embedded database to the newest schema, and add what lacks of the catalogue to any.

    Raises `NotMigrated` for another database that is not up to date.
    """
    if services.settings.embedded:
        await migrate(services.database, services.clock.now())
    elif not await is_migrated(services.database):
        raise NotMigrated("The database is not migrated: run `tradegraph migrate` first.")
    await seed_catalogue(services)


def build_services(
    settings: Settings, clock: Clock | None = None, ids: Ids | None = None, passwords: Passwords | None = None
) -> Services:
    """The services of a process by its settings, with a test's own clock, ids and password hashing if it gives any."""
    clock = clock or SystemClock()
    database = Database(settings)
    relay = Relay(database, settings.relay_poll_ms / 1000, settings.relay_ring)
    redis = Redis(settings) if settings.redis_url else None
    cache = Cache(settings, redis, tags_of)
    cache.follow(relay, database)
    known = Known[Any](database, None if redis is None else Notes(redis, database, relay))
    known.follow(relay)
    limiter = Limiter(clock, redis, settings.limit_fallback_share)
    return Services(
        settings=settings,
        clock=clock,
        ids=ids or Ids(clock),
        database=database,
        relay=relay,
        cache=cache,
        quotes=QuoteBoard(settings.quote_stale_after_ms),
        passwords=passwords or Passwords(),
        tokens=Tokens(signing_secret(settings), settings.access_token_s),
        limiter=limiter,
        rates=Rates(settings),
        throttle=Throttle(settings, limiter),
        key_uses=KeyUses(database),
        known=known,
        redis=redis,
    )


def build_process(services: Services) -> Process:
    """The process with all its work: what is made here runs wherever the server runs."""
    works: list[Work] = [
        services.key_uses,
        Snapshots(services),
        Partitions(services),
        Forgetting(services),
        bus_of(services),
        TradingFloor(services),
    ]
    if services.redis is not None:
        works.insert(0, Waker(services.redis, services.database, services.relay))
    return Process(services, works)
