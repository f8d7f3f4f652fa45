"""How the handlers are: how far each has come, what waits for it, what it gave up, and which process has it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS, LEASE, Handler
from infrastructure.leases import LEASES

WAITING_MAX = 1_000
"""So many events that wait are counted, and no more: to count a million takes a second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """One handler, as all processes see it.

    It has dealt with the log up to `seq`, or with more of it, if nothing that comes next is its own. `waiting`: how
    many events of its own are there behind that, `WAITING_MAX` at most, the first of which happened at `since` and has
    failed `attempts` times. `holder` is the process that has it just now.
    """

    handler: str
    seq: int
    attempts: int
    waiting: int
    since: datetime | None
    dead_letters: int
    holder: str | None

    def lag_s(self, now: datetime) -> float:
        """How long the first event that waits has waited."""
        return 0.0 if self.since is None else max((now - self.since).total_seconds(), 0.0)


async def standings(connection: AsyncConnection, handlers: Sequence[Handler], now: datetime) -> list[Standing]:
    """How each of these handlers is, in their order, and then each that is not among them and has left something."""
    own = CHECKPOINTS.c
    places = {row.handler: row for row in await connection.execute(select(own.handler, own.seq, own.attempts))}
    behind = {row.handler: row for row in await connection.execute(union_all(*map(_behind, handlers)))}
    given_up = select(DEAD_LETTERS.c.handler, func.count()).where(DEAD_LETTERS.c.dropped_at.is_(None))
    counts: dict[str, int] = dict((await connection.execute(given_up.group_by(DEAD_LETTERS.c.handler))).all())
    leases = select(LEASES.c.name, LEASES.c.holder).where(
        LEASES.c.name.startswith(f"{LEASE}:job:"), LEASES.c.expires_at >= now
    )
    holders: dict[str, str] = dict((await connection.execute(leases)).all())
    names = [handler.name for handler in handlers]
    found = []
    for name in (*names, *sorted({*places, *counts} - {*names})):
        place, events = places.get(name), behind.get(name)
        found.append(
            Standing(
                handler=name,
                seq=place.seq if place else 0,
                attempts=place.attempts if place else 0,
                waiting=events.waiting if events and place else 0,
                since=events.since if events and place else None,
                dead_letters=counts.get(name, 0),
                holder=holders.get(f"{LEASE}:job:{name}"),
            )
        )
    return found


def _behind(handler: Handler) -> Select[str, int, Any]:
    """How many events of its own lie behind its checkpoint, and when the first of them happened."""
    place = select(CHECKPOINTS.c.seq).where(CHECKPOINTS.c.handler == handler.name).scalar_subquery()
    wanted = [log.EVENTS.c.seq, log.EVENTS.c.occurred_at]
    events = log.picked(wanted, handler.chosen, [log.EVENTS.c.seq > place], WAITING_MAX, down=False).subquery()
    return select(
        literal(handler.name).label("handler"),
        func.count().label("waiting"),
        func.min(events.c.occurred_at).label("since"),
    ).select_from(events)
