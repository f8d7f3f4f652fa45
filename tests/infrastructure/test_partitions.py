"""The log's partitions on PostgreSQL: cut at the month's turn, while the log grows; readers notice nothing."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError
from structlog.testing import capture_logs

from infrastructure import log
from infrastructure import partitions as module
from infrastructure.database import Database, DatabaseUnavailable
from infrastructure.partitions import Partition, cut_at_month, partitions
from infrastructure.services import Services
from models.events import Event, EventFilter
from resolvers.events import operators
from resolvers.events.archive import archive_events, restore_events
from resolvers.events.verify import verify
from resolvers.registry import HANDLERS
from tests.support.clock import START, ManualClock
from tests.support.house import an_event
from tests.support.log_race import check_chain, whole_log
from tests.support.market import Market, Trader

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)

ALICE = UUID(int=1)
COUNT = "SELECT count(*) FROM event_partitions.{}"
FEBRUARY, MARCH = datetime(2026, 2, 1, tzinfo=START.tzinfo), datetime(2026, 3, 1, tzinfo=START.tzinfo)


@pytest.fixture(autouse=True)
async def one_partition(database: Database) -> None:
    """The log as a migration leaves it, whatever an earlier test made of this database."""
    async with database.write() as tx:
        for each in await partitions(tx.connection):
            await tx.execute(text(f"DROP TABLE event_partitions.{each.name}"))
        await module._make(tx, "events_first", "(MINVALUE) TO (MAXVALUE)")


async def record(database: Database, *events: Event) -> int:
    async with database.write() as tx:
        tx.record(*events)
    return tx.position


async def known(database: Database) -> list[Partition]:
    async with database.read() as connection:
        return await partitions(connection)


def some(count: int, at: datetime = START) -> list[Event]:
    return [an_event(occurred_at=at) for _ in range(count)]


async def test_cut_when_the_month_has_turned_then_what_comes_goes_into_another_partition(database: Database) -> None:
    assert await known(database) == [Partition("events_first", 0, None)]
    assert await cut_at_month(database, FEBRUARY) is None
    await record(database, *some(7))
    assert await cut_at_month(database, START + timedelta(days=20)) is None

    assert await cut_at_month(database, FEBRUARY, ahead=3) == Partition("events_2026_02", 11, None)

    assert await known(database) == [Partition("events_first", 0, 11), Partition("events_2026_02", 11, None)]
    await record(database, *some(9, FEBRUARY))
    assert await cut_at_month(database, FEBRUARY + timedelta(days=27)) is None
    assert await cut_at_month(database, MARCH, ahead=0) == Partition("events_2026_03", 17, None)
    await record(database, *some(2, MARCH))
    assert len(await check_chain(database)) == 18
    async with database.read() as connection:
        counts = [
            (await connection.execute(text(COUNT.format(each.name)))).scalar_one() for each in await known(database)
        ]
        assert counts == [10, 6, 2]
        assert [each.seq for each in await log.read_after(connection, 8, EventFilter(), 10)] == list(range(9, 19))
        assert await log.last_matching(connection, 16, EventFilter()) == 16


async def test_append_when_the_version_is_in_another_partition_then_nothing_is_written(database: Database) -> None:
    await record(database, an_event(1, ALICE), an_event(2, ALICE))
    await cut_at_month(database, FEBRUARY, ahead=0)
    await record(database, an_event(3, ALICE))

    for version in (1, 2, 3):
        with pytest.raises(IntegrityError):
            await record(database, an_event(version, ALICE, occurred_at=FEBRUARY))

    assert len(await check_chain(database)) == 3


async def test_cut_when_eight_append_meanwhile_then_none_is_refused_and_the_log_has_no_gap(database: Database) -> None:
    await record(database, *some(3))

    async def append(count: int) -> None:
        aggregate_id = uuid4()
        for version in range(1, count + 1):
            await record(database, an_event(version, aggregate_id, occurred_at=FEBRUARY))

    writers = [asyncio.create_task(append(40)) for _ in range(7)]
    while (await known(database))[-1].end is None and len(await known(database)) == 1:
        await cut_at_month(database, FEBRUARY, ahead=150)
    await asyncio.gather(*writers)

    assert len(await check_chain(database)) == 3 + 7 * 40
    first, second = await known(database)
    assert first.end == second.first < 3 + 7 * 40


async def test_cut_when_it_was_broken_off_then_the_log_goes_on_and_the_next_call_finishes_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await record(database, *some(4))

    async def breaks(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "_cut", breaks)
        with pytest.raises(KeyboardInterrupt):
            await cut_at_month(database, FEBRUARY, ahead=20)
    await record(database, *some(4, FEBRUARY))
    assert len(await known(database)) == 1

    assert await cut_at_month(database, FEBRUARY) == Partition("events_2026_02", 25, None)
    await record(database, *some(30, FEBRUARY))
    assert len(await check_chain(database)) == 38


async def test_cut_when_somebody_reads_for_long_then_it_gives_up_and_the_next_call_finishes_it(
    database: Database,
) -> None:
    await record(database, *some(4))
    async with database.writer.connect() as reader:
        await reader.execute(text("SELECT count(*) FROM events"))
        with pytest.raises(DatabaseUnavailable):
            await cut_at_month(database, FEBRUARY, ahead=20)
        await record(database, *some(4, FEBRUARY))
    assert len(await known(database)) == 1

    assert await cut_at_month(database, FEBRUARY, ahead=20) == Partition("events_2026_02", 29, None)


async def test_cut_when_it_gave_up_in_the_background_then_it_is_tried_again_after_a_pause(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried, again = 0, asyncio.Event()

    async def held(*_: Any) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise DatabaseUnavailable
        again.set()

    monkeypatch.setattr(operators, "cut_at_month", held)
    monkeypatch.setattr(operators, "AGAIN_S", 0.01)
    cutting = operators.Partitions(services)
    with capture_logs() as logs:
        await cutting.start()
        await again.wait()
        await cutting.stop()
    assert tried == 2
    assert [(each["log_level"], each["event"]) for each in logs] == [
        ("warning", "the log's partition could not be cut")
    ]


async def test_cut_when_the_months_name_is_taken_then_the_partition_has_its_first_number_in_its_name(
    database: Database,
) -> None:
    await record(database, *some(4))
    await cut_at_month(database, FEBRUARY, ahead=0)
    await record(database, *some(2))

    assert await cut_at_month(database, FEBRUARY, ahead=0) == Partition("events_2026_02_7", 7, None)

    await record(database, *some(2, FEBRUARY))
    assert await cut_at_month(database, FEBRUARY, ahead=0) is None
    assert len(await check_chain(database)) == 8


@pytest.mark.parametrize("change", ["UPDATE {} SET version = 9", "DELETE FROM {}", "TRUNCATE {}"])
async def test_partition_when_somebody_changes_it_then_the_database_refuses(database: Database, change: str) -> None:
    await record(database, *some(2))
    await cut_at_month(database, FEBRUARY, ahead=0)
    await record(database, *some(2, FEBRUARY))

    for each in await known(database):
        with pytest.raises(DBAPIError, match="append-only"):
            async with database.write() as tx:
                await tx.execute(text(change.format(f"event_partitions.{each.name}")))

    assert len(await check_chain(database)) == 4


async def a_month(trader: Trader, market: Market, sizes: Sequence[int]) -> None:
    for size in sizes:
        await market.quote("AAPL", "99.99", "100.01")
        await trader.trade("BUY", str(size), "100")


async def test_archive_when_a_partition_is_sealed_whole_then_it_is_dropped_and_comes_back(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    database = services.database
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await a_month(trader, market, [1, 2, 3])
    await cut_at_month(database, FEBRUARY, ahead=0)
    clock.advance(days=40)
    await a_month(trader, market, [4, 5])
    await cut_at_month(database, MARCH, ahead=0)
    clock.advance(days=40)
    await a_month(trader, market, [6])
    before, whole = await known(database), await whole_log(database)

    made = await archive_events(services, HANDLERS, clock.now() - timedelta(days=60), tmp_path, size=4)

    assert [(segment.first_seq, segment.last_seq + 1) for segment in made] == [(1, before[0].end)]
    assert await known(database) == before[1:]
    await archive_events(services, HANDLERS, clock.now(), tmp_path, size=3)
    assert await known(database) == before[2:]
    assert (await verify(database, folder=tmp_path)).flaws == []

    await restore_events(services, tmp_path, every=True)

    assert await whole_log(database) == whole
    assert (await verify(database)).flaws == []
    assert [each.first for each in await known(database)] == [1, before[1].first, before[2].first]
    await a_month(trader, market, [7])
    assert (await verify(database)).flaws == []
