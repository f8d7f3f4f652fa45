"""The log's partitions on PostgreSQL: one for each month's events, cut at the month's turn.

They are ranges of the events' numbers, so that what is read behind a cursor is looked for in one of them. Numbers are
not known in advance: the last partition has no end until it is given one, a little ahead of where the log is.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.database import Database, Transaction

AHEAD = 5_000
"""Events that a partition takes at least after its end was set, while this is checked and the next one is made."""
SHARE = 50
"""And one more for so many that it has: checking takes as much longer."""
WAIT_MS = 100
"""For how long a cut waits for those who read or append."""

_LISTED = """
SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'events'::regclass
"""
_BOUNDS = re.compile(r"FROM \((?:MINVALUE|'(\d+)')\) TO \((?:MAXVALUE|'(\d+)')\)")


@dataclass(frozen=True, slots=True)
class Partition:
    """Holds the events from the number `first` on, in front of the number `end` (none: all that come)."""

    name: str
    first: int
    end: int | None


async def partitions(connection: AsyncConnection) -> list[Partition]:
    """The log's partitions in its order; on SQLite there are none."""
    if connection.dialect.name != "postgresql":
        return []
    found = []
    for name, bound in await connection.execute(text(_LISTED)):
        numbers = _BOUNDS.search(bound)
        if numbers is None:
            raise ValueError(f"the partition {name} of the log has other bounds than numbers: {bound}")
        first, end = numbers.groups()
        found.append(Partition(name, int(first or 0), None if end is None else int(end)))
    return sorted(found, key=lambda each: each.first)


async def cut_at_month(database: Database, now: datetime, ahead: int = AHEAD) -> Partition | None:
    """Begin a partition for this month, if the last one began in an earlier one; what was begun.

    Appending goes on: it waits for no longer than the last partition is detached and attached again, which reads
    nothing. Broken off at any place it is finished by the next call. One call at a time.
    Raises `DatabaseUnavailable` if others hold the log for long: to be tried again.
    """
    async with database.read() as connection:
        known = await partitions(connection)
        if not known:
            return None
        last = known[-1]
        began = await connection.execute(
            text(f"SELECT occurred_at FROM event_partitions.{last.name} ORDER BY seq LIMIT 1")  # noqa: S608 - reason: a name of ours
        )
        first_moment: datetime | None = began.scalar_one_or_none()
        end = await _end_set(connection, last)
    if first_moment is None or (first_moment.year, first_moment.month) >= (now.year, now.month):
        return None
    if end is None:
        end = await _set_end(database, last, ahead)
    async with database.write(unhurried=True) as tx:
        await tx.execute(text(f"ALTER TABLE event_partitions.{last.name} VALIDATE CONSTRAINT has_an_end"))
    name = f"events_{now:%Y_%m}"
    # Taken, if what came first into it had happened in the month before.
    return await _cut(database, last, end, f"{name}_{end}" if name in {each.name for each in known} else name)


async def _end_set(connection: AsyncConnection, last: Partition) -> int | None:
    """The end that an earlier call set and did not get to use."""
    rule = text(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE conname = 'has_an_end' AND conrelid = CAST(:name AS regclass)"
    )
    found = (await connection.execute(rule, {"name": f"event_partitions.{last.name}"})).scalar_one_or_none()
    return None if found is None else int(re.findall(r"\d+", found)[-1])


async def _set_end(database: Database, last: Partition, ahead: int) -> int:
    """Give the partition an end ahead of the log. From here on it has to be cut before the log is there."""
    async with database.write() as tx:
        # Nothing is appended until this is committed.
        head = int((await tx.execute(text("SELECT seq FROM log_head FOR NO KEY UPDATE"))).scalar_one())
        end = head + 1 + ahead + (head - last.first) // SHARE
        await _impatient(tx)
        await tx.execute(
            text(
                f"ALTER TABLE event_partitions.{last.name} ADD CONSTRAINT has_an_end "
                f"CHECK (seq >= {last.first} AND seq < {end}) NOT VALID"
            )
        )
    return end


async def _cut(database: Database, last: Partition, end: int, name: str) -> Partition:
    begin = "MINVALUE" if not last.first else str(last.first)
    async with database.write() as tx:
        await _impatient(tx)
        for statement in (
            f"ALTER TABLE events DETACH PARTITION event_partitions.{last.name}",
            f"ALTER TABLE events ATTACH PARTITION event_partitions.{last.name} FOR VALUES FROM ({begin}) TO ({end})",
            f"ALTER TABLE event_partitions.{last.name} DROP CONSTRAINT has_an_end",
        ):
            await tx.execute(text(statement))
        await _make(tx, name, f"({end}) TO (MAXVALUE)")
    return Partition(name, end, None)


async def _impatient(tx: Transaction) -> None:
    """Give up soon where a long reader has the table: whoever appends waits behind the one that waits for it."""
    await tx.execute(text(f"SET LOCAL lock_timeout = {WAIT_MS}"))


async def drop_sealed(tx: Transaction, last_seq: int) -> None:
    """Drop the partitions that hold nothing behind that number: quicker than to delete what is in them."""
    for each in await partitions(tx.connection):
        if each.end is not None and each.end <= last_seq + 1:
            await tx.execute(text(f"DROP TABLE event_partitions.{each.name}"))


async def make_room(tx: Transaction, first: int, last: int) -> None:
    """Have a partition for events that come back in front of all others."""
    known = await partitions(tx.connection)
    if known and first < known[0].first:
        end = min(last + 1, known[0].first)
        await _make(tx, f"events_again_{first}", f"({first}) TO ({end})")


async def _make(tx: Transaction, name: str, bounds: str) -> None:
    await tx.execute(text(f"CREATE TABLE event_partitions.{name} PARTITION OF events FOR VALUES FROM {bounds}"))
    # What keeps rows comes with the table; what keeps a partition from being emptied does not.
    trigger = f"CREATE TRIGGER are_not_truncated BEFORE TRUNCATE ON event_partitions.{name}"
    await tx.execute(text(f"{trigger} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"))
