"""Old events are sealed into files and leave the log; and they come back. Nothing is lost at any step."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import delete, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import archive as files
from infrastructure import log
from infrastructure.archive import ArchiveUnsound
from infrastructure.bus import Handler
from infrastructure.database import Transaction
from infrastructure.log import Floor
from infrastructure.partitions import drop_sealed, make_room, partitions
from infrastructure.rows import columns, read_all, values
from infrastructure.services import Services
from models.archives import ArchiveRow, Segment
from models.books import BOOKED
from models.enums import ErrorCode
from models.errors import Fault, Refused
from models.events import EventFilter, RecordedEvent
from models.payloads import moment_text
from resolvers.events.books import SNAPSHOTS, Archived, Reach, books_at
from resolvers.events.retention import limit_of
from resolvers.events.snapshots import keep

SEGMENT = 50_000
"""Events in one file, where it is not a whole partition: what one transaction removes."""
BATCH = 1_000
OTHER = Fault(ErrorCode.CONFLICT, "Another process archives the log now.")

Progress = Callable[[int, int], None]


async def archive_events(
    services: Services,
    handlers: Sequence[Handler],
    before: datetime,
    folder: Path,
    progress: Progress | None = None,
    size: int = SEGMENT,
) -> list[Segment]:
    """Seal the events in front of the first that happened at `before` or later; the segments that were made.

    What one of the handlers has still to deal with, or gave up and may try again, stays, with all that comes behind it.

    Each is written, read again from the disk and checked; then one transaction lists it and takes it out of the log.
    Broken off at any place, nothing is lost, and it can be done again. `progress` is told which event is archived, and
    which one is the last. Raises `Refused` for a moment that is to come, or if another process is at it.
    """
    if before > services.clock.now():
        raise Refused(Fault(ErrorCode.INVALID_INPUT, f"{moment_text(before)} is to come: archive what is past."))
    async with services.database.read() as connection:
        floor, last = await log.floor(connection), (await limit_of(connection, handlers, before)).last
    made: list[Segment] = []
    while floor.seq < last:
        segment = await _written(services, floor, await _end(services, floor.seq, last, size), folder)
        await _keep_books(services, segment)
        await _seal(services, segment)
        made.append(segment)
        floor = Floor(segment.last_seq, segment.last_hash)
        if progress is not None:
            progress(floor.seq, last)
    return made


async def _end(services: Services, floor: int, last: int, size: int) -> int:
    """The segment's last number: a partition's, if all of it goes, so that it is dropped and not emptied."""
    async with services.database.read() as connection:
        for each in await partitions(connection):
            if each.end is not None and floor < each.end - 1 <= last:
                return each.end - 1
    return min(last, floor + size)


async def _written(services: Services, floor: Floor, last: int, folder: Path) -> Segment:
    """Write a segment's file and check it; it has its name only from then on."""
    end = floor.hash

    async def events() -> AsyncIterator[RecordedEvent]:
        nonlocal end
        seq = floor.seq
        while seq < last:
            async with services.database.read() as connection:
                found = await log.read_after(connection, seq, EventFilter(), min(BATCH, last - seq))
                if [each.seq for each in found] != [*range(seq + 1, seq + 1 + len(found))] or not found:
                    raise await _torn(connection, floor, seq)
            for event in found:
                yield event
            seq, end = found[-1].seq, found[-1].hash

    name = files.name_of(floor.seq + 1, last)
    made = folder / f"{name}.{services.ids.new()}.partial"
    try:
        await files.write(made, events())
        segment = Segment(floor.seq + 1, last, floor.hash, end, name, services.clock.now())
        files.check(made, segment)
        files.publish(made, folder / name, segment)
    finally:
        made.unlink(missing_ok=True)
    return segment


async def _torn(connection: AsyncConnection, floor: Floor, seq: int) -> Exception:
    """Why the log does not go on behind that event: another took it out, or it is not as it should be."""
    if await log.floor(connection) != floor:
        return Refused(OTHER)
    return ArchiveUnsound(f"The log has a hole behind event {seq}: run `tradegraph events verify`.")


async def _keep_books(services: Services, segment: Segment) -> None:
    """A snapshot at the segment's end of each portfolio that something happened to in it."""
    own = log.EVENTS.c
    chosen = (
        select(own.portfolio_id)
        .where(own.seq >= segment.first_seq, own.seq <= segment.last_seq, own.type.in_(sorted(BOOKED)))
        .distinct()
    )
    async with services.database.read() as connection:
        portfolio_ids = list((await connection.execute(chosen)).scalars())
    for portfolio_id in portfolio_ids:
        [book] = (await books_at(services.database, [portfolio_id], Reach(seq_max=segment.last_seq))).values()
        if isinstance(book, Archived):
            raise book
        if book is not None:
            await keep(services, replace(book, seq=segment.last_seq))


async def _seal(services: Services, segment: Segment) -> None:
    """List the segment and remove its events, both or neither; and the snapshots on the way to its end."""
    try:
        async with services.database.write(unhurried=True) as tx:
            await tx.execute(insert(log.ARCHIVES).values(values(segment)))
            await drop_sealed(tx, segment.last_seq)
            await tx.execute(delete(log.EVENTS).where(log.EVENTS.c.seq <= segment.last_seq))
            within = (SNAPSHOTS.c.seq >= segment.first_seq) & (SNAPSHOTS.c.seq < segment.last_seq)
            await tx.execute(delete(SNAPSHOTS).where(within))
    except IntegrityError:
        raise Refused(OTHER) from None


async def segments(connection: AsyncConnection) -> list[Segment]:
    """What is archived, in the log's order."""
    statement = select(*columns(ArchiveRow, Segment)).order_by(log.ARCHIVES.c.first_seq)
    return await read_all(connection, Segment, statement)


async def restore_events(services: Services, folder: Path, *, every: bool) -> list[Segment]:
    """Put the last segment back into the log, or every one; those that came back. Their files stay.

    Each is checked before, and put back in one transaction. Raises `ArchiveUnsound` for a file that is not what was
    sealed; what came back before it stays.
    """
    async with services.database.read() as connection:
        sealed = await segments(connection)
    chosen = sealed[::-1] if every else sealed[-1:]
    for segment in chosen:
        path = folder / segment.file
        files.check(path, segment)
        async with services.database.write(unhurried=True) as tx:
            await tx.execute(delete(log.ARCHIVES).where(log.ARCHIVES.c.first_seq == segment.first_seq))
            await make_room(tx, segment.first_seq, segment.last_seq)
            await _put_back(tx, path)
    return chosen


async def _put_back(tx: Transaction, path: Path) -> None:
    rows = []
    for event in files.read_events(path):
        rows.append(values(event))
        if len(rows) == BATCH:
            await tx.execute(insert(log.EVENTS), rows)
            rows = []
    if rows:
        await tx.execute(insert(log.EVENTS), rows)
