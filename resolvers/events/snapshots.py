"""Books of portfolios, rebuilt from the log; and the snapshots that keep this from growing with it."""

import asyncio
import contextlib
from dataclasses import replace
from datetime import datetime
from itertools import takewhile
from uuid import UUID

import orjson
from sqlalchemy import select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.background import Background
from infrastructure.leases import Lease
from infrastructure.rows import table
from infrastructure.services import Services
from models.books import BOOKED, Book, PortfolioSnapshotRow, folded
from models.cursors import SEQ_MAX, CursorExpired
from models.events import EventFilter
from models.payloads import canonical, read, written

SNAPSHOTS = table(PortfolioSnapshotRow)
BATCH = 500


class Archived(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """What the portfolio's book would be made of is archived; from `since` on it is not."""

    def __init__(self, since: datetime) -> None:
        super().__init__(f"archived before {since}")
        self.since = since


async def book_at(
    connection: AsyncConnection, portfolio_id: UUID, moment: datetime | None = None, seq_max: int = SEQ_MAX
) -> Book | None:
    """The portfolio behind its last event up to `seq_max`, and before the first that happened after `moment`.

    None if it was not there yet. Raises `Archived`.
    """
    for tries_left in (True, False):
        base = await _nearest(connection, portfolio_id, moment, seq_max)
        book = await _continued(connection, portfolio_id, base, moment, seq_max)
        # Afterwards, as what was archived meanwhile is missing too; then there is a later snapshot to begin with.
        end = (await log.floor(connection)).seq
        since = await _archived_behind(connection, portfolio_id, base, end)
        if since is None:
            return None if book is None else replace(book, seq=max(book.seq, end))
        if not tries_left:
            raise Archived(since)
    raise AssertionError("the second try answers or raises")


async def _continued(
    connection: AsyncConnection, portfolio_id: UUID, book: Book | None, moment: datetime | None, seq_max: int
) -> Book | None:
    """The book after what the log has behind it, up to there."""
    while True:
        events = await log.read_after(connection, book.seq if book else 0, _booked(portfolio_id), BATCH)
        taken = [event for event in events if event.seq <= seq_max]
        if moment is not None:
            taken = list(takewhile(lambda event: event.occurred_at <= moment, taken))
        book = folded(book, taken)
        if len(taken) < BATCH:
            return book


async def _archived_behind(
    connection: AsyncConnection, portfolio_id: UUID, base: Book | None, end: int
) -> datetime | None:
    """If events of the portfolio behind the snapshot are archived (up to `end`), the moment of the first that has all.

    What is archived has a snapshot at its end of each portfolio that something happened to in it.
    """
    behind = select(SNAPSHOTS.c.moment).where(
        SNAPSHOTS.c.portfolio_id == portfolio_id, SNAPSHOTS.c.seq > (base.seq if base else 0), SNAPSHOTS.c.seq <= end
    )
    found = await connection.execute(behind.order_by(SNAPSHOTS.c.seq.desc()).limit(1))
    since: datetime | None = found.scalar_one_or_none()
    return since


async def _nearest(
    connection: AsyncConnection, portfolio_id: UUID, moment: datetime | None = None, seq_max: int = SEQ_MAX
) -> Book | None:
    """The last snapshot up to there."""
    statement = select(SNAPSHOTS.c.state).where(SNAPSHOTS.c.portfolio_id == portfolio_id, SNAPSHOTS.c.seq <= seq_max)
    if moment is not None:
        statement = statement.where(SNAPSHOTS.c.moment <= moment)
    # What is later in the log is never earlier in time: `Book.moment` only grows.
    statement = statement.order_by(SNAPSHOTS.c.moment.desc(), SNAPSHOTS.c.seq.desc()).limit(1)
    state = (await connection.execute(statement)).scalar_one_or_none()
    return None if state is None else read(Book, orjson.loads(state))


def _booked(portfolio_id: UUID) -> EventFilter:
    return EventFilter(types=BOOKED, portfolio_id=portfolio_id)


async def take_snapshots(services: Services, portfolio_id: UUID) -> int:
    """Keep a book of the portfolio after each `snapshot_every` events behind the last one kept; how many."""
    every, count = services.settings.snapshot_every, 0
    async with services.database.read() as connection:
        book = await _nearest(connection, portfolio_id)
    while True:
        async with services.database.read() as connection:
            events = await log.read_after(connection, book.seq if book else 0, _booked(portfolio_id), every)
        book = folded(book, events)
        if book is None or len(events) < every:
            return count
        await keep(services, book)
        count += 1


async def keep(services: Services, book: Book) -> None:
    """Write a snapshot, unless it is there."""
    row = {
        "portfolio_id": book.portfolio_id,
        "seq": book.seq,
        "moment": book.moment,
        "state": canonical(written(book)).decode(),
    }
    async with services.database.write() as tx:
        await tx.execute(insert(SNAPSHOTS).values(row).on_conflict_do_nothing())


async def _lacking(services: Services, portfolio_id: UUID) -> int:
    """How many events lie behind the portfolio's last snapshot, as far as it matters."""
    async with services.database.read() as connection:
        book = await _nearest(connection, portfolio_id)
        limit = services.settings.snapshot_every
        return len(await log.read_after(connection, book.seq if book else 0, _booked(portfolio_id), limit))


class Snapshots:
    """Follows the log, and takes each portfolio's snapshots when they are due. One process does it, by a lease."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lease = Lease(
            services.database, "snapshots", str(services.ids.new()), services.settings.lease_s, services.clock
        )
        self._counts: dict[UUID, int] = {}
        """Of each portfolio that something happened to: how many events lie behind its last snapshot."""
        self._task = Background("snapshots", self._follow)
        self._place = 0

    async def start(self) -> None:
        """Begin with what happens from now on."""
        self._place = self._services.relay.position
        self._task.start()

    async def stop(self) -> None:
        """Stop; what is due is taken when something happens to its portfolio again."""
        await self._task.stop()

    async def _follow(self) -> None:
        while not self._services.relay.stopped:
            stream = self._services.relay.follow(self._place, EventFilter(types=BOOKED))
            try:
                async with contextlib.aclosing(stream) as events:
                    async for event in events:
                        if event.portfolio_id is not None:
                            await self._note(event.portfolio_id)
                        self._place = event.seq
            except CursorExpired:
                # What is archived has its snapshots; what lies behind the last of a portfolio is counted anew.
                self._place = self._services.relay.position
                self._counts.clear()
        await asyncio.Event().wait()  # this will be stopped too

    async def _note(self, portfolio_id: UUID) -> None:
        known = self._counts.get(portfolio_id)
        # What is read may be ahead of what is followed, and be counted again: rather too early than too late.
        count = await _lacking(self._services, portfolio_id) if known is None else known + 1
        if count < self._services.settings.snapshot_every:
            self._counts[portfolio_id] = count
        elif await self._lease.hold():
            await take_snapshots(self._services, portfolio_id)
            self._counts.pop(portfolio_id, None)
        else:
            self._counts[portfolio_id] = 0  # another process does it
