"""asyncpg and aiosqlite as one would use them by hand, behind the same few words."""

# ruff: noqa: S608 - every piece of the SQL is written here, none is a caller's

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

import aiosqlite
import asyncpg
import orjson

from infrastructure import log
from models.events import Event, RecordedEvent, chained
from models.money import text

POOL = 8


class Transaction(Protocol):
    """One transaction, committed at its end."""

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        """Run a statement."""
        ...

    async def append(self, event: Event) -> None:
        """Add to the log."""
        ...


class Driver(Protocol):
    """A database. Parameters are `$1`, `$2` …"""

    for_update: str

    def among(self, column: str, place: int) -> str:
        """The condition that the column has one of the values of a list."""
        ...

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        """The rows of a statement."""
        ...

    def write(self) -> contextlib.AbstractAsyncContextManager[Transaction]:
        """A transaction."""
        ...


class Postgres:
    """asyncpg."""

    for_update = " FOR NO KEY UPDATE"

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    def among(self, column: str, place: int) -> str:
        """ANY of an array."""
        return f"{column} = ANY(${place})"

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        """The rows of a statement."""
        return await self._pool.fetch(sql, *given)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction."""
        async with self._pool.acquire() as connection, connection.transaction():
            yield _PostgresTransaction(connection)


class _PostgresTransaction:
    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        rows: Sequence[Any] = await self._connection.fetch(sql, *given)
        return rows

    async def append(self, event: Event) -> None:
        await self._connection.fetch(log._APPEND, *log._arrays([event]))


class Sqlite:
    """aiosqlite: one connection that reads, one that writes."""

    for_update = ""

    def __init__(self, reader: aiosqlite.Connection, writer: aiosqlite.Connection) -> None:
        self._reader, self._writer, self._queue = reader, writer, asyncio.Lock()

    def among(self, column: str, place: int) -> str:
        """A list as JSON."""
        return f"{column} IN (SELECT value FROM json_each(${place}))"

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        """The rows of a statement."""
        return await _rows(self._reader, sql, given)

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """A transaction."""
        async with self._queue:
            await self._writer.execute("BEGIN IMMEDIATE")
            yield _SqliteTransaction(self._writer)
            await self._writer.execute("COMMIT")


class _SqliteTransaction:
    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection

    async def read(self, sql: str, *given: Any) -> Sequence[Any]:
        return await _rows(self._connection, sql, given)

    async def append(self, event: Event) -> None:
        ((seq, before),) = await self.read("SELECT seq, hash FROM log_head")
        link = chained(before, event.digest)
        row = {name: getattr(event, name, None) for name in RecordedEvent.__dataclass_fields__}
        row |= {"seq": seq + 1, "payload": event.payload.decode(), "hash": link}
        numbered = ", ".join(f"${place}" for place in range(1, len(row) + 1))
        await self.read(f"INSERT INTO events ({', '.join(row)}) VALUES ({numbered})", *row.values())
        await self.read("UPDATE log_head SET seq = $1, hash = $2", seq + 1, link)


async def _rows(connection: aiosqlite.Connection, sql: str, given: Sequence[Any]) -> Sequence[Any]:
    return list(await connection.execute_fetchall(re.sub(r"\$(\d)", r"?\1", sql), [_bound(value) for value in given]))


def _bound(value: Any) -> Any:
    """As SQLite keeps it."""
    match value:
        case UUID():
            return value.hex
        case Decimal():
            return text(value)
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
        case list():
            return orjson.dumps([_bound(item) for item in value]).decode()
    return value


def number(value: Any) -> Decimal:
    """A decimal of either database."""
    return value if isinstance(value, Decimal) else Decimal(value)


def uuid(value: Any) -> UUID:
    """An id of either."""
    return UUID(value) if isinstance(value, str) else value


def moment(value: Any) -> datetime:
    """A moment of either."""
    return datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value


@contextlib.asynccontextmanager
async def driver_of(url: str) -> AsyncIterator[Driver]:
    """By the URL of a database."""
    if url.startswith("postgresql"):
        async with asyncpg.create_pool(url.replace("+asyncpg", ""), min_size=POOL, max_size=POOL) as pool:
            yield Postgres(pool)
        return
    path = url.removeprefix("sqlite:///")
    async with (
        aiosqlite.connect(path, isolation_level=None) as reader,
        aiosqlite.connect(path, isolation_level=None) as writer,
    ):
        for connection in (reader, writer):
            await connection.execute("PRAGMA busy_timeout=5000")
        await writer.execute("PRAGMA synchronous=FULL")
        yield Sqlite(reader, writer)
