"""Jobs are shared between those who do them, fairly, and those of one who is gone go to the others."""

import asyncio

import pytest
from sqlalchemy import func, select

from infrastructure.clock import Clock
from infrastructure.database import Database
from infrastructure.leases import LEASES, Lease, SharedLeases
from tests.support.clock import ManualClock

JOBS = {"a", "b", "c", "d", "e"}


def shared(database: Database, holder: str, clock: Clock) -> SharedLeases:
    return SharedLeases(database, "jobs", holder, 6, clock)


async def rounds(count: int, *holders: SharedLeases) -> list[set[str]]:
    """What each has after so many rounds in turn."""
    for _ in range(count):
        found = [await holder.share(JOBS) for holder in holders]
    return found


async def test_jobs_when_one_shares_them_then_it_has_all(database: Database, clock: ManualClock) -> None:
    assert await rounds(2, shared(database, "one", clock)) == [JOBS]


async def test_jobs_when_others_come_then_each_has_a_fair_part_and_no_job_has_two(
    database: Database, clock: ManualClock
) -> None:
    holders = [shared(database, name, clock) for name in ("one", "two", "three")]
    assert await holders[0].share(JOBS) == JOBS
    parts = await rounds(3, *holders)
    assert sorted(len(part) for part in parts) == [1, 2, 2]
    assert set.union(*parts) == JOBS


async def test_jobs_when_all_ask_at_once_then_no_job_has_two(database: Database, clock: ManualClock) -> None:
    holders = [shared(database, str(number), clock) for number in range(5)]
    for _ in range(10):
        parts = await asyncio.gather(*(holder.share(JOBS) for holder in holders))
        assert sum(len(part) for part in parts) == len(set.union(*parts))
    assert set.union(*parts) == JOBS


@pytest.mark.parametrize("in_order", [True, False])
async def test_jobs_when_their_holder_is_gone_then_the_others_have_them(
    database: Database, clock: ManualClock, *, in_order: bool
) -> None:
    one, two = shared(database, "one", clock), shared(database, "two", clock)
    await rounds(3, one, two)
    if in_order:
        await two.release()
    else:
        clock.advance(seconds=7)
    assert await one.share(JOBS) == JOBS


async def test_jobs_when_holders_come_and_go_then_nothing_is_left_of_them(
    database: Database, clock: ManualClock
) -> None:
    for number in range(10):
        await shared(database, f"gone {number}", clock).share(JOBS)
        clock.advance(seconds=7)
    await shared(database, "one", clock).share(JOBS)
    async with database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(LEASES))).scalar_one() == len(JOBS) + 1


async def test_jobs_when_another_kind_of_lease_is_held_then_it_is_left_alone(
    database: Database, clock: ManualClock
) -> None:
    lease = Lease(database, "feed", "one", 6, clock)
    assert await lease.hold()
    mine = shared(database, "one", clock)
    await mine.share(JOBS)
    await mine.release()
    assert not await Lease(database, "feed", "two", 6, clock).hold()
