import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as drawn
from sqlalchemy import func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, StatementError
from sqlmodel import SQLModel

from infrastructure import log
from infrastructure.database import Database, DatabaseUnavailable, OutcomeUnknown
from infrastructure.settings import Settings
from models import money
from models.enums import AssetClass
from models.events import Event
from models.marketdata import InstrumentRow, LeaseRow, QuoteRow
from models.portfolios import MarketStateRow
from tests.support.clock import START
from tests.support.house import an_event, migrated, settings_for
from tests.support.servers import PostgresServer
from tests.support.wait import until


def table(row: type[SQLModel]) -> sqlalchemy.Table:
    found = row.__table__  # type: ignore[attr-defined]  # SQLModel sets it on table classes
    assert isinstance(found, sqlalchemy.Table)
    return found


LEASES, MARKET, INSTRUMENTS, QUOTES = (table(row) for row in (LeaseRow, MarketStateRow, InstrumentRow, QuoteRow))
only_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


def lease(name: str) -> sqlalchemy.Insert:
    return insert(LEASES).values(name=name, holder="test", expires_at=START)


async def write(database: Database, *facts: str | Event, meanwhile: Callable[[], object] | None = None) -> int:
    """One transaction: a lease for each name, and events; `meanwhile` happens after the first fact."""
    async with database.write() as transaction:
        for fact in facts:
            if isinstance(fact, Event):
                transaction.record(fact)
            else:
                await transaction.execute(lease(fact))
            if meanwhile and fact is facts[0]:
                meanwhile()
    return transaction.position


async def names(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.execute(select(LEASES.c.name).order_by(LEASES.c.name))).scalars())


async def test_reader_when_asked_to_write_then_it_is_refused(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await connection.execute(lease("a"))

    assert await names(database) == []


async def test_write_when_eight_tasks_count_then_none_of_two_hundred_is_lost(database: Database) -> None:
    async def count(task: int) -> None:
        for turn in range(25):
            async with database.write() as transaction:
                await transaction.execute(lease(f"{task}/{turn}"))
                found = await transaction.execute(select(MARKET.c.version).with_for_update(key_share=True))
                await asyncio.sleep(0)
                await transaction.execute(update(MARKET).values(version=found.scalar_one() + 1))

    await asyncio.gather(*(count(task) for task in range(8)))

    assert len(await names(database)) == 200
    async with database.read() as connection:
        assert (await connection.execute(select(MARKET.c.version))).scalar_one() == 200


async def test_write_when_its_block_raises_then_no_row_and_no_event_is_left(database: Database) -> None:
    heard: list[int] = []
    database.listeners.append(lambda _events, position: heard.append(position))

    with pytest.raises(KeyError):
        await write(database, an_event(), "a", meanwhile=dict[str, int]().popitem)

    assert await names(database) == []
    assert heard == []
    async with database.read() as connection:
        assert (await log.head(connection)).seq == 0


async def test_write_when_a_constraint_refuses_then_the_next_transaction_works(database: Database) -> None:
    await write(database, "a")

    with pytest.raises(IntegrityError):
        await write(database, "b", "a")

    await write(database, "c")
    assert await names(database) == ["a", "c"]


async def test_write_when_a_statement_fails_then_its_values_are_not_said(database: Database) -> None:
    await write(database, "hidden")

    with pytest.raises(IntegrityError) as refused:
        await write(database, "hidden")

    assert "test" not in str(refused.value).partition("[SQL")[2]


@only_postgresql
async def test_read_when_the_driver_itself_refuses_then_that_is_not_taken_for_a_lost_connection(
    database: Database,
) -> None:
    with pytest.raises(InterfaceError, match="32767"):
        async with database.read() as connection:
            await connection.execute(select(LEASES.c.name).where(LEASES.c.name.in_([str(n) for n in range(33_000)])))

    assert await names(database) == []


async def test_write_when_cancelled_in_mid_block_then_nothing_is_left_and_the_next_one_works(
    database: Database,
) -> None:
    written = asyncio.Event()

    async def wait_for_ever() -> None:
        async with database.write() as transaction:
            await transaction.execute(lease("a"))
            written.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(wait_for_ever())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    await write(database, "b")
    assert await names(database) == ["b"]


async def test_listeners_when_transactions_commit_then_each_with_events_is_told_once(database: Database) -> None:
    heard: list[int] = []
    database.listeners.append(lambda _events, position: heard.append(position))

    for count in (1, 0, 3):
        async with database.write() as transaction:
            transaction.record(*(an_event() for _ in range(count)))
            assert transaction.position == 0
        assert transaction.position == (sum(heard[-1:]) if count else 0)

    assert heard == [1, 4]


@pytest.fixture
async def quoted(database: Database) -> Database:
    """With one instrument and its quote, whose columns take any decimal and moment."""
    numbers = ("bid", "bid_size", "ask", "ask_size", "last", "volume")
    async with database.write() as transaction:
        instrument = dict.fromkeys(("tick_size", "lot_size", "multiplier"), Decimal(1))
        await transaction.execute(
            insert(INSTRUMENTS).values(
                symbol="A", name="A", asset_class=AssetClass.EQUITY, currency="USD", tradable=True, **instrument
            )
        )
        await transaction.execute(insert(QUOTES).values(symbol="A", as_of=START, **dict.fromkeys(numbers, Decimal(1))))
    return database


async def round_trip(database: Database, **values: Any) -> sqlalchemy.Row[Any]:
    async with database.write() as transaction:
        await transaction.execute(update(QUOTES).values(**values))
    async with database.read() as connection:
        return (await connection.execute(select(*(QUOTES.c[name] for name in values)))).one()


any_offset = strategies.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@drawn(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    number=strategies.decimals(min_value=-(10**36), max_value=10**36, allow_nan=False, allow_infinity=False)
    | strategies.decimals(min_value=-(10**18), max_value=10**18, places=16),
    moment=strategies.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=any_offset),  # noqa: DTZ001 - hypothesis adds the zone
)
async def test_values_when_written_and_read_then_they_are_the_same_to_the_last_digit(
    quoted: Database, number: Decimal, moment: datetime
) -> None:
    found = await round_trip(quoted, open=number, high=None, as_of=moment)

    assert money.text(found.open) == money.text(number)
    assert found.high is None
    assert (found.as_of, found.as_of.utcoffset()) == (moment, timedelta(0))


async def test_moment_when_it_is_naive_then_it_is_refused(quoted: Database) -> None:
    with pytest.raises(StatementError, match="offset"):
        await round_trip(quoted, as_of=datetime(2026, 1, 1))  # noqa: DTZ001 - naive on purpose

    assert await round_trip(quoted, as_of=START.astimezone(UTC)) == (START,)


async def test_database_when_a_statement_is_wrong_then_it_is_not_called_away(database: Database) -> None:
    for wrong in ("SELECT nothing FROM nowhere", "SELECT 1 +"):
        with pytest.raises(DBAPIError):
            async with database.write() as transaction:
                await transaction.execute(text(wrong))
        with pytest.raises(DBAPIError):
            async with database.read() as connection:
                await connection.execute(text(wrong))


@only_postgresql
async def test_database_when_an_argument_does_not_fit_then_it_is_not_called_away(database: Database) -> None:
    with pytest.raises(DBAPIError):
        async with database.read() as connection:
            await connection.exec_driver_sql("SELECT $1::int", ("no number",))


async def test_database_when_it_is_not_there_then_it_is_unavailable(backend: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'no' / 'folder.db'}" if backend == "sqlite" else "postgresql://nobody@127.0.0.1:1/no"
    database, threads = Database(settings_for(url, tmp_path)), threading.active_count()

    for use in (database.write, database.read):
        with pytest.raises(DatabaseUnavailable):
            async with use():
                pass
    await database.close()
    # aiosqlite does not wait for the thread of a connection that failed, and that thread still needs this loop.
    await until(lambda: threading.active_count() == threads)


async def test_sqlite_when_another_process_writes_for_long_then_it_is_unavailable(tmp_path: Path) -> None:
    settings = settings_for(f"sqlite:///{tmp_path / 'tradegraph.db'}", tmp_path)
    migrated(settings)
    first, second = Database(settings), Database(settings)
    async with second.write() as transaction:
        await transaction.execute(text("PRAGMA busy_timeout = 1"))

    async with first.write():
        with pytest.raises(DatabaseUnavailable):
            async with second.write():
                pass

    await first.close()
    await second.close()


@only_postgresql
async def test_write_when_a_statement_or_a_lock_takes_too_long_then_it_is_unavailable(settings: Settings) -> None:
    hasty = Database(settings.model_copy(update={"statement_timeout_ms": 200, "lock_timeout_ms": 20}))
    with pytest.raises(DatabaseUnavailable):
        async with hasty.write() as transaction:
            await transaction.execute(text("SELECT pg_sleep(10)"))

    async with hasty.write() as transaction:
        await transaction.execute(update(MARKET).values(version=1))
        for unhurried in (False, True):
            with pytest.raises(DatabaseUnavailable):
                async with hasty.write(unhurried=unhurried) as late:
                    await late.execute(update(MARKET).values(version=2))
    await hasty.close()


@only_postgresql
async def test_write_when_unhurried_then_neither_server_nor_driver_ends_a_long_statement(settings: Settings) -> None:
    hasty = Database(settings.model_copy(update={"statement_timeout_ms": 100}))
    async with hasty.write(unhurried=True) as transaction:
        # Longer than the server gives others, and than the driver, which waits a second more.
        await transaction.execute(text("SELECT pg_sleep(1.5)"))
        slept = await transaction.execute(text("SELECT clock_timestamp() - now() > interval '1.4 s'"))
        assert slept.scalar_one()
    await hasty.close()


@pytest.fixture(scope="module")
def fragile() -> Iterator[PostgresServer]:
    """A server of this module's own, to kill."""
    with PostgresServer(fsync=True) as server:
        yield server


@pytest.fixture(scope="module")
def fragile_settings(fragile: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = settings_for(fragile.create_database("fragile"), tmp_path_factory.mktemp("fragile"))
    migrated(settings)
    return settings


async def test_postgresql_when_killed_then_it_is_unavailable_and_works_again_after_its_return(
    fragile: PostgresServer, fragile_settings: Settings
) -> None:
    database = Database(fragile_settings)
    await write(database, "before")
    await names(database)

    fragile.kill()
    for _ in range(3):
        with pytest.raises(DatabaseUnavailable):
            await names(database)
        with pytest.raises(DatabaseUnavailable):
            await write(database, "never")
    fragile.restart()

    await write(database, "after")
    assert await names(database) == ["after", "before"]
    await database.close()


async def test_postgresql_when_killed_within_a_transaction_then_nothing_of_it_is_left(
    fragile: PostgresServer, fragile_settings: Settings
) -> None:
    database = Database(fragile_settings)
    with pytest.raises(DatabaseUnavailable):
        await write(database, "half", "the other half", meanwhile=fragile.kill)
    fragile.restart()

    assert "half" not in await names(database)
    await database.close()


async def test_postgresql_when_killed_before_the_commit_is_confirmed_then_the_outcome_is_unknown(
    fragile: PostgresServer, fragile_settings: Settings
) -> None:
    database = Database(fragile_settings)
    with pytest.raises(OutcomeUnknown):
        await write(database, "uncertain", meanwhile=fragile.kill)
    fragile.restart()

    assert "uncertain" not in await names(database)
    await database.close()


async def test_postgresql_when_it_does_not_answer_a_commit_then_the_outcome_is_unknown(
    fragile_settings: Settings,
) -> None:
    database = Database(fragile_settings.model_copy(update={"statement_timeout_ms": 50}))
    async with database.write() as transaction:
        backend = (await transaction.execute(text("SELECT pg_backend_pid()"))).scalar_one()

    try:
        with pytest.raises(OutcomeUnknown):
            await write(database, "frozen", meanwhile=lambda: os.kill(backend, signal.SIGSTOP))
    finally:
        os.kill(backend, signal.SIGCONT)

    await write(database, "thawed")
    assert "thawed" in await names(database)
    await database.close()


async def test_postgresql_when_killed_under_load_then_every_acknowledged_write_is_there_and_no_other_error_is_seen(
    fragile: PostgresServer, fragile_settings: Settings
) -> None:
    database = Database(fragile_settings)
    async with database.read() as connection:
        begun = (await connection.execute(select(func.count()).select_from(log.EVENTS))).scalar_one()
    acknowledged: list[str] = []

    async def work(task: int) -> type[Exception]:
        turn = 0
        while True:
            turn += 1
            try:
                await write(database, f"load/{task}/{turn}", an_event())
            except (DatabaseUnavailable, OutcomeUnknown) as error:
                return type(error)
            acknowledged.append(f"load/{task}/{turn}")

    tasks = [asyncio.create_task(work(task)) for task in range(8)]
    await until(lambda: len(acknowledged) >= 100)
    await asyncio.to_thread(fragile.kill)
    ended = await asyncio.gather(*tasks)
    fragile.restart()

    kept = [name for name in await names(database) if name.startswith("load/")]
    assert set(acknowledged) <= set(kept)
    assert len(kept) - len(acknowledged) <= ended.count(OutcomeUnknown)
    async with database.read() as connection:
        assert (await log.head(connection)).seq == begun + len(kept)
    await database.close()
