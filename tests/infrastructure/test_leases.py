import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from sqlalchemy import select

from infrastructure.database import Database, OutcomeUnknown, Transaction
from infrastructure.leases import LEASES, Lease
from infrastructure.settings import Settings
from tests.support.clock import ManualClock

SECONDS = 6
HOLDERS = 4


@pytest.fixture
async def databases(settings: Settings) -> AsyncIterator[list[Database]]:
    """As many processes would have them: each its own connections."""
    made = [Database(settings) for _ in range(HOLDERS)]
    yield made
    for database in made:
        await database.close()


@pytest.fixture
def leases(databases: list[Database], clock: ManualClock) -> list[Lease]:
    return [Lease(database, "feed", f"process {n}", SECONDS, clock) for n, database in enumerate(databases)]


async def stored(database: Database) -> list[tuple[str, str, datetime]]:
    async with database.read() as connection:
        rows = await connection.execute(select(LEASES.c.name, LEASES.c.holder, LEASES.c.expires_at))
        return [tuple(row) for row in rows]


async def test_hold_when_many_ask_at_once_round_after_round_then_one_has_it_each_time(
    leases: list[Lease], clock: ManualClock
) -> None:
    draw = random.Random(1)  # noqa: S311 - repeatable on purpose
    holders = set()
    for _ in range(40):
        held = await asyncio.gather(*(lease.hold() for lease in leases))
        assert held.count(True) == 1
        holder = held.index(True)
        holders.add(holder)
        if draw.random() < 0.5:  # a process that stops asking until its lease has run out
            clock.advance(seconds=SECONDS, microseconds=1)
            others = [lease for lease in leases if lease is not leases[holder]]
            taken = await asyncio.gather(*(lease.hold() for lease in others))
            assert taken.count(True) == 1
            assert await leases[holder].hold() is False
            holders.add(leases.index(others[taken.index(True)]))
        else:
            clock.advance(seconds=draw.uniform(0, SECONDS))
    assert len(holders) > 1


async def test_hold_when_another_has_it_then_it_is_refused_until_its_last_moment_has_passed(
    leases: list[Lease], clock: ManualClock
) -> None:
    first, second, *_ = leases
    assert await first.hold() is True
    clock.advance(seconds=SECONDS)
    assert await second.hold() is False
    clock.advance(microseconds=1)
    assert await second.hold() is True
    assert await first.hold() is False
    assert [first.held, second.held] == [False, True]


async def test_held_when_the_lease_has_run_out_then_it_is_not_without_asking(
    leases: list[Lease], clock: ManualClock
) -> None:
    assert [leases[0].held] == [False]
    assert await leases[0].hold() is True
    clock.advance(seconds=SECONDS, microseconds=-1)
    assert [leases[0].held] == [True]
    clock.advance(microseconds=1)
    assert [leases[0].held] == [False]
    assert [await leases[0].hold(), leases[0].held] == [True, True]
    await leases[0].release()
    assert [leases[0].held] == [False]


async def test_hold_when_a_third_of_it_has_gone_then_it_is_renewed_and_not_before(
    leases: list[Lease], databases: list[Database], clock: ManualClock
) -> None:
    assert await leases[0].hold() is True
    given = await stored(databases[0])
    assert given == [("feed", "process 0", datetime.fromisoformat("2026-01-05T14:30:06Z"))]
    clock.advance(seconds=1.999)
    assert await leases[0].hold() is True
    assert await stored(databases[0]) == given
    clock.advance(seconds=0.001)
    assert await leases[0].hold() is True
    assert await stored(databases[0]) == [("feed", "process 0", datetime.fromisoformat("2026-01-05T14:30:08Z"))]


async def test_hold_when_its_own_lease_has_run_out_and_nobody_took_it_then_it_is_taken_again(
    leases: list[Lease], clock: ManualClock
) -> None:
    assert await leases[0].hold() is True
    clock.advance(days=1)
    assert await leases[0].hold() is True
    assert await leases[1].hold() is False


async def test_hold_when_the_write_takes_longer_than_it_lasts_then_it_is_not_held(
    databases: list[Database],
) -> None:
    class SlowClock(ManualClock):
        def now(self) -> datetime:
            return self.advance(seconds=SECONDS)

    assert await Lease(databases[0], "feed", "slow", SECONDS, SlowClock()).hold() is False


async def test_release_when_held_then_the_next_need_not_wait(leases: list[Lease], databases: list[Database]) -> None:
    assert await leases[0].hold() is True
    await leases[0].release()
    assert await stored(databases[0]) == []
    assert await leases[1].hold() is True
    assert await leases[0].hold() is False


async def test_release_when_another_has_it_then_it_stays_theirs(leases: list[Lease], databases: list[Database]) -> None:
    assert await leases[0].hold() is True
    await leases[1].release()
    assert [holder for _, holder, _ in await stored(databases[0])] == ["process 0"]


async def test_hold_when_the_names_differ_then_each_job_has_its_own_holder(
    databases: list[Database], clock: ManualClock
) -> None:
    feed = Lease(databases[0], "feed", "a", SECONDS, clock)
    broker = Lease(databases[1], "broker", "b", SECONDS, clock)
    assert [await feed.hold(), await broker.hold()] == [True, True]
    assert sorted(name for name, _, _ in await stored(databases[0])) == ["broker", "feed"]


async def test_term_when_others_may_have_had_it_in_between_then_it_is_another_and_else_it_stays(
    leases: list[Lease], clock: ManualClock
) -> None:
    first, second, *_ = leases
    terms = []
    for _ in range(3):  # renewed in time
        assert await first.hold() is True
        terms.append(first.term)
        clock.advance(seconds=SECONDS - 1)
    assert len(set(terms)) == 1

    clock.advance(seconds=SECONDS)  # run out, and nobody took it
    assert await first.hold() is True
    assert first.term == terms[0]

    clock.advance(seconds=SECONDS, microseconds=1)  # the second had it, and the first has not even noticed
    assert await second.hold() is True
    await second.release()
    assert await first.hold() is True
    assert first.term != terms[0]

    noticed = first.term
    clock.advance(seconds=SECONDS, microseconds=1)
    assert await second.hold() is True
    assert await first.hold() is False
    clock.advance(seconds=SECONDS, microseconds=1)
    assert await first.hold() is True
    assert first.term not in (noticed, *terms)


async def test_term_when_it_is_not_told_what_became_of_what_it_asked_then_it_is_another(
    leases: list[Lease], databases: list[Database], clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, *_ = leases
    assert await first.hold() is True
    before = first.term
    clock.advance(seconds=SECONDS, microseconds=1)
    assert await second.hold() is True
    await second.release()

    @asynccontextmanager
    async def unanswered() -> AsyncIterator[Transaction]:
        async with write() as transaction:
            yield transaction
        raise OutcomeUnknown

    write = databases[0].write
    with monkeypatch.context() as patch:
        patch.setattr(databases[0], "write", unanswered)
        with pytest.raises(OutcomeUnknown):
            await first.hold()
    assert [row[1] for row in await stored(databases[0])] == ["process 0"]
    assert await first.hold() is True
    assert first.term != before
