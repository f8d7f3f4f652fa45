"""Having a handler deal again with events that it gave up, or has dealt with before; and dropping what it gave up."""

from collections.abc import Iterable, Sequence

from sqlalchemy import update

from infrastructure import log
from infrastructure.bus import DEAD_LETTERS, Handler, checkpoint, dead_letters, deal_again
from infrastructure.services import Services
from models.errors import Refused, invalid
from models.events import EventFilter, RecordedEvent

PART = 500


async def replay_dead_letters(services: Services, handler: Handler) -> tuple[int, list[str]]:
    """Each dead letter of the handler in its own transaction; how many are dealt with now, and what failed again."""
    done, failed = 0, list[str]()
    for letter in await dead_letters(services, handler.name):
        async with services.database.read() as connection:
            found = await log.read_after(connection, letter.seq - 1, EventFilter(), 1)
        await _refuse_archived(services, letter.seq - 1)
        failures = await _each(services, handler, found)
        done, failed = done + 1 - len(failures), failed + failures
    return done, failed


async def replay_from(services: Services, handler: Handler, after: int) -> tuple[int, list[str]]:
    """Every event of the handler's own behind `after`, up to its checkpoint, in order.

    Raises `Refused` if some of them are archived, also if they come to be meanwhile.
    """
    end = (await checkpoint(services, handler.name)).seq
    done, failed = 0, list[str]()
    await _refuse_archived(services, after)
    while after < end:
        async with services.database.read() as connection:
            found = await log.read_after(connection, after, handler.chosen, PART)
        await _refuse_archived(services, after)
        part = [event for event in found if event.seq <= end]
        failures = await _each(services, handler, part)
        done, failed = done + len(part) - len(failures), failed + failures
        after = part[-1].seq if len(part) == PART else end
    return done, failed


async def drop_dead_letters(services: Services, name: str, seqs: Sequence[int] | None) -> int:
    """Give dead letters of a handler up for good, all of these or none, or every one (none given); how many there were.

    Nobody deals with them any more, and they hold no archiving back. Raises `Refused` for what is no dead letter.
    """
    letters = {letter.seq for letter in await dead_letters(services, name)}
    chosen = letters if seqs is None else set(seqs)
    if unknown := sorted(chosen - letters):
        raise Refused(invalid(f"The handler {name} has no dead letter {unknown[0]}.", "drop"))
    own = DEAD_LETTERS.c
    async with services.database.write() as tx:
        for seq in sorted(chosen):
            dropped = update(DEAD_LETTERS).where(own.handler == name, own.seq == seq)
            await tx.execute(dropped.values(dropped_at=services.clock.now()))
    return len(chosen)


async def _refuse_archived(services: Services, after: int) -> None:
    async with services.database.read() as connection:
        floor = (await log.floor(connection)).seq
    if after < floor:
        message = f"The events up to {floor} are archived: replay from {floor} on, or unarchive them first."
        raise Refused(invalid(message, "after"))


async def _each(services: Services, handler: Handler, events: Iterable[RecordedEvent]) -> list[str]:
    return [fault for event in events if (fault := await deal_again(services, handler, event))]
