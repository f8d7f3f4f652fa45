"""What who runs the place does with the log: not bound to a viewer."""

import asyncio
from collections.abc import AsyncGenerator

import structlog

from infrastructure import log
from infrastructure.background import Background
from infrastructure.database import DatabaseUnavailable
from infrastructure.leases import Lease
from infrastructure.partitions import cut_at_month
from infrastructure.services import Services
from models.events import EventFilter, RecordedEvent

BATCH = 500

logger = structlog.get_logger(__name__)


async def listed(
    services: Services, after: int, chosen: EventFilter, limit: int
) -> AsyncGenerator[RecordedEvent, None]:
    """The filter's next events behind a number, oldest first, `limit` at most."""
    while limit > 0:
        async with services.database.read() as connection:
            events = await log.read_after(connection, after, chosen, min(BATCH, limit))
        for event in events:
            yield event
        if len(events) < min(BATCH, limit):
            return
        after, limit = events[-1].seq, limit - len(events)


async def new_epoch(services: Services) -> str:
    """Give the log another epoch, so that every cursor of it gets `CursorExpired`; no process may serve meanwhile.

    A log that was restored from a copy gives the numbers behind the copy out again, for other events: a cursor from
    before the loss would pass over them.
    """
    epoch = log.some_epoch()
    async with services.database.write() as tx:
        await log.set_epoch(tx.connection, epoch)
    return epoch


CUT_S, AGAIN_S = 60.0, 2.0


class Partitions:
    """Cuts the log's partitions at the month's turn: one process does, by a lease. On SQLite there are none."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lease = Lease(
            services.database, "partitions", str(services.ids.new()), services.settings.lease_s, services.clock
        )
        self._task = Background("partitions", self._watch)

    async def start(self) -> None:
        """Begin to watch."""
        if self._services.database.dialect == "postgresql":
            self._task.start()

    async def stop(self) -> None:
        """Stop; what was begun is finished by who watches next."""
        await self._task.stop()

    async def _watch(self) -> None:
        while True:
            pause_s = CUT_S
            try:
                if await self._lease.hold():
                    await cut_at_month(self._services.database, self._services.clock.now())
            except DatabaseUnavailable as error:
                # Not to be left for long: a partition that was given an end is to be cut before the log is there.
                logger.warning("the log's partition could not be cut", error=str(error), again_in_s=AGAIN_S)
                pause_s = AGAIN_S
            await asyncio.sleep(pause_s)
