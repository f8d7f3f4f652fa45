import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from infrastructure.database import Database
from infrastructure.relay import BATCH, QUEUE_MAX, Relay
from infrastructure.settings import Settings
from models.enums import EventType
from models.events import EventFilter
from tests.support.house import an_event, migrated, settings_for
from tests.support.log_race import whole_log
from tests.support.servers import PostgresServer
from tests.support.wait import until

EVERYTHING = EventFilter()
ALICE, BOB = UUID(int=1), UUID(int=2)
POLL_S = 0.05


@pytest.fixture(params=[4096, 16], ids=["ring", "small-ring"])
async def relay(database: Database, request: pytest.FixtureRequest) -> AsyncIterator[Relay]:
    relay = Relay(database, poll_s=POLL_S, ring=request.param)
    await relay.start()
    yield relay
    await relay.stop()


async def write(database: Database, count: int, owner_id: UUID | None = None, seed: int = 0) -> None:
    """That many events, one to three in a transaction."""
    chance, written = random.Random(seed), 0  # noqa: S311 - repeatable
    while written < count:
        size = min(chance.randint(1, 3), count - written)
        async with database.write() as transaction:
            transaction.record(*(an_event(owner_id=owner_id, n=written + step) for step in range(size)))
        written += size


async def take(relay: Relay, after: int, count: int, chosen: EventFilter = EVERYTHING, slow: int = 0) -> list[int]:
    """The numbers of the next events; a slow follower lets the loop turn so often after each."""
    found: list[int] = []
    async with aclosing(relay.follow(after, chosen)) as events:
        async for event in events:
            found.append(event.seq)
            if len(found) == count:
                break
            for _ in range(slow):
                await asyncio.sleep(0)
    return found


async def test_follow_when_writers_write_then_each_follower_gets_every_event_once_from_any_position(
    database: Database, relay: Relay
) -> None:
    await write(database, 40)

    following = [asyncio.create_task(take(relay, after, 160 - after, slow=after % 7)) for after in range(0, 160, 13)]
    await asyncio.gather(*(write(database, 30, seed=writer) for writer in range(4)))

    for after, seqs in zip(range(0, 160, 13), await asyncio.gather(*following), strict=True):
        assert seqs == list(range(after + 1, 161))


async def test_follow_when_it_begins_behind_more_than_a_batch_then_nothing_is_left_out(
    database: Database, relay: Relay
) -> None:
    async with database.write() as transaction:
        transaction.record(*(an_event(owner_id=(ALICE, BOB)[n % 2]) for n in range(2 * BATCH + 10)))
    await relay.reached(2 * BATCH + 10)

    assert await take(relay, 0, 2 * BATCH + 10) == list(range(1, 2 * BATCH + 11))
    assert await take(relay, 3, BATCH + 3, EventFilter(owner_id=ALICE)) == list(range(5, 2 * BATCH + 10, 2))


async def test_follow_when_it_reconnects_fifty_times_then_nothing_is_lost_and_nothing_comes_twice(
    database: Database, relay: Relay
) -> None:
    chance = random.Random(7)  # noqa: S311 - repeatable
    writing = asyncio.gather(*(write(database, 100, seed=writer) for writer in range(3)))

    seen: list[int] = []
    for _ in range(50):
        seen += await take(relay, seen[-1] if seen else 0, chance.randint(1, 5), slow=chance.randint(0, 20))
    await writing
    seen += await take(relay, seen[-1], 300 - len(seen))

    assert seen == list(range(1, 301))


async def test_follow_when_it_has_a_filter_then_it_gets_those_events_alone_in_order(
    database: Database, relay: Relay
) -> None:
    chosen = EventFilter(visible_to=ALICE, types=frozenset({EventType.CASH_MOVED}))
    following = asyncio.create_task(take(relay, 0, 60, chosen, slow=3))

    await asyncio.gather(
        *(write(database, 30, owner_id, seed) for seed, owner_id in enumerate((ALICE, BOB, None, BOB)))
    )

    expected = [event.seq for event in await whole_log(database) if event.owner_id in (ALICE, None)]
    assert await following == expected
    assert len(expected) == 60


async def test_follow_when_the_position_is_ahead_of_this_process_then_it_waits_for_what_comes_behind(
    database: Database, relay: Relay
) -> None:
    following = asyncio.create_task(take(relay, 5, 2))

    await write(database, 8)

    assert await following == [6, 7]


async def test_follow_when_the_relay_started_late_then_older_events_come_from_the_table(database: Database) -> None:
    await write(database, 20)
    relay = Relay(database, poll_s=POLL_S, ring=16)
    await relay.start()
    assert relay.position == 20

    following = asyncio.create_task(take(relay, 4, 18))
    await write(database, 2)

    assert await following == list(range(5, 23))
    await relay.stop()


async def test_relay_when_another_process_commits_then_it_polls_and_sees_it(relay: Relay, settings: Settings) -> None:
    other = Database(settings)
    await write(other, 3)
    await other.close()

    await asyncio.wait_for(relay.reached(3), 5)
    assert relay.position == 3


async def test_relay_when_a_commit_wakes_it_then_it_does_not_wait_for_the_poll(database: Database) -> None:
    relay = Relay(database, poll_s=3600, ring=16)
    await relay.start()

    await write(database, 3)

    await asyncio.wait_for(relay.reached(3), 5)
    await relay.stop()


async def test_stop_when_followers_wait_then_they_end(database: Database, relay: Relay) -> None:
    await write(database, 2)
    following = [asyncio.create_task(take(relay, after, 99)) for after in (0, 2, 50)]
    await relay.reached(2)
    await asyncio.sleep(0)

    await relay.stop()

    assert [await follower for follower in following] == [[1, 2], [], []]
    assert database.listeners == []


async def waiting_relay(database: Database) -> Relay:
    relay = Relay(database, poll_s=3600, ring=16)
    await relay.start()
    await until(lambda: relay._news._waiters)
    return relay


async def test_stop_when_news_comes_at_the_same_moment_then_it_still_stops(database: Database) -> None:
    for turns in range(5):
        relay = await waiting_relay(database)
        relay.wake()
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(relay.stop(), 5)


def test_follow_when_the_database_was_away_then_it_catches_up(tmp_path: Path) -> None:
    async def story(server: PostgresServer, settings: Settings) -> list[int]:
        database = Database(settings)
        relay = Relay(database, poll_s=POLL_S, ring=16)
        await relay.start()
        following = asyncio.create_task(take(relay, 0, 30))
        await write(database, 10)
        await relay.reached(10)
        with capture_logs() as logs:
            server.kill()
            await until(lambda: logs)
        assert logs[0]["event"] == "background work failed"
        server.restart()
        other = Database(settings)
        await write(other, 20)
        await other.close()
        seen = await following
        await relay.stop()
        await database.close()
        return seen

    with PostgresServer(fsync=True) as server:
        settings = settings_for(server.create_database("relay"), tmp_path)
        migrated(settings)
        assert asyncio.run(story(server, settings)) == list(range(1, 31))


async def test_follow_when_more_comes_than_a_queue_holds_then_the_follower_reads_the_log_and_misses_nothing(
    database: Database, relay: Relay
) -> None:
    async with aclosing(relay.follow(0, EventFilter(owner_id=ALICE))) as events:
        await write(database, 1, ALICE)
        assert (await anext(events)).seq == 1
        await write(database, 2 * QUEUE_MAX, ALICE)
        await relay.reached(2 * QUEUE_MAX + 1)
        coming = asyncio.ensure_future(anext(events))
        assert len(events._queue) <= QUEUE_MAX
        seen = [(await coming).seq, *[(await anext(events)).seq for _ in range(2 * QUEUE_MAX - 1)]]
    assert seen == list(range(2, 2 * QUEUE_MAX + 2))


async def test_follow_when_only_others_are_concerned_then_it_sleeps_and_its_position_moves_on(
    database: Database, relay: Relay
) -> None:
    rested: list[int] = []
    follower = relay.follow(0, EventFilter(owner_id=ALICE), rested.append)
    waiting = asyncio.ensure_future(anext(follower))
    await until(lambda: relay._followers)
    await write(database, 40, BOB)
    await relay.reached(40)
    assert (rested, follower.position) == ([0], 40)

    await write(database, 1, ALICE)
    assert (await waiting).seq == 41
    # It is not passed before whoever took it comes back for the next one.
    assert follower.position == 40
    again = asyncio.ensure_future(anext(follower))
    await until(lambda: len(rested) == 2)
    assert (rested, follower.position) == ([0, 41], 41)
    again.cancel()
    await asyncio.wait({again})
    await follower.aclose()
    assert not relay._followers
    assert not relay._owned


async def test_listen_when_events_come_then_each_of_the_filter_is_told_in_order_until_it_ends(
    database: Database, relay: Relay
) -> None:
    told: dict[str, list[int]] = {"alice": [], "seen by alice": [], "all": []}
    ends = [
        relay.listen(chosen, lambda event, name=name: told[name].append(event.seq))  # type: ignore[misc]
        for name, chosen in zip(
            told, (EventFilter(owner_id=ALICE), EventFilter(visible_to=ALICE), EventFilter()), strict=True
        )
    ]
    for owner_id in (ALICE, BOB, None):
        await write(database, 2, owner_id)
    await relay.reached(6)
    for end in ends:
        end()
    await write(database, 1, ALICE)
    await relay.reached(7)

    assert told == {"alice": [1, 2], "seen by alice": [1, 2, 5, 6], "all": [1, 2, 3, 4, 5, 6]}
    assert (relay._owned, relay._public, relay._any) == ({}, set(), set())


async def test_coming_when_an_event_of_the_filter_comes_then_it_is_done_and_listens_no_longer(
    database: Database, relay: Relay
) -> None:
    news, given_up = relay.coming(EventFilter(owner_id=ALICE)), relay.coming(EventFilter(owner_id=ALICE))
    given_up.cancel()
    await write(database, 2, BOB)
    await relay.reached(2)
    assert not news.done()
    await write(database, 2, ALICE)
    async with asyncio.timeout(10):
        await news
    await until(lambda: not relay._owned)
