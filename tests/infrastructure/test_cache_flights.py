"""What is being read is read once for all who want it, whoever of them leaves; and what an error then is to them."""

import asyncio
from uuid import UUID

import pytest

from infrastructure.cache import Cache, Kind
from infrastructure.database import DatabaseUnavailable
from models.errors import BadRequest
from tests.support.caches import ADA, NUMBERS, A, B, Table, a_cache
from tests.support.wait import until

BRIEF: Kind[UUID, int] = Kind("brief", int, 0, shared=True, if_error=True)
"""Too old at once."""


def asked(cache: Cache, table: Table, count: int, kind: Kind[UUID, int] = NUMBERS) -> list[asyncio.Task[list[int]]]:
    return [asyncio.create_task(cache.many(kind, ADA, [A], table.load)) for _ in range(count)]


async def waiting(cache: Cache, count: int) -> None:
    """Until so many wait for what is being read."""
    await until(lambda: sum(flight.waiting for flight in cache._flights._flights) == count)


async def test_many_when_twenty_ask_at_once_then_one_reads() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    asking = asked(cache, table, 20)
    await waiting(cache, 20)
    table.open()

    assert await asyncio.gather(*asking) == [[1]] * 20
    assert table.reads == [[A]]
    assert vars(cache.counts["numbers"]) == {"memory": 19, "redis": 0, "loaded": 1, "passed": 0, "stale": 0}


async def test_many_when_who_asked_first_is_cancelled_then_the_others_get_what_is_read_for_them() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    first, *others = asked(cache, table, 20)
    await waiting(cache, 20)
    await until(lambda: table.reads)

    first.cancel()
    await asyncio.wait([first])
    table.open()

    assert first.cancelled()
    assert await asyncio.gather(*others) == [[1]] * 19
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]
    assert table.reads == [[A]]


async def test_many_when_all_who_asked_are_cancelled_then_the_reading_is_and_the_next_reads_anew() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    asking = asked(cache, table, 3)
    await waiting(cache, 3)
    await until(lambda: table.reads)

    for each in asking:
        each.cancel()
    await asyncio.wait(asking)
    assert not cache._flights._flights
    table.open()

    assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]
    assert table.reads == [[A], [A]]


async def test_many_when_one_asks_for_more_than_is_being_read_then_only_the_rest_is_read() -> None:
    cache, table = await a_cache(), Table({A: 1, B: 2}, gate=asyncio.Event())
    [first] = asked(cache, table, 1)
    await until(lambda: table.reads)
    second = asyncio.create_task(cache.many(NUMBERS, ADA, [B, A], table.load))
    await until(lambda: len(table.reads) == 2)
    first.cancel()
    table.open()

    assert await second == [2, 1]
    assert table.reads == [[A], [B]]


@pytest.mark.parametrize("error", [DatabaseUnavailable("gone"), BadRequest("no", "id")])
async def test_many_when_a_reading_fails_then_all_who_waited_are_told_and_the_next_reads_anew(error: Exception) -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event(), error=error)
    asking = asked(cache, table, 20)
    await waiting(cache, 20)
    table.open()

    assert await asyncio.gather(*asking, return_exceptions=True) == [error] * 20
    assert table.reads == [[A]]
    table.error = None
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]
    assert table.reads == [[A], [A]]


async def test_many_when_a_reading_never_ends_then_it_is_given_up_after_as_long_as_an_operation_may_take() -> None:
    cache, table = await a_cache(operation_ms=20), Table({A: 1}, gate=asyncio.Event())

    with pytest.raises(DatabaseUnavailable):
        await cache.many(NUMBERS, ADA, [A], table.load)

    table.open()
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]


@pytest.mark.parametrize("if_error", [True, False])
async def test_many_when_the_database_is_gone_then_all_are_shown_what_is_too_old_of_market_data_only(
    if_error: bool,
) -> None:
    cache, table = await a_cache(), Table({A: 1})
    kind: Kind[UUID, int] = Kind("brief", int, 0, shared=True, if_error=if_error)
    await cache.many(kind, None, [A], table.load)
    error = table.error = DatabaseUnavailable("gone")

    found = await asyncio.gather(*asked(cache, table, 20, kind), return_exceptions=True)

    assert found == ([[1]] if if_error else [error]) * 20
    assert cache.counts["brief"].stale == (20 if if_error else 0)
    with pytest.raises(DatabaseUnavailable):
        await cache.many(kind, None, [A, B], table.load)


async def test_many_when_the_database_does_not_answer_then_what_is_too_old_is_shown_and_it_goes_on_reading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infrastructure.cache.PATIENCE_S", 0.01)
    cache, table = await a_cache(), Table({A: 1})
    lasting: Kind[UUID, int] = Kind("brief", int, 60, shared=True, if_error=True)
    await cache.many(BRIEF, None, [A], table.load)
    table.numbers[A], table.gate = 2, asyncio.Event()

    assert [await cache.many(lasting, None, [A], table.load) for _ in range(3)] == [[1]] * 3
    assert table.reads == [[A], [A]]
    assert cache.counts["brief"].stale == 3
    table.open()
    await until(lambda: not cache._flights._flights)
    assert await cache.many(lasting, None, [A], table.load) == [2]


async def test_many_when_nothing_old_is_there_to_be_shown_then_the_database_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("infrastructure.cache.PATIENCE_S", 0)
    cache, table = await a_cache(), Table({A: 1, B: 2})
    await cache.many(BRIEF, None, [A], table.load)
    table.gate = asyncio.Event()

    asking = asyncio.create_task(cache.many(BRIEF, None, [A, B], table.load))
    await until(lambda: len(table.reads) == 2)
    table.open()

    assert await asking == [1, 2]
    assert cache.counts["brief"].stale == 0


async def test_many_when_who_asks_has_done_more_than_this_process_has_seen_then_market_data_is_the_same() -> None:
    cache, table = await a_cache(), Table({A: 1})
    shared: Kind[UUID, int] = Kind("shared", int, 60, shared=True, if_error=True)

    assert [await cache.many(shared, ADA, [A], table.load, least) for least in (0, 5, None)] == [[1]] * 3
    assert table.reads == [[A]]


async def test_stop_when_something_is_being_read_then_that_ends() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    [asking] = asked(cache, table, 1)
    await until(lambda: table.reads)
    tasks = [flight.task for flight in cache._flights._flights]

    await cache.stop()

    assert [task.cancelled() for task in tasks] == [True]
    table.open()
    assert await asking == [1]
