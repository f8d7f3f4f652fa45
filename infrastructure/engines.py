"""What connects to each kind of database: engines of SQLAlchemy, and the bare driver beside them."""

import asyncio
import contextlib
import sqlite3
from typing import Any

import sqlalchemy
from sqlalchemy import event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from infrastructure.bare import Driver, Postgres, Sqlite
from infrastructure.settings import Settings

CONNECT_S = 5.0


def sqlite(settings: Settings) -> tuple[AsyncEngine, AsyncEngine, AsyncEngine, Driver]:
    """What writes, what only reads, what writes for as long as it takes, and the bare driver."""
    path = make_url(settings.url).database
    writer = create_async_engine(
        settings.url, pool_size=1, max_overflow=0, hide_parameters=True, connect_args={"isolation_level": None}
    )
    reader = create_async_engine(
        f"sqlite+aiosqlite:///file:{path}?mode=ro&uri=true",
        pool_size=settings.reader_pool,
        max_overflow=0,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )

    @event.listens_for(writer.sync_engine, "connect")
    def prepare_writer(connection: Any, _record: Any) -> None:
        _pragmas(connection, "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "busy_timeout=5000")

    @event.listens_for(writer.sync_engine, "begin")
    def begin_immediate(connection: sqlalchemy.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    @event.listens_for(writer.sync_engine, "invalidate")
    def roll_back(connection: Any, _record: Any, _error: BaseException | None) -> None:
        # Cancelled in mid-statement. Closed as it is, it would keep its transaction, and the lock, for as long as the
        # cursor lives: in the traceback, say.
        with contextlib.suppress(asyncio.CancelledError, sqlite3.Error, sqlalchemy.exc.InvalidRequestError, ValueError):
            connection.rollback()

    reading = ("query_only=ON", "busy_timeout=5000", "mmap_size=268435456")

    @event.listens_for(reader.sync_engine, "connect")
    def prepare_reader(connection: Any, _record: Any) -> None:
        _pragmas(connection, *reading)

    return writer, reader, writer, Sqlite(reader.dialect, str(path), reading)


def _pragmas(connection: Any, *pragmas: str) -> None:
    cursor = connection.cursor()
    for pragma in pragmas:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _server(settings: Settings) -> dict[str, str]:
    """What each session is told."""
    # A handler that waits in its transaction is ended by its own time: one that is cut off would look like an outage.
    idle_ms = 2 * max(settings.statement_timeout_ms, round(settings.handler_s * 1000))
    return {
        "application_name": "tradegraph",
        "jit": "off",
        "timezone": "UTC",
        "statement_timeout": str(settings.statement_timeout_ms),
        "lock_timeout": str(settings.lock_timeout_ms),
        "idle_in_transaction_session_timeout": str(idle_ms),
    }


def bare(settings: Settings, url: str, connect_s: float) -> Postgres:
    """The bare driver for the server at `url`, which may take `connect_s` to be connected to."""
    dialect: Any = make_url(url).get_dialect()()
    _, given = dialect.create_connect_args(make_url(url))
    told = _server(settings) | {"default_transaction_read_only": "on"}
    patience = {"timeout": connect_s, "command_timeout": settings.statement_timeout_ms / 1000 + 1}
    return Postgres(dialect, {**given, **patience, "server_settings": told})


def postgresql(settings: Settings) -> tuple[AsyncEngine, AsyncEngine, AsyncEngine, Driver]:
    """What writes, what only reads, what writes for as long as it takes, and the bare driver."""
    server = _server(settings)
    arguments = {"timeout": CONNECT_S, "command_timeout": settings.statement_timeout_ms / 1000 + 1}

    def engine(size: int, read_only: str, **more: Any) -> AsyncEngine:
        return create_async_engine(
            settings.url,
            pool_size=size,
            max_overflow=0,
            hide_parameters=True,
            pool_timeout=5,
            pool_pre_ping=True,
            pool_recycle=1800,
            connect_args=arguments | {"server_settings": server | {"default_transaction_read_only": read_only}},
            **more,
        )

    # The server's patience would not be enough: the driver, too, gives up a statement after its `command_timeout`.
    endless = {"statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    patient = create_async_engine(
        settings.url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args={
            "timeout": CONNECT_S,
            "server_settings": server | endless | {"default_transaction_read_only": "off"},
        },
    )
    reader = engine(settings.reader_pool, "on", isolation_level="AUTOCOMMIT", pool_reset_on_return=None)
    return engine(settings.writer_pool, "off"), reader, patient, bare(settings, settings.url, CONNECT_S)
