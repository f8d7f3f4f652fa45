"""Up to where the log may be archived, and what holds it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS, Handler


@dataclass(frozen=True, slots=True)
class Limit:
    """The last event that may go, and why not those behind it that are as old as was asked for; none: all of them."""

    last: int
    held_by: str | None = None


async def limit_of(connection: AsyncConnection, handlers: Sequence[Handler], before: datetime) -> Limit:
    """What may go of what is in front of the first event at that moment or later.

    What one of these handlers has still to deal with stays, or gave up and may try again, and so does all that comes
    behind it. A checkpoint or a dead letter of a handler that is none of them holds nothing back.
    """
    own = log.EVENTS.c
    first = (await connection.execute(select(func.min(own.seq)).where(own.occurred_at >= before))).scalar_one()
    limit = Limit((await log.head(connection)).seq if first is None else first - 1)
    reached = {
        row.handler: row.seq for row in await connection.execute(select(CHECKPOINTS.c.handler, CHECKPOINTS.c.seq))
    }
    for handler in handlers:
        given_up = select(func.min(DEAD_LETTERS.c.seq)).where(
            DEAD_LETTERS.c.handler == handler.name, DEAD_LETTERS.c.dropped_at.is_(None)
        )
        letter = (await connection.execute(given_up)).scalar_one()
        if letter is not None and letter <= limit.last:
            limit = Limit(letter - 1, f"event {letter} is a dead letter of the handler {handler.name}")
        place = reached.get(handler.name)
        if place is None:
            continue  # it has never begun, and will begin with what comes then
        for event in await log.read_after(connection, place, handler.chosen, 1):
            if event.seq <= limit.last:
                limit = Limit(event.seq - 1, f"event {event.seq}, {event.type}, waits for the handler {handler.name}")
    return limit
