"""Where quotes come from, and the one process that keeps them for all."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Protocol

import structlog
from sqlalchemy import select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError

from infrastructure.background import Background, stop_all
from infrastructure.database import Database, DatabaseUnavailable, OutcomeUnknown, Transaction
from infrastructure.leases import Lease
from infrastructure.rows import columns, table, values
from infrastructure.services import Services
from models.candles import LENGTHS, Candle, ceiling, together
from models.catalogue import Listing
from models.enums import CandleInterval
from models.marketdata import Quote, QuoteRow
from models.simulation import quote_at, spans

QUOTES = table(QuoteRow)
LEASE = "feed"
LOOKS = 2
"""How often the simulated path is looked at in a candle, besides at its end."""
KEEP_S = 1.0
"""The least time between two writes of the quotes table, and between two looks at it."""
READ_AGAIN = timedelta(seconds=10)
"""How often who holds the lease looks whether there are quotes in the table that are not its own."""

Listener = Callable[[list[Quote]], Awaitable[None]]

_FAILURES = (DatabaseUnavailable, OutcomeUnknown, SQLAlchemyError)

logger = structlog.get_logger(__name__)


class Feed(Protocol):
    """A source of quotes, and of the candles from before it was listened to. What it names is in the catalogue.

    Both are called in a thread, so that they may compute or block.
    """

    def quotes(self, now: datetime) -> list[Quote]:
        """The latest quotes at `now`, at most one a symbol; one that has not changed may come again or be left out."""
        ...

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:
        """The candles opened from `since` on and before `until`, by time; none where the source has no history."""
        ...


class SimulatedFeed:
    """The simulated market of these listings: the same seed has the same quotes and candles at the same moment."""

    def __init__(self, seed: int, listings: Sequence[Listing]) -> None:
        self._seed = seed
        self._listings = tuple(listings)
        self._by_symbol = {listing.symbol: listing for listing in listings}

    def quotes(self, now: datetime) -> list[Quote]:
        """One quote for each listing; takes a fifth of a second the first time, some milliseconds later."""
        return [Quote(**values(quote_at(self._seed, listing, now))) for listing in self._listings]

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:
        """Of the path that the quotes are on, seen twice in each minute or day; a year takes a tenth of a second."""
        listing = self._by_symbol.get(symbol)
        looked_at = CandleInterval.ONE_DAY if interval is CandleInterval.ONE_DAY else CandleInterval.ONE_MINUTE
        length, begin, end = LENGTHS[looked_at], ceiling(interval, since), ceiling(interval, until)
        if listing is None or begin >= end:
            return []
        found = spans(self._seed, listing, begin, length, (end - begin) // length, LOOKS)
        candles = [Candle(symbol, looked_at, **values(span)) for span in found]
        return candles if looked_at is interval else together(candles, interval)


class FeedRunner:
    """Keeps the process's board of quotes, and the table of all processes while this one holds the lease.

    `listeners` are told, after the table was written, of the quotes that were new to it: each quote once in all
    processes. The next write waits for them, so that what takes long belongs in a task of their own.
    """

    def __init__(self, services: Services, feed: Feed) -> None:
        self.listeners: list[Listener] = []
        self._feed = feed
        self._clock, self._database, self._board = services.clock, services.database, services.quotes
        settings = services.settings
        self._interval_s = settings.feed_interval_ms / 1000
        self._lease = Lease(self._database, LEASE, str(services.ids.new()), settings.lease_s, self._clock)
        # What the lease last said. Unlike `holding` it stays while nobody can be asked, so that memory goes on.
        self._held = False
        self._read_in = 0
        """The lease's term in which the table was read, since when only this process writes it."""
        self._kept_at: datetime | None = None
        self._read_at = self._clock.now()
        # Two, so that memory has fresh quotes while the database or a listener takes its time.
        self._tasks = [Background("feed", self._quoting), Background("quotes table", self._keeping)]

    @property
    def holding(self) -> bool:
        """Whether this process alone may act on the quotes: it has the lease, and the lease has not run out."""
        return self._lease.held

    @property
    def term(self) -> int:
        """The lease's term in which this process alone may act on the quotes; 0 while it may not.

        Another number than before says that others may have acted in between.
        """
        return self._lease.term if self._lease.held else 0

    async def start(self) -> None:
        """Make a first round, so that there are quotes when it returns, and go on in the background."""
        await self.tick(self._clock.now())
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """Stop, and leave the lease to the next process."""
        await stop_all(self._tasks)
        self._held = False
        try:
            await self._lease.release()
        except _FAILURES as error:
            logger.warning("the feed's lease was not released: it runs out by itself", error=str(error))

    async def tick(self, now: datetime) -> None:
        """One round: fresh quotes into memory, then the table. A database that fails is logged, and does not raise."""
        await self._quote(now)
        await self._keep(now)

    async def _quoting(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            await self._quote(self._clock.now())

    async def _keeping(self) -> None:
        while True:
            await asyncio.sleep(KEEP_S)
            await self.tick(self._clock.now())

    async def _quote(self, now: datetime) -> None:
        if self._held:
            self._board.put(await asyncio.to_thread(self._feed.quotes, now))

    async def _keep(self, now: datetime) -> None:
        try:
            self._held = await self._lease.hold()
            if not self._held:
                self._board.put(await stored_quotes(self._database))
                return
            anew = self._lease.term != self._read_in
            if anew or now - self._read_at >= READ_AGAIN:
                # Also what the feed does not quote, and what was imported.
                self._board.put(await stored_quotes(self._database))
                self._read_at, self._read_in = now, self._lease.term
            if anew:
                await self._quote(now)
            if self._kept_at is not None and now - self._kept_at < timedelta(seconds=KEEP_S):
                return
            kept = await store_quotes(self._database, self._board.all())
        except _FAILURES as error:
            # Who had the lease goes on quoting in memory: nothing that decides money looks there.
            logger.warning("the quotes were not kept, trying again", error=str(error), again_in_s=KEEP_S)
            return
        self._kept_at = now
        await self._tell(kept)

    async def _tell(self, quotes: list[Quote]) -> None:
        if not quotes:
            return
        # What one listener can't do is its own affair: the others and the feed go on.
        told = await asyncio.gather(*(listener(quotes) for listener in self.listeners), return_exceptions=True)
        for error in told:
            if error is not None:
                logger.error("a listener of the feed failed", exc_info=error)


async def stored_quotes(database: Database) -> list[Quote]:
    """Every quote of the table."""
    async with database.read() as connection:
        return [Quote(*row) for row in await connection.execute(select(*columns(QuoteRow, Quote)))]


async def store_quotes(database: Database, quotes: Sequence[Quote]) -> list[Quote]:
    """`put_quotes` in a transaction of its own; raises what `Database.write` raises."""
    if not quotes:
        return []
    async with database.write() as transaction:
        return await put_quotes(transaction, quotes)


async def put_quotes(transaction: Transaction, quotes: Sequence[Quote]) -> list[Quote]:
    """Write the quotes that are newer than the table's in one statement, and answer with those: time never goes back.

    Raises what `Transaction.execute` raises: `sqlalchemy.exc.IntegrityError` for a symbol outside the catalogue.
    """
    row = insert(QUOTES)
    newer = row.on_conflict_do_update(
        index_elements=[QUOTES.c.symbol],
        set_={column.name: row.excluded[column.name] for column in QUOTES.c if not column.primary_key},
        where=QUOTES.c.as_of < row.excluded.as_of,
    ).returning(QUOTES.c.symbol)
    # In one order, so that two writers wait for each other's rows and never in a circle.
    ordered = [values(quote) for quote in sorted(quotes, key=lambda quote: quote.symbol)]
    written = set((await transaction.execute(newer, ordered)).scalars())
    return [quote for quote in quotes if quote.symbol in written]
