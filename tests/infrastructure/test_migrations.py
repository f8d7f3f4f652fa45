import asyncio
import importlib
import json
import pkgutil
import sys
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import AutoString, SQLModel

import models
from infrastructure.database import Database
from infrastructure.migrations import downgrade, is_migrated, migrate
from infrastructure.settings import Settings
from models.columns import Exact, Moment, Word
from tests.support.clock import START
from tests.support.house import an_event, settings_for
from tests.support.servers import PostgresDatabases

ROOT = Path(__file__).resolve().parents[2]
FIRST_ROWS = "SELECT epoch, seq, hash FROM log_head"
MARKET = "SELECT id, trading_state, trading_reason, resume_after, version FROM market_state"
# In an order that their foreign keys allow.
OTHERS = ["users", "instruments", "portfolios", "orders", "fills", "transactions"]

for module in pkgutil.iter_modules(models.__path__):
    importlib.import_module(f"models.{module.name}")


@pytest.fixture
def empty(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    """Settings of a database without a single table; on SQLite not even the folder exists."""
    if backend == "sqlite":
        yield settings_for(f"sqlite:///{tmp_path / 'new' / 'folder' / 'tradegraph.db'}", tmp_path)
        return
    postgres: PostgresDatabases = request.getfixturevalue("postgres")
    yield settings_for(postgres.create_database("empty"), tmp_path)
    postgres.drop_database("empty")


@pytest.fixture
async def unmigrated(empty: Settings) -> AsyncIterator[Database]:
    database = Database(empty)
    yield database
    await database.close()


def make_folder(database: Database) -> None:
    """The folder that an SQLite file stands in: it is not made by who only writes."""
    if database.dialect == "sqlite":
        Path(database.url.removeprefix("sqlite+aiosqlite:///")).parent.mkdir(parents=True)


async def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    async with database.read() as connection:
        return [tuple(row) for row in await connection.execute(text(statement))]


def schema(connection: sqlalchemy.Connection) -> dict[str, Any]:
    """All that the database itself says of its tables, in no order."""
    seen = sqlalchemy.inspect(connection)

    def told(things: Any) -> list[str]:
        return sorted(json.dumps(thing, sort_keys=True, default=str) for thing in things)

    return {
        table: [
            told(seen.get_columns(table)),
            str(seen.get_pk_constraint(table)),
            told(seen.get_unique_constraints(table)),
            told(seen.get_foreign_keys(table)),
            told(seen.get_check_constraints(table)),
            told(seen.get_indexes(table)),
        ]
        for table in seen.get_table_names()
        if table != "alembic_version"
    }


async def test_migrated_schema_when_compared_with_the_models_then_alembic_finds_no_difference(
    database: Database,
) -> None:
    def differences(connection: sqlalchemy.Connection) -> list[Any]:
        options = {"compare_type": True, "compare_server_default": True}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), SQLModel.metadata))

    async with database.write() as transaction:
        assert await transaction.connection.run_sync(differences) == []


async def test_migrated_schema_when_read_back_then_it_is_what_the_models_create_constraints_and_all(
    database: Database, unmigrated: Database
) -> None:
    make_folder(unmigrated)
    async with unmigrated.write() as transaction:
        await transaction.connection.run_sync(SQLModel.metadata.create_all)
        created = await transaction.connection.run_sync(schema)
    async with database.write() as transaction:
        migrated = await transaction.connection.run_sync(schema)

    assert migrated == created
    assert len(migrated) >= 14


async def test_migrate_when_the_database_is_empty_then_the_log_begins_and_the_market_is_open(
    unmigrated: Database,
) -> None:
    await migrate(unmigrated, START)

    assert await is_migrated(unmigrated)
    [(epoch, *head)] = await rows(unmigrated, FIRST_ROWS)
    assert (len(epoch), head) == (16, [0, bytes(32)])
    assert await rows(unmigrated, MARKET) == [(1, "ACTIVE", None, None, 0)]
    assert (
        len(await rows(unmigrated, "SELECT 1 FROM market_state WHERE trading_since = '2026-01-05 14:30:00.000000'"))
        == 1
    )


async def test_migrate_when_done_again_then_nothing_changes(database: Database) -> None:
    async with database.write() as transaction:
        transaction.record(an_event())
        await transaction.execute(text("UPDATE market_state SET trading_state = 'PAUSED', version = 1"))
    before = await rows(database, FIRST_ROWS)

    await migrate(database)

    assert await rows(database, FIRST_ROWS) == before
    assert await rows(database, MARKET) == [(1, "PAUSED", None, None, 1)]


async def test_migrate_when_eight_start_at_once_then_one_does_it_and_all_find_it_done(empty: Settings) -> None:
    databases = [Database(empty) for _ in range(8)]

    await asyncio.gather(*(migrate(database) for database in databases))

    for database in databases:
        assert await is_migrated(database)
        await database.close()


async def test_migrate_when_processes_start_at_once_then_all_find_it_done(empty: Settings, tmp_path: Path) -> None:
    script = tmp_path / "start.py"
    script.write_text(
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from infrastructure.database import Database\n"
        "from infrastructure.migrations import is_migrated, migrate\n"
        "from infrastructure.settings import Settings\n"
        "async def main():\n"
        "    database = Database(Settings(database_url=sys.argv[1], home=Path(sys.argv[2]), secret='-' * 32))\n"
        "    await migrate(database)\n"
        "    assert await is_migrated(database)\n"
        "    await database.close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, str(script), empty.url, str(tmp_path)]
    started = [
        await asyncio.create_subprocess_exec(*command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}) for _ in range(3)
    ]

    assert [await process.wait() for process in started] == [0, 0, 0]


async def test_is_migrated_when_it_is_not_yet_then_it_says_so(unmigrated: Database, database: Database) -> None:
    make_folder(unmigrated)
    async with unmigrated.write():
        pass
    assert not await is_migrated(unmigrated)

    assert await is_migrated(database)
    async with database.write() as transaction:
        await transaction.execute(text("DELETE FROM market_state"))
    assert not await is_migrated(database)


async def test_downgrade_when_it_goes_to_the_base_then_nothing_is_left_and_it_can_be_migrated_again(
    unmigrated: Database,
) -> None:
    await migrate(unmigrated)

    await downgrade(unmigrated, "base")

    async with unmigrated.write() as transaction:
        assert await transaction.connection.run_sync(schema) == {}
    if unmigrated.dialect == "postgresql":
        assert await rows(unmigrated, "SELECT proname FROM pg_proc WHERE proname = 'refuse_change'") == []
    assert not await is_migrated(unmigrated)
    await migrate(unmigrated)
    assert await is_migrated(unmigrated)


async def insert_one_of_each(database: Database) -> None:
    """A row in every append-only table, and in those that it needs; all have the same id."""
    async with database.write() as transaction:
        transaction.record(an_event())
        for name in OTHERS:
            table = SQLModel.metadata.tables[name]
            row = {column.name: _some_value(column.type) for column in table.columns}
            await transaction.execute(sqlalchemy.insert(table).values(row))


def _some_value(kind: Any) -> Any:
    if isinstance(kind, Word):
        words: type[StrEnum] = kind.words
        return next(iter(words))
    values = {Exact: Decimal(1), Moment: START, sqlalchemy.Uuid: UUID(int=1), AutoString: "A"}
    return next((value for each, value in values.items() if isinstance(kind, each)), 1)


@pytest.mark.parametrize("table", ["events", "transactions", "fills"])
async def test_append_only_table_when_somebody_changes_it_then_the_database_refuses(
    database: Database, table: str
) -> None:
    await insert_one_of_each(database)
    changes = [f"UPDATE {table} SET owner_id = NULL", f"DELETE FROM {table}"]  # noqa: S608 - own names
    if database.dialect == "postgresql":
        changes.append(f"TRUNCATE {table} CASCADE")

    for change in changes:
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.write() as transaction:
                await transaction.execute(text(change))

    assert await rows(database, f"SELECT count(*) FROM {table}") == [(1,)]  # noqa: S608 - own names
