"""The real trading floor without its timing: the broker follows the log and hears of quotes when the test says so."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import event, update

from infrastructure import log
from infrastructure.broker import PaperBroker
from infrastructure.database import Database
from infrastructure.feed import store_quotes
from infrastructure.relay import Follower, Relay
from infrastructure.rows import table
from infrastructure.services import Services
from models.enums import Role
from models.events import EventFilter, RecordedEvent
from models.marketdata import InstrumentRow, Quote
from resolvers.context import Context
from resolvers.floor import TradingFloor
from resolvers.marketdata.commands import seed_catalogue
from tests.support.clock import ManualClock
from tests.support.people import context_of, signed_up

PATIENCE_S = 30
UNTRADABLE = "XLF"


class _HandFollower(Follower):
    async def __anext__(self) -> RecordedEvent:
        assert isinstance(self._relay, HandRelay)
        while not self._queue:
            self._queue.extend(await self._relay.read(self._known, self._chosen))
        event = self._queue.popleft()
        self._known = event.seq
        return event


class HandRelay(Relay):
    """A relay that its followers wait for until the test has them catch up with the log."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, poll_s=1, ring=16)
        self._go = asyncio.Event()
        self._idle = asyncio.Event()

    def follow(self, after: int, chosen: EventFilter, idle: Callable[[int], None] | None = None) -> Follower:
        """The log's events; waits for `catch_up` where it ends."""
        return _HandFollower(self, after, chosen, idle)

    async def read(self, after: int, chosen: EventFilter) -> list[RecordedEvent]:
        """What the log has; waits once where that is nothing."""
        async with self._database.read() as connection:
            events = await log.read_after(connection, after, chosen, 500)
        if not events:
            self._idle.set()
            await self._go.wait()
            self._go.clear()
        return events

    def expect_another(self) -> None:
        """A new follower comes."""
        self._idle.clear()
        self._go.clear()

    async def catch_up(self, follower: asyncio.Task[None]) -> None:
        """Have the one follower take all that the log has; raises what the follower raises."""
        await self.settled(follower)
        self._idle.clear()
        self._go.set()
        await self.settled(follower)

    async def settled(self, follower: asyncio.Task[None]) -> None:
        """Wait until the follower waits for `catch_up`."""
        idle = asyncio.create_task(self._idle.wait())
        await asyncio.wait({idle, follower}, return_when=asyncio.FIRST_COMPLETED, timeout=PATIENCE_S)
        if follower.done():
            follower.result()
        assert idle.done(), "the broker did not come to the log's end"


@dataclass
class Pit:
    """Two traders, an ADMIN, and the broker of `resolvers.floor` on one database."""

    services: Services
    relay: HandRelay
    clock: ManualClock
    traders: dict[str, Context]
    admin: Context
    broker: PaperBroker
    following: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, services: Services, clock: ManualClock) -> "Pit":
        """With the catalogue, one of its instruments not tradable, and no quotes."""
        await services.relay.stop()
        _hurry(services.database)
        relay = HandRelay(services.database)
        services = replace(services, relay=relay)
        await seed_catalogue(services)
        await tradable_again(services)
        ada, bob, admin = [
            await context_of(services, await signed_up(services, f"{name}@example.com"))
            for name in ("ada", "bob", "admin")
        ]
        viewer = admin.signed_in()
        admin.viewer = replace(viewer, user=replace(viewer.user, role=Role.ADMIN))
        return cls(services, relay, clock, {"ada": ada, "bob": bob}, admin, _broker(services))

    async def restart(self) -> None:
        """A new broker, which knows nothing but what is stored."""
        await self._hang_up()
        async with self.services.database.read() as connection:
            self.relay.position = (await log.head(connection)).seq
        self.broker = _broker(self.services)
        self.relay.expect_another()
        self.following = asyncio.create_task(self.broker._follow())
        await self.relay.settled(self.following)

    async def catch_up(self) -> None:
        """The broker takes what has happened to orders."""
        assert self.following is not None
        await self.relay.catch_up(self.following)

    async def tick(self, quotes: list[Quote]) -> None:
        """The market moves, as `FeedRunner` has it: into memory, into the table, then to the broker."""
        self.services.quotes.put(quotes)
        kept = await store_quotes(self.services.database, quotes)
        assert len(kept) == len(quotes)
        await self.broker.on_quotes(kept)

    async def close(self) -> None:
        """Leave nothing running."""
        await self._hang_up()

    async def _hang_up(self) -> None:
        if self.following is not None:
            self.following.cancel()
            await asyncio.wait({self.following})


def _hurry(database: Database) -> None:
    """SQLite need not wait for the disk here: nothing crashes."""
    if database.dialect == "sqlite":

        @event.listens_for(database.writer.sync_engine, "checkout")
        def without_waiting(connection: Any, _record: Any, _proxy: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA synchronous=OFF")
            cursor.close()


def _broker(services: Services) -> PaperBroker:
    broker = TradingFloor(services).broker
    broker._term = lambda: 1  # the feed that has the lease is the test's hand
    return broker


async def tradable_again(services: Services) -> None:
    """Every instrument but the one that never is."""
    instruments = table(InstrumentRow)
    async with services.database.write() as tx:
        await tx.execute(update(instruments).values(tradable=instruments.c.symbol != UNTRADABLE))
