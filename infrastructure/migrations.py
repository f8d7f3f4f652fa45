"""Brings a database to the schema that this version of the program knows, and gives it the rows it can't be without."""

import asyncio
import functools
import importlib.resources
from datetime import datetime
from pathlib import Path

import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text

from infrastructure import log
from infrastructure.clock import SystemClock
from infrastructure.database import Database, DatabaseUnavailable, Transaction
from models.enums import TradingState
from models.portfolios import MarketStateRow

# Who holds this advisory lock migrates; the number only has to be the same in every process.
_LOCK = 0x7261_6465
_PAUSE_S = 0.05
# SQLite waits five seconds for another's transaction; a migration may take longer.
_TRIES_MAX = 12

MARKET = MarketStateRow.__table__  # type: ignore[attr-defined]  # reason: SQLModel sets it on table classes


async def migrate(database: Database, now: datetime | None = None) -> None:
    """Bring the schema to the newest revision, begin the log, open the market; what is done already stays as it is.

    Several processes may do this at once: one does it, the others wait for it. In one process only one at a time.

    Args:
        database: The database; an SQLite file that does not exist is made, and the folders above it too.
        now: Since when the market is open; this moment if it is not given.
    """
    if database.dialect == "sqlite":
        Path(make_url(database.url).database or "").parent.mkdir(parents=True, exist_ok=True)
    tries = 0
    while not await _migrated(database, now or SystemClock().now(), last=tries >= _TRIES_MAX):
        tries += database.dialect == "sqlite"
        await asyncio.sleep(_PAUSE_S)


async def is_migrated(database: Database) -> bool:
    """Whether the database has the newest schema and its first rows. Raises `DatabaseUnavailable`."""
    async with database.read() as connection:
        if await connection.run_sync(_revision) != _newest():
            return False
        found = await connection.execute(
            text("SELECT (SELECT count(*) FROM log_head), (SELECT count(*) FROM market_state)")
        )
        return found.one() == (1, 1)


async def downgrade(database: Database, revision: str) -> None:
    """Take the schema back to a revision; `base` is an empty database. What the later ones kept is lost."""
    async with database.write(unhurried=True) as transaction:
        await transaction.connection.run_sync(lambda connection: command.downgrade(config(connection), revision))


def config(connection: sqlalchemy.Connection | None = None) -> Config:
    """Alembic's configuration, found where the package is installed; it works on the connection, in its transaction."""
    found = Config()
    # A percent sign would be read as the beginning of another option's name.
    found.set_main_option("script_location", str(importlib.resources.files("migrations")).replace("%", "%%"))
    found.attributes["connection"] = connection
    return found


async def _migrated(database: Database, now: datetime, *, last: bool) -> bool:
    """Migrate, unless another process is at it. An SQLite file that is locked raises only the `last` time."""
    try:
        async with database.write(unhurried=True) as transaction:
            if database.dialect == "postgresql" and not await _alone(transaction):
                return False
            await transaction.connection.run_sync(lambda connection: command.upgrade(config(connection), "head"))
            await log.ensure_head(transaction.connection, epoch=log.some_epoch())
            await _open_market(transaction, now)
    except DatabaseUnavailable:
        if database.dialect != "sqlite" or last:
            raise
        return False
    return True


async def _alone(transaction: Transaction) -> bool:
    # Tried, not waited for: a wait would end at the lock timeout, while a migration may take as long as it has to.
    await transaction.execute(text("SET LOCAL lock_timeout = 0"))
    found = await transaction.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    return bool(found.scalar_one())


async def _open_market(transaction: Transaction, now: datetime) -> None:
    if (await transaction.execute(sqlalchemy.select(MARKET.c.id))).first() is None:
        row = {"id": 1, "trading_state": TradingState.ACTIVE, "trading_since": now, "version": 0}
        await transaction.execute(sqlalchemy.insert(MARKET), row)


def _revision(connection: sqlalchemy.Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


@functools.cache
def _newest() -> str | None:
    return ScriptDirectory.from_config(config()).get_current_head()
