import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import aiosqlite
import asyncpg
import pytest
from sqlalchemy import func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import AsyncAdaptedQueuePool

from infrastructure.database import Database, DatabaseUnavailable, Transaction
from infrastructure.settings import Settings
from infrastructure.statements import Statement

ONE = text("SELECT 1")
FOR_EVER = text("SELECT pg_sleep(60)")
SLEEPING = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'")
A_WHILE = text("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300000) SELECT i FROM n")


@pytest.mark.parametrize("use", [Database.read, Database.write])
async def test_close_when_a_connection_is_lent_then_it_is_closed_as_it_comes_back(
    settings: Settings, use: Callable[[Database], AbstractAsyncContextManager[AsyncConnection | Transaction]]
) -> None:
    database = Database(settings)
    async with use(database) as lent:
        await lent.execute(ONE)
        await database.close()
        driver = await _driver(lent.connection if isinstance(lent, Transaction) else lent)
        assert _open(driver)

    assert not _open(driver)


@pytest.mark.parametrize("turns", range(12))
async def test_read_when_cancelled_at_any_turn_and_again_then_every_connection_is_given_back(
    database: Database, turns: int
) -> None:
    async def ask() -> int:
        async with database.read() as connection:
            return int((await connection.execute(ONE)).scalar_one())

    asking = asyncio.create_task(ask())
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(2):
        asking.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([asking])

    assert asking.cancelled() or asking.result() == 1
    assert isinstance(database.reader.pool, AsyncAdaptedQueuePool)
    assert database.reader.pool.checkedout() == 0
    assert await ask() == 1


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_abort_when_statements_wait_for_the_server_then_they_end_and_there_are_no_new_ones(
    settings: Settings, database: Database
) -> None:
    async def read() -> None:
        async with database.read() as connection:
            await connection.execute(FOR_EVER)

    async def write() -> None:
        async with database.write() as tx:
            await tx.execute(FOR_EVER)

    async def hot() -> None:
        await database.rows(Statement(select(func.pg_sleep(60))))

    asked = [read(), write(), hot()]
    tasks = [asyncio.ensure_future(each) for each in asked]
    other = Database(settings)
    async with asyncio.timeout(30), other.read() as connection:
        while (await connection.execute(SLEEPING)).scalar_one() < len(tasks):
            pass
    await other.close()

    database.abort()

    async with asyncio.timeout(10):
        ends = await asyncio.gather(*tasks, read(), write(), hot(), return_exceptions=True)
    assert [type(end) for end in ends] == [DatabaseUnavailable] * 6


async def _driver(connection: AsyncConnection) -> Any:
    return (await connection.get_raw_connection()).driver_connection


def _open(driver: Any) -> bool:
    if isinstance(driver, aiosqlite.Connection):
        return driver._connection is not None
    assert isinstance(driver, asyncpg.Connection)
    return not driver.is_closed()


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_write_when_cancelled_in_mid_statement_while_a_cursor_lives_on_then_it_holds_no_lock(
    database: Database,
) -> None:
    """SQLite keeps a connection that is closed, lock and all, for as long as a cursor of it lives."""
    begun, cursors = asyncio.Event(), []

    async def count() -> None:
        async with database.write() as transaction:
            cursors.append(await (await _driver(transaction.connection)).execute(str(A_WHILE)))
            begun.set()
            await transaction.execute(A_WHILE)

    counting = asyncio.create_task(count())
    await begun.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    counting.cancel()
    await asyncio.wait([counting])
    assert counting.cancelled()

    async with asyncio.timeout(3), database.write() as transaction:
        await transaction.execute(ONE)
    assert cursors


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_write_when_handlers_have_longer_than_statements_then_the_server_cuts_no_transaction_off_before(
    settings: Settings,
) -> None:
    database = Database(settings.model_copy(update={"statement_timeout_ms": 1000, "handler_timeout_ms": 3000}))
    async with database.write() as transaction:
        shown = await transaction.execute(text("SHOW idle_in_transaction_session_timeout"))
        assert shown.scalar_one() == "6s"
    await database.close()
