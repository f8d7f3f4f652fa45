"""Connections on the bare driver, which only read: nothing of SQLAlchemy between, and each statement by itself."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import aiosqlite
import asyncpg
from sqlalchemy import Dialect

from infrastructure.statements import Row, Statement

WAIT_S = 5
"""How long a reading waits for a connection."""
AGE_S_MAX = 1800
"""A connection that is older is closed before it is used again."""
STATEMENTS_KEPT = 500
"""Texts that a connection keeps prepared."""
INTERRUPT_S = 0.01
"""How long a thread of SQLite's may be late in beginning what is to be broken off, before that is tried again."""

Heard = Callable[[str, Sequence[Any]], None]
Tasks = set[asyncio.Future[Any]]
ABORTED = "connections were dropped, as this process stops"


class Driver(Protocol):
    """How one kind of database is connected to and asked."""

    dialect: Dialect

    async def connect(self) -> Any:
        """A new connection."""
        ...

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Iterable[Any]]:
        """The rows of a statement."""
        ...

    def is_open(self, connection: Any) -> bool:
        """Whether it still leads anywhere, as far as can be told without asking."""
        ...

    def is_refusal(self, error: BaseException) -> bool:
        """Whether it is the statement that failed, and the connection is none the worse."""
        ...

    async def close(self, connection: Any) -> None:
        """End it, and what it is doing."""
        ...

    def abort(self, connection: Any) -> None:
        """Have whoever waits for a server wait no longer."""
        ...


class Postgres:
    """asyncpg, with the arguments of its `connect`."""

    def __init__(self, dialect: Dialect, arguments: Mapping[str, Any]) -> None:
        self.dialect = dialect
        kept = {name: value for name, value in arguments.items() if not name.startswith("prepared_statement_")}
        # Who has a pooler between them and the database tells SQLAlchemy's dialect to keep none.
        size = min(int(arguments.get("prepared_statement_cache_size", STATEMENTS_KEPT)), STATEMENTS_KEPT)
        self._arguments = {"statement_cache_size": size} | kept

    async def connect(self) -> Any:
        """A new connection."""
        return await asyncpg.connect(**self._arguments)

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Iterable[Any]]:
        """The rows of a statement."""
        rows: Sequence[Iterable[Any]] = await connection.fetch(sql, *values)
        return rows

    def is_open(self, connection: Any) -> bool:
        """Whether the server has not hung up."""
        return not connection.is_closed()

    def is_refusal(self, error: BaseException) -> bool:
        """What has a state was said by the server; 57 says that it, or this connection, ends.

        But for 57014: that statement took too long.
        """
        if not isinstance(error, asyncpg.PostgresError):
            return False
        return error.sqlstate == "57014" or (error.sqlstate or "57")[:2] not in {"08", "57"}

    async def close(self, connection: Any) -> None:
        """End it."""
        connection.terminate()

    def abort(self, connection: Any) -> None:
        """Who waits for an answer is told that the connection is closed."""
        connection.terminate()


class Sqlite:
    """aiosqlite: each connection has a thread of its own."""

    def __init__(self, dialect: Dialect, path: str, pragmas: Sequence[str]) -> None:
        self.dialect, self._path, self._pragmas = dialect, path, pragmas

    async def connect(self) -> Any:
        """A new connection."""
        address = f"file:{self._path}?mode=ro"
        connection = aiosqlite.connect(address, uri=True, isolation_level=None, cached_statements=STATEMENTS_KEPT)
        connection._thread.daemon = True  # noqa: SLF001 - reason: as SQLAlchemy does, so that no process waits for it
        await connection
        try:
            for pragma in self._pragmas:
                await connection.execute_fetchall(f"PRAGMA {pragma}")
        except BaseException:
            await connection.close()
            raise
        return connection

    async def fetch(self, connection: Any, sql: str, values: Sequence[Any]) -> Sequence[Iterable[Any]]:
        """The rows of a statement, in one visit to the thread."""
        rows: Sequence[Iterable[Any]] = await connection.execute_fetchall(sql, values)
        return rows

    def is_open(self, connection: Any) -> bool:
        """There is nobody who could hang up."""
        return connection._connection is not None  # noqa: SLF001 - reason: it is not said otherwise

    def is_refusal(self, error: BaseException) -> bool:
        """What SQLite says, it says of the statement."""
        return isinstance(error, sqlite3.Error)

    async def close(self, connection: Any) -> None:
        """End it; what it is doing is broken off, and what it was given to do and has not begun yet."""
        closing = asyncio.ensure_future(connection.close())
        while not closing.done():
            with contextlib.suppress(sqlite3.Error, ValueError):  # it is closed, but for the thread's end
                await connection.interrupt()
            await asyncio.wait([closing], timeout=INTERRUPT_S)
        closing.result()

    def abort(self, connection: Any) -> None:
        """There is no server that could keep silent."""


@dataclass(slots=True, eq=False)
class Line:
    """A connection, and when it was opened by the loop's clock.

    `epoch` and `reached`: which log it leads to, and up to where that was there, when somebody asked last.
    """

    connection: Any
    opened_at: float
    is_new: bool = True
    epoch: str = ""
    reached: int = -1


class Bare:
    """At most `size` connections to one database, opened as they are needed; the one used last is used next."""

    def __init__(self, driver: Driver, size: int) -> None:
        self.driver = driver
        self.heard: list[Heard] = []
        """Told of each statement before it is sent: its text and parameters."""
        self._places = asyncio.Semaphore(size)
        self._idle: list[Line] = []
        self._closed = False
        self._aborted = False
        self._lent: set[Line] = set()
        self._under_way: Tasks = set()
        self.used = 0

    async def rows(self, statement: Statement, values: Mapping[str, Any]) -> list[Row]:
        """What the statement finds with these values for its parameters; it sees what is committed when it starts."""
        compiled = statement.compiled(self.driver.dialect)
        given = compiled.given(values)
        return compiled.rows(await self.fetch(compiled.sql, given))

    async def fetch(self, sql: str, given: Sequence[Any]) -> Sequence[Iterable[Any]]:
        """What a text finds. It is sent again, on a new connection, if the one it was sent on had been lost before."""
        for heard in self.heard:
            heard(sql, given)
        while True:
            line = None
            try:
                async with self.lent() as line:
                    return await self.driver.fetch(line.connection, sql, given)
            except (OSError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
                tried_in_vain = line is None or line.is_new or isinstance(error, TimeoutError)
                if tried_in_vain or self.driver.is_refusal(error):
                    raise

    @contextlib.asynccontextmanager
    async def lent(self) -> AsyncIterator[Line]:
        """One of the connections; it is given back, or closed if there may be something wrong with it."""
        self._refuse_aborted()
        if self._places.locked():
            async with asyncio.timeout(WAIT_S):
                await self._places.acquire()
        else:
            await self._places.acquire()
        self.used += 1
        line = None
        try:
            line = await self._line()
            self._lent.add(line)
            yield line
        except BaseException as error:
            if line is not None and not self.driver.is_refusal(error):
                self._lent.discard(line)
                await to_its_end(self.driver.close(line.connection))
                line = None
            raise
        finally:
            if line is not None:
                self._lent.discard(line)
                await self._give_back(line)
            self.used -= 1
            self._places.release()

    async def _line(self) -> Line:
        now = asyncio.get_running_loop().time()
        while True:
            while self._idle:
                line = self._idle.pop()
                if self.driver.is_open(line.connection) and now - line.opened_at <= AGE_S_MAX:
                    line.is_new = line.opened_at == now
                    return line
                await to_its_end(self.driver.close(line.connection))
            # Opened to the end also for who is cancelled: it is then there for the next. Somebody else may be quicker.
            try:
                await to_its_end(self._open(now), self._under_way)
            except asyncio.CancelledError:
                if self._closed:  # there is no next
                    await self.close()
                raise

    async def _open(self, now: float) -> None:
        self._idle.append(Line(await self.driver.connect(), now))

    async def _give_back(self, line: Line) -> None:
        if self._closed:
            await to_its_end(self.driver.close(line.connection))
        else:
            self._idle.append(line)

    async def close(self) -> None:
        """Close every connection; one that is still lent is closed when it comes back."""
        self._closed = True
        while self._idle:
            await to_its_end(self.driver.close(self._idle.pop().connection))

    def abort(self) -> None:
        """Wait for no answer any more, nor for a connection; there are no new ones from now on."""
        self._closed = self._aborted = True
        for line in [*self._idle, *self._lent]:
            self.driver.abort(line.connection)
        cancel(self._under_way)

    def _refuse_aborted(self) -> None:
        if self._aborted:
            raise ConnectionAbortedError(ABORTED)


def cancel(tasks: Tasks) -> None:
    """Each of them, as it is no longer waited for."""
    for task in list(tasks):
        task.cancel()


async def to_its_end(work: Coroutine[Any, Any, object], among: Tasks | None = None) -> None:
    """Wait for the work also when cancelled meanwhile, however often: half-opened connections are never closed.

    While it goes on it is one of those tasks, where it can be cancelled: `ConnectionAbortedError` is raised then.
    """
    task, cancelled = asyncio.ensure_future(work), False
    if among is not None:
        among.add(task)
        task.add_done_callback(among.discard)
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError:
            cancelled = True
    if task.cancelled():
        raise asyncio.CancelledError if cancelled else ConnectionAbortedError(ABORTED)
    if cancelled:
        raise asyncio.CancelledError from task.exception()
    task.result()
