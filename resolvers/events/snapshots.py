"""The snapshots that keep the way to a portfolio's book from growing with the log."""

import asyncio
import contextlib
from uuid import UUID

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure import log
from infrastructure.background import Background
from infrastructure.leases import Lease
from infrastructure.services import Services
from models.books import BOOKED, Book, folded
from models.cursors import CursorExpired
from models.events import EventFilter
from models.payloads import canonical, written
from resolvers.events.books import SNAPSHOTS, Reach, nearest


def _booked(portfolio_id: UUID) -> EventFilter:
    return EventFilter(types=BOOKED, portfolio_id=portfolio_id)


async def _kept_last(services: Services, portfolio_id: UUID) -> Book | None:
    return (await nearest(services.database, [portfolio_id], Reach())).get(portfolio_id)


async def take_snapshots(services: Services, portfolio_id: UUID) -> int:
    """Keep a book of the portfolio after each `snapshot_every` events behind the last one kept; how many."""
    every, count = services.settings.snapshot_every, 0
    book = await _kept_last(services, portfolio_id)
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
    book, limit = await _kept_last(services, portfolio_id), services.settings.snapshot_every
    async with services.database.read() as connection:
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
