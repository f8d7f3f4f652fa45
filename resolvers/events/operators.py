"""What who runs the place does with the log: not bound to a viewer."""

from collections.abc import AsyncGenerator

from infrastructure import log
from infrastructure.services import Services
from models.events import EventFilter, RecordedEvent

BATCH = 500


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
