import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, given, strategies
from hypothesis import settings as drawn
from sqlalchemy import insert, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.database import Database
from infrastructure.rows import values
from infrastructure.settings import Settings
from models.enums import AggregateType, EventType
from models.events import GENESIS, Event, EventFilter, RecordedEvent, chained
from tests.support.clock import START
from tests.support.house import an_event
from tests.support.log_race import Race, check_chain, read_log, run_race, whole_log

WRITERS = 8
ALICE, BOB = UUID(int=1), UUID(int=2)
only_sqlite = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
only_postgresql = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)


@pytest.fixture
async def databases(settings: Settings) -> AsyncIterator[list[Database]]:
    """What each writer writes through: on PostgreSQL engines of its own, on SQLite the one writer of the process."""
    made = [Database(settings) for _ in range(WRITERS if settings.url.startswith("postgresql") else 1)]
    yield made * (WRITERS // len(made))
    for database in made:
        await database.close()


async def record(database: Database, *events: Event) -> int:
    async with database.write() as transaction:
        transaction.record(*events)
    return transaction.position


async def test_eight_writers_when_they_pause_and_roll_back_then_three_readers_see_the_same_gapless_log(
    databases: list[Database],
) -> None:
    race = await run_race(databases, log.append, read_log, transactions=25, seed=1)

    race.check()
    assert race.rolled_back > 20
    assert len(await check_chain(databases[0])) == len(race.committed) > 200


@only_postgresql
async def test_naive_sequence_when_it_runs_the_same_race_then_its_readers_lose_events(
    databases: list[Database],
) -> None:
    async with databases[0].write() as transaction:
        await transaction.execute(
            text("CREATE TABLE naive_events (seq bigserial PRIMARY KEY, aggregate_id uuid, version int)")
        )

    race = await run_race(databases, _append_naively, _read_naively, transactions=25, seed=1)

    assert race.lost() > 0
    with pytest.raises(AssertionError):
        race.check()
    async with databases[0].write() as transaction:
        await transaction.execute(text("DROP TABLE naive_events"))


async def _append_naively(connection: AsyncConnection, events: Sequence[Event]) -> int:
    insert = text("INSERT INTO naive_events (aggregate_id, version) VALUES (:aggregate_id, :version) RETURNING seq")
    rows = [{"aggregate_id": event.aggregate_id, "version": event.version} for event in events]
    return max([int((await connection.execute(insert, row)).scalar_one()) for row in rows])


async def _read_naively(connection: AsyncConnection, seq: int) -> list[tuple[int, UUID, int]]:
    select = text("SELECT seq, aggregate_id, version FROM naive_events WHERE seq > :seq ORDER BY seq LIMIT 20")
    return [(row.seq, row.aggregate_id, row.version) for row in await connection.execute(select, {"seq": seq})]


def test_check_when_a_reader_missed_an_event_then_it_fails() -> None:
    race = Race(committed={(ALICE, 1), (ALICE, 2)}, seen=[[(1, ALICE, 1)]])

    assert race.lost() == 1
    with pytest.raises(AssertionError):
        race.check()


@only_postgresql
async def test_append_when_eight_engines_push_without_pause_then_every_hash_is_right(databases: list[Database]) -> None:
    async def push(database: Database) -> None:
        aggregate_id, version = uuid4(), 0
        for turn in range(60):
            events = [an_event(version + step, aggregate_id, turn=turn) for step in range(1, 1 + turn % 30 + 1)]
            version += len(events)
            await record(database, *events)

    await asyncio.gather(*(push(database) for database in databases))

    assert len(await check_chain(databases[0])) == WRITERS * 2 * sum(range(1, 31))


@only_postgresql
@pytest.mark.parametrize("first_commits", [True, False])
async def test_append_when_it_waited_for_another_then_it_chains_behind_what_that_one_left(
    databases: list[Database], first_commits: bool
) -> None:
    before, first, second, third = [an_event(n=n) for n in range(4)], an_event(), an_event(), an_event()
    await record(databases[0], *before)

    async with databases[0].writer.connect() as connection:
        await log.append(connection, [first])
        waiting = []
        for place, event in enumerate((second, third), 1):
            waiting.append(asyncio.create_task(record(databases[place], event)))
            await _until_waiting(databases[-1], place)
        await (connection.commit() if first_commits else connection.rollback())

    ended = await asyncio.gather(*waiting)
    events = await check_chain(databases[0])
    last = [first, second, third] if first_commits else [second, third]
    assert [event.aggregate_id for event in events[4:]] == [event.aggregate_id for event in last]
    assert ended == [event.seq for event in events[-2:]]


async def _until_waiting(database: Database, count: int) -> None:
    """Until that many appends wait for the head row."""
    select = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(5):
        while True:
            async with database.read() as connection:
                if (await connection.execute(select)).scalar_one() == count:
                    return


async def test_append_when_given_events_then_numbers_and_hashes_are_those_of_the_pure_chain(database: Database) -> None:
    given = [an_event(n=n, text="naïve \u0000 “€” 💶", owner_id=ALICE) for n in range(5)]

    assert await record(database, *given[:2]) == 2
    assert await record(database, *given[2:]) == 5

    links = [GENESIS]
    for event in given:
        links.append(chained(links[-1], event.digest))
    events = await check_chain(database)
    assert [event.hash for event in events] == links[1:]
    assert [event.payload.encode() for event in events] == [event.payload for event in given]
    assert [event.data["n"] for event in events] == [0, 1, 2, 3, 4]


async def test_append_when_the_version_is_taken_then_nothing_is_written(database: Database) -> None:
    await record(database, an_event(1, ALICE))

    with pytest.raises(IntegrityError):
        await record(database, an_event(), an_event(1, ALICE))

    assert len(await check_chain(database)) == 1


async def test_append_when_a_thousand_events_come_at_once_then_all_are_chained(database: Database) -> None:
    assert await record(database, *(an_event(n=n) for n in range(1000))) == 1000

    assert len(await check_chain(database)) == 1000


@only_sqlite
@pytest.mark.parametrize("owner_id", [ALICE, None])
async def test_append_when_on_sqlite_then_a_row_is_stored_as_its_columns_types_would_store_it(
    database: Database, owner_id: UUID | None
) -> None:
    await record(database, an_event(owner_id=owner_id, n=1))
    raw = text(f"SELECT {', '.join(column.name for column in log.COLUMNS[1:])} FROM events ORDER BY seq")  # noqa: S608 - reason: our names
    async with database.write() as transaction:
        [event] = await log.read_after(transaction.connection, 0, EventFilter(), 1)
        await transaction.execute(insert(log.EVENTS), {**values(event), "seq": 2})
        appended, inserted = (await transaction.execute(raw)).all()
    assert tuple(appended) == tuple(inserted)


async def test_ensure_head_when_the_log_has_begun_then_it_stays_as_it_is(database: Database) -> None:
    await record(database, an_event())
    async with database.read() as connection:
        before = await log.head(connection)

    async with database.write() as transaction:
        await log.ensure_head(transaction.connection, "another")

    async with database.read() as connection:
        assert await log.head(connection) == before


moments = strategies.integers(0, 5).map(lambda seconds: START + timedelta(seconds=seconds))
people = strategies.sampled_from([ALICE, BOB])
kinds = [EventType.CASH_MOVED, EventType.ORDER_PLACED, EventType.TRADING_PAUSED]
filters = strategies.builds(
    EventFilter,
    types=strategies.none() | strategies.frozensets(strategies.sampled_from(kinds)),
    aggregate_type=strategies.sampled_from([None, AggregateType.PORTFOLIO, AggregateType.ORDER]),
    aggregate_id=strategies.none() | people,
    version_max=strategies.none() | strategies.integers(0, 12),
    portfolio_id=strategies.none() | people,
    owner_id=strategies.none() | people,
    visible_to=strategies.none() | people,
    since=strategies.none() | moments,
    until=strategies.none() | moments,
)


@drawn(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chosen=strategies.lists(filters, min_size=20, max_size=20), seq=strategies.integers(0, 24))
async def test_conditions_when_a_filter_is_drawn_then_they_choose_what_it_matches_in_memory(
    database: Database, chosen: list[EventFilter], seq: int
) -> None:
    events = await _varied(database)
    async with database.read() as connection:
        for each in chosen:
            matching = [event for event in events if each.matches(event)]
            found = await log.read_after(connection, seq, each, 5)
            assert found == [event for event in matching if event.seq > seq][:5]
            statement, named = log.reading(each, 5)
            assert [RecordedEvent(*row) for row in await database.rows(statement, seq=seq, **named)] == found
            before = [event.seq for event in matching if event.seq <= seq]
            assert await log.last_matching(connection, seq, each) == (before[-1] if before else None)


async def _varied(database: Database) -> Sequence[RecordedEvent]:
    """24 events of three kinds and owners; written once, by the first example."""
    with contextlib.suppress(IntegrityError):
        await record(
            database,
            *(
                an_event(
                    version,
                    (ALICE, BOB)[version % 2],
                    kind=kinds[version % 3],
                    owner_id=(ALICE, BOB, None)[version // 2 % 3],
                    occurred_at=START + timedelta(seconds=version % 6),
                )
                for version in range(24)
            ),
        )
    return await whole_log(database)
