"""The database: one engine that writes, one that only reads, and the one transaction of a command."""

import asyncio
import contextlib
import sqlite3
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import asyncpg
import sqlalchemy
from sqlalchemy import Executable, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from infrastructure import engines, log
from infrastructure.bare import ABORTED, Bare, Tasks, cancel, to_its_end
from infrastructure.replica import PATIENCE_S, Replica
from infrastructure.settings import Settings
from infrastructure.statements import Row, Statement
from models.events import Event

# What drivers and pools raise as it is, without SQLAlchemy's wrapping, when no answer comes.
_SILENCE = (OSError, TimeoutError, sqlalchemy.exc.TimeoutError, asyncpg.InternalClientError)
_DRIVERS = (sqlite3.Error, asyncpg.PostgresError, asyncpg.InterfaceError)
_CLOSED = "connection is closed"
_BROKEN_OFF = {"57014", "55P03"}
"""What PostgreSQL calls a statement that took too long, or that somebody cancelled, and a lock not had in time."""
_SQLITE_LOST = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}


class OutcomeUnknown(Exception):  # noqa: N818 - reason: the name says what is known
    """The connection was lost while committing: it may have happened. Ask again with the same key."""


class DatabaseUnavailable(Exception):  # noqa: N818 - reason: likewise
    """The database can't be reached, or did not answer in time; nothing was written."""


class TookTooLong(DatabaseUnavailable):
    """It is there; a statement of this one was broken off, or a lock not had in time. Nothing was written."""


@dataclass
class Commits:
    """Of whoever set it as `COMMITS`: whether they are committing just now, and how often they have begun to."""

    begun: int = 0
    under_way: bool = False
    ended: Callable[[], object] | None = None
    """Called when the one under way has come to its end, however."""


COMMITS: ContextVar[Commits | None] = ContextVar("commits", default=None)


class Transaction:
    """One command's transaction. `position` is the log's position once it has been committed.

    `replays`: a handler deals in it with an event that it has dealt with before, so that nobody is told of it again.
    """

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.events: list[Event] = []
        self.position = 0
        self.replays = False
        self.afterwards: list[Callable[[], object]] = []
        """Called once it is committed, and known to be: not if the process ends in between."""

    async def execute(
        self, statement: Executable, values: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None
    ) -> sqlalchemy.CursorResult[Any]:
        """Run a statement in it."""
        return await self.connection.execute(statement, values)

    def record(self, *events: Event) -> None:
        """Events that are appended to the log as the last thing before COMMIT."""
        self.events.extend(events)


class Database:
    """Both engines of one database. On SQLite writers queue here, as there can be only one at a time."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.dialect = make_url(self.url).get_backend_name()
        made = (engines.sqlite if self.dialect == "sqlite" else engines.postgresql)(settings)
        self.writer, self.reader, self._patient, driver = made
        self.bare = Bare(driver, settings.reader_pool)
        url = settings.database_read_url
        copy = engines.bare(settings, url, PATIENCE_S) if url else None
        self.replica = None if copy is None else Replica(copy, settings.reader_pool)
        self.written = 0
        """The log's position behind what this process has written last."""
        self._queue: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.dialect == "sqlite" else contextlib.nullcontext()
        )
        self._closed = self._aborted = False
        self._under_way: Tasks = set()
        self._connections: weakref.WeakSet[Any] = weakref.WeakSet()
        """Those of the server that are open, as its driver has them."""
        if self.dialect == "postgresql":
            for engine in (self.writer, self.reader, self._patient):
                sqlalchemy.event.listen(engine.sync_engine, "connect", self._opened)
        self._looking: sqlite3.Cursor | None = None
        self._stamp: int | None = None
        self.listeners: list[Callable[[Sequence[Event], int], None]] = []
        """Called after each commit that appended to the log, or may have: with what was, and the position behind it."""
        self.tellers: list[Callable[[Sequence[Event], int], Coroutine[Any, Any, None]]] = []
        """Likewise, and waited for: what they do is done before anybody is told that it was committed."""

    @property
    def used(self) -> dict[str, int]:
        """How many connections are lent just now, by what they do."""
        both = {"writer": self.writer, "reader": self.reader}
        lent = {role: engine.pool.checkedout() for role, engine in both.items()}  # type: ignore[attr-defined]  # reason: both have a QueuePool
        copies = {} if self.replica is None else {"replica": self.replica.bare.used}
        return {**lent, "bare": self.bare.used, **copies}

    @contextlib.asynccontextmanager
    async def write(self, *, unhurried: bool = False) -> AsyncIterator[Transaction]:
        """A transaction that commits at the end of the block and rolls back if the block raises.

        One that is `unhurried` has a connection of its own, and its statements take as long as they have to; they wait
        for locks no longer than others do.

        Raises `OutcomeUnknown` or `DatabaseUnavailable` when the connection fails.
        """
        transaction, asked, done = None, False, False
        try:
            async with self._queue, self._lent(self._patient if unhurried else self.writer) as connection:
                transaction = Transaction(connection)
                with _translated():
                    await connection.begin()
                    yield transaction
                    if transaction.events:
                        transaction.position = await log.append(connection, transaction.events)
                asked = True
                with _watched():
                    await _commit(connection)
                    done = True
        finally:
            # Also where the task is cancelled as soon as it is committed, and where nobody knows whether it is: who is
            # told looks again, which is right in either case.
            if transaction is not None and asked and transaction.position:
                await to_its_end(self._tell(transaction, done=done))
            if transaction is not None and done:
                for call in transaction.afterwards:
                    call()

    async def _tell(self, transaction: Transaction, *, done: bool) -> None:
        if done:
            self.written = max(self.written, transaction.position)
        for listener in self.listeners:
            listener(transaction.events, transaction.position)
        for teller in self.tellers:
            await teller(transaction.events, transaction.position)

    @contextlib.asynccontextmanager
    async def read(self, *, unhurried: bool = False) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; each statement sees what is committed when it starts.

        An `unhurried` one, for what goes through whole tables, is one that no timeout breaks off.
        """
        patient = unhurried and self.dialect == "postgresql"
        async with self._lent(self._patient if patient else self.reader) as connection:
            with _translated():
                yield connection

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """What a hot statement finds, past SQLAlchemy; it sees what is committed when it starts.

        Raises `DatabaseUnavailable` when the connection fails.
        """
        with _translated():
            return await self.bare.rows(statement, values)

    async def rows_since(self, statement: Statement, epoch: str, position: int, **values: Any) -> list[Row]:
        """Likewise, of what only events change: by a replica, where there is one that has come so far.

        It has what this process has written too. Raises as `rows` does.
        """
        if self.replica is not None:
            found = await self.replica.rows(statement, values, epoch, max(position, self.written))
            if found is not None:
                return found
        return await self.rows(statement, **values)

    @contextlib.asynccontextmanager
    async def _lent(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        """A connection that is given back whatever happens, before anything else goes on."""
        if self._aborted:
            raise DatabaseUnavailable(ABORTED)
        connection = engine.connect()
        try:
            with _translated():
                await to_its_end(connection.start(), self._under_way)
            yield connection
        finally:
            if connection.sync_connection is not None:
                await to_its_end(self._give_back(connection), self._under_way)

    def _opened(self, connection: Any, _record: Any) -> None:
        self._connections.add(connection.driver_connection)

    async def _give_back(self, connection: AsyncConnection) -> None:
        if self._closed:  # its pool is gone, and would keep it open
            await connection.invalidate()
        await connection.close()

    def stamp(self) -> int | None:
        """A number that is another after each commit to the database, whoever committed.

        None where that can't be told without asking a server. It is looked at once in a turn of the loop: whoever asks
        later in the same turn had come before it, and what is committed since then happens beside them.
        """
        if self.dialect != "sqlite" or self._closed:
            return None
        if self._stamp is None:
            self._stamp = self._looked()
            asyncio.get_running_loop().call_soon(self._look_again)
        return self._stamp

    def _look_again(self) -> None:
        self._stamp = None

    def _looked(self) -> int | None:
        try:
            if self._looking is None:
                path = make_url(self.url).database
                looking = sqlite3.connect(f"file:{path}?mode=ro", timeout=0, isolation_level=None, uri=True)
                self._looking = looking.cursor()
            # It only looks into shared memory: some microseconds, in which nothing waits for anybody.
            ((version,),) = self._looking.execute("PRAGMA data_version")
        except sqlite3.Error:
            return None
        found: int = version
        return found

    async def close(self) -> None:
        """Close every connection; one that is still lent is closed when it comes back."""
        self._closed = True
        if self._looking is not None:
            self._looking.connection.close()
        await self.bare.close()
        if self.replica is not None:
            await self.replica.close()
        await to_its_end(self._dispose(), self._under_way)

    async def _dispose(self) -> None:
        await self.reader.dispose()
        await self.writer.dispose()

    def abort(self) -> None:
        """Wait for no answer of a server any more: whoever does is told that it can't be reached, from now on.

        What it was doing is rolled back, or was committed and nobody knows.
        """
        self._closed = self._aborted = True
        for connection in list(self._connections):
            connection.terminate()
        self.bare.abort()
        if self.replica is not None:
            self.replica.bare.abort()
        cancel(self._under_way)


@contextlib.contextmanager
def _watched() -> Any:
    """A commit, for who watches those of this task."""
    commits = COMMITS.get()
    if commits is None:
        yield
        return
    commits.begun += 1
    commits.under_way = True
    try:
        yield
    finally:
        commits.under_way = False
        if commits.ended is not None:
            commits.ended()


async def _commit(connection: AsyncConnection) -> None:
    try:
        await connection.commit()
    except DBAPIError as error:
        if _lost(error) or _broken_off(error.orig):
            raise OutcomeUnknown("the database did not confirm the commit") from error
        raise
    except _SILENCE as error:
        raise OutcomeUnknown("the database did not confirm the commit") from error


@contextlib.contextmanager
def _translated() -> Any:
    try:
        yield
    except DBAPIError as error:
        if _broken_off(error.orig):
            raise TookTooLong("the database did not answer in time") from error
        if _lost(error):
            raise DatabaseUnavailable("the database can't be reached") from error
        raise
    except _DRIVERS as error:  # as `rows` lets them through
        if _broken_off(error):
            raise TookTooLong("the database did not answer in time") from error
        if _says_lost(error):
            raise DatabaseUnavailable("the database can't be reached") from error
        raise
    except _SILENCE as error:
        raise DatabaseUnavailable("the database can't be reached") from error


def _broken_off(error: BaseException | None) -> bool:
    return getattr(error, "sqlstate", None) in _BROKEN_OFF


def _lost(error: DBAPIError) -> bool:
    """Whether the connection failed, not the statement: asyncpg's errors of a lost connection have no SQLSTATE."""
    if error.connection_invalidated or _says_lost(error.orig):
        return True
    if isinstance(error.orig, sqlite3.Error) or getattr(error.orig, "sqlstate", None) is not None:
        return False
    # Of the driver's own refusals (too many arguments, say) only this one tells of a lost connection.
    return isinstance(error, OperationalError) or (isinstance(error, InterfaceError) and _CLOSED in str(error.orig))


def _says_lost(error: BaseException | None) -> bool:
    """What a driver's own error says of it."""
    if isinstance(error, sqlite3.Error):
        # The low byte is the error, what is above it says more of it.
        return getattr(error, "sqlite_errorcode", 0) & 0xFF in _SQLITE_LOST
    state = getattr(error, "sqlstate", None)
    if state is not None:
        # 08: connection, 53: resources, 57: shut down
        return state[:2] in {"08", "53", "57"}
    return isinstance(error, asyncpg.InterfaceError) and _CLOSED in str(error)
