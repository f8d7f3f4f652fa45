import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import func, literal, select

from infrastructure import bare
from infrastructure.database import Database, DatabaseUnavailable
from infrastructure.settings import Settings
from infrastructure.statements import Row, Statement
from tests.support.house import settings_for
from tests.support.servers import PostgresServer
from tests.support.wait import until

ONE = Statement(select(literal(1)))
COUNTED = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {}) SELECT count(*) FROM n"
A_WHILE, FOREVER = COUNTED.format(300_000), COUNTED.format(10**12)


@pytest.mark.parametrize("turns", range(10))
async def test_rows_when_cancelled_at_any_turn_and_again_then_no_connection_is_lost(
    database: Database, turns: int
) -> None:
    asking = asyncio.create_task(database.rows(ONE))
    for _ in range(turns):
        await asyncio.sleep(0)
    for _ in range(2):
        asking.cancel()
        await asyncio.sleep(0)
    await asyncio.wait([asking])

    assert asking.cancelled() or asking.result() == [(1,)]
    assert database.bare.used == 0
    assert await asyncio.gather(*(database.rows(ONE) for _ in range(20))) == [[(1,)]] * 20


async def test_rows_when_cancelled_in_mid_statement_then_the_statement_is_broken_off(database: Database) -> None:
    await database.rows(ONE)
    asking = asyncio.create_task(database.bare.fetch(FOREVER, []))
    await until(lambda: database.bare.used == 1)
    asking.cancel()
    await asyncio.wait([asking])

    assert asking.cancelled()
    assert await database.rows(ONE) == [(1,)]


async def test_close_when_a_connection_is_lent_then_it_is_closed_as_it_comes_back(settings: Settings) -> None:
    database = Database(settings)
    async with database.bare.lent() as line:
        await database.close()
        assert database.bare.driver.is_open(line.connection)

    assert not database.bare.driver.is_open(line.connection)


async def test_connection_when_it_is_old_then_another_is_opened(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await database.rows(ONE)
    [first] = database.bare._idle
    await database.rows(ONE)
    assert [line.connection for line in database.bare._idle] == [first.connection]

    monkeypatch.setattr(bare, "AGE_S_MAX", 0)
    await database.rows(ONE)

    [second] = database.bare._idle
    assert second.connection is not first.connection
    assert not database.bare.driver.is_open(first.connection)


async def test_statement_when_it_is_refused_then_the_connection_is_used_again(database: Database) -> None:
    await database.rows(ONE)
    [line] = database.bare._idle
    with pytest.raises(Exception, match=r"(?i)nothing"):
        await database.bare.fetch("SELECT nothing", [])

    assert await database.rows(ONE) == [(1,)]
    assert [each.connection for each in database.bare._idle] == [line.connection]


async def test_rows_when_all_connections_are_lent_for_too_long_then_the_database_is_unavailable(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bare, "WAIT_S", 0.01)
    database = Database(settings.model_copy(update={"reader_pool": 1}))
    async with database.bare.lent():
        with pytest.raises(DatabaseUnavailable):
            await database.rows(ONE)
    assert await database.rows(ONE) == [(1,)]
    await database.close()


async def test_rows_when_another_is_quicker_to_take_the_connection_that_was_opened_then_a_second_is_opened(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect, quicker = database.bare.driver.connect, list[asyncio.Task[list[Row]]]()

    async def overtaken() -> Any:
        connection = await connect()
        if not quicker:
            quicker.append(asyncio.create_task(database.rows(ONE)))
        return connection

    monkeypatch.setattr(database.bare.driver, "connect", overtaken)

    assert await database.rows(ONE) == [(1,)]
    assert await quicker[0] == [(1,)]
    assert len(database.bare._idle) == 2


async def test_rows_when_the_server_was_restarted_then_nobody_notices(tmp_path: Any) -> None:
    with PostgresServer() as server:
        database = Database(settings_for(server.create_database("restarted"), tmp_path))
        assert await database.rows(ONE) == [(1,)]
        # In one turn of the loop: it has not heard that the connection is gone.
        server.restart()
        assert await database.rows(ONE) == [(1,)]
        await asyncio.gather(*(database.rows(ONE) for _ in range(5)))
        server.kill()
        for _ in range(2):
            with pytest.raises(DatabaseUnavailable):
                await database.rows(ONE)
        server.start()
        assert await database.rows(ONE) == [(1,)]
        await database.close()


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_statement_when_it_takes_too_long_then_it_was_sent_once_and_its_connection_is_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await asyncio.gather(*(database.rows(ONE) for _ in range(4)))
    before = {line.connection for line in database.bare._idle}
    for connection in before:
        await connection.execute("SET statement_timeout = 300")
    fetch, sent = database.bare.driver.fetch, list[str]()

    async def noted(connection: Any, sql: str, values: Sequence[Any]) -> Any:
        sent.append(sql)
        return await fetch(connection, sql, values)

    monkeypatch.setattr(database.bare.driver, "fetch", noted)
    with pytest.raises(DatabaseUnavailable):
        await database.rows(Statement(select(func.pg_sleep(60))))

    assert len(sent) == 1
    assert len(before) > 1
    assert {line.connection for line in database.bare._idle} == before


@pytest.mark.parametrize("turns", range(8))
async def test_statement_when_cancelled_before_the_thread_has_begun_it_then_it_is_broken_off(
    database: Database, turns: int
) -> None:
    for _ in range(20):
        await database.rows(ONE)
        asking = asyncio.create_task(database.bare.fetch(FOREVER, []))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        assert asking.cancelled()
        assert database.bare.used == 0


async def test_close_when_a_connection_is_being_opened_for_who_is_cancelled_then_that_is_closed_too(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(settings)
    connect, opening, closed, opened = database.bare.driver.connect, asyncio.Event(), asyncio.Event(), list[Any]()

    async def slow() -> Any:
        opening.set()
        await closed.wait()
        opened.append(await connect())
        return opened[0]

    monkeypatch.setattr(database.bare.driver, "connect", slow)
    asking = asyncio.create_task(database.rows(ONE))
    await opening.wait()
    asking.cancel()
    await database.close()
    closed.set()
    await asyncio.wait([asking])

    assert asking.cancelled()
    assert database.bare._idle == []
    assert not database.bare.driver.is_open(opened[0])
