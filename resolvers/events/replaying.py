"""Having a handler deal again with events that it gave up, or has dealt with before."""

from collections.abc import Iterable

from infrastructure import log
from infrastructure.bus import Handler, checkpoint, dead_letters, deal_again
from infrastructure.services import Services
from models.events import EventFilter, RecordedEvent

PART = 500


async def replay_dead_letters(services: Services, handler: Handler) -> tuple[int, list[str]]:
    """Each dead letter of the handler in its own transaction; how many are dealt with now, and what failed again."""
    done, failed = 0, list[str]()
    for letter in await dead_letters(services, handler.name):
        async with services.database.read() as connection:
            [event] = await log.read_after(connection, letter.seq - 1, EventFilter(), 1)
        failures = await _each(services, handler, [event])
        done, failed = done + 1 - len(failures), failed + failures
    return done, failed


async def replay_from(services: Services, handler: Handler, after: int) -> tuple[int, list[str]]:
    """Every event of the handler's own behind `after`, up to its checkpoint, in order."""
    end = (await checkpoint(services, handler.name)).seq
    done, failed = 0, list[str]()
    while after < end:
        async with services.database.read() as connection:
            found = await log.read_after(connection, after, handler.chosen, PART)
        part = [event for event in found if event.seq <= end]
        failures = await _each(services, handler, part)
        done, failed = done + len(part) - len(failures), failed + failures
        after = part[-1].seq if len(part) == PART else end
    return done, failed


async def _each(services: Services, handler: Handler, events: Iterable[RecordedEvent]) -> list[str]:
    return [fault for event in events if (fault := await deal_again(services, handler, event))]
