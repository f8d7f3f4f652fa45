"""What another process on the same database would have."""

import dataclasses
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from infrastructure.cache import Cache
from infrastructure.clock import Clock
from infrastructure.database import Database
from infrastructure.ids import Ids
from infrastructure.quotes import QuoteBoard
from infrastructure.relay import Relay
from infrastructure.services import Services
from resolvers.changes import tags_of
from resolvers.context import Context

POLL_S = 0.05


@asynccontextmanager
async def another_process(services: Services, number: int, clock: Clock | None = None) -> AsyncIterator[Services]:
    """Services with connections, a relay and a memory of their own; `number` makes their ids other ones."""
    database = Database(services.settings)
    clock = clock or services.clock
    relay = Relay(database, POLL_S, services.settings.relay_ring)
    cache = Cache(services.settings, services.redis, tags_of)
    cache.follow(relay, database)
    other = dataclasses.replace(
        services,
        database=database,
        clock=clock,
        ids=Ids(clock, random.Random(f"process {number}")),  # noqa: S311 - repeatable on purpose
        relay=relay,
        cache=cache,
        quotes=QuoteBoard(services.settings.quote_stale_after_ms),
    )
    await other.relay.start()
    try:
        yield other
    finally:
        await other.relay.stop()
        await database.close()


def context_in(services: Services, ctx: Context) -> Context:
    """The same caller, served by that process."""
    return Context(services, ctx.viewer, ctx.address, services.relay.position)
