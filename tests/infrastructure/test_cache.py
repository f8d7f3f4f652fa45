import asyncio
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import given, strategies

from infrastructure.cache import TAGS_MAX, Cache, Kind
from models.events import RecordedEvent
from tests.support.caches import ADA, BOB, NUMBERS, A, B, C, Table, a_cache, recorded
from tests.support.house import an_event
from tests.support.wait import until


async def test_many_when_asked_again_then_only_what_is_not_kept_is_read() -> None:
    cache, table = await a_cache(), Table({A: 1, B: 2, C: 3})

    assert await cache.many(NUMBERS, ADA, [A, B], table.load) == [1, 2]
    assert await cache.many(NUMBERS, ADA, [C, B, A], table.load) == [3, 2, 1]

    assert table.reads == [[A, B], [C]]
    assert vars(cache.counts["numbers"]) == {"memory": 2, "redis": 0, "loaded": 3, "passed": 0, "stale": 0}


async def test_many_when_it_is_off_then_everything_is_read() -> None:
    cache, table = await a_cache(cache=False), Table({A: 1})

    assert [await cache.many(NUMBERS, ADA, [A], table.load) for _ in range(2)] == [[1], [1]]
    assert table.reads == [[A], [A]]


async def test_many_when_another_asks_then_they_do_not_get_what_was_kept_for_the_first() -> None:
    cache, ours, theirs = await a_cache(), Table({A: 1}), Table({A: 2})

    assert await cache.many(NUMBERS, ADA, [A], ours.load) == [1]
    assert await cache.many(NUMBERS, BOB, [A], theirs.load) == [2]
    assert await cache.many(NUMBERS, ADA, [A], ours.load) == [1]


async def test_many_when_the_kind_is_shared_then_all_get_the_same() -> None:
    cache, table = await a_cache(), Table({A: 1})
    shared: Kind[UUID, int] = Kind("shared", int, 60, shared=True)

    assert [await cache.many(shared, who, [A], table.load) for who in (ADA, BOB, None)] == [[1], [1], [1]]
    assert table.reads == [[A]]


async def test_many_when_there_was_nothing_then_that_is_kept_as_well() -> None:
    cache = await a_cache()
    maybe: Kind[UUID, int | None] = Kind("maybe", int | None, 60)
    reads = []

    async def load(keys: Sequence[UUID]) -> list[int | None]:
        reads.append(keys)
        return [None for _ in keys]

    assert [await cache.many(maybe, ADA, [A], load) for _ in range(2)] == [[None], [None]]
    assert len(reads) == 1


async def test_apply_when_an_event_changes_a_thing_then_that_one_is_read_again_and_no_other() -> None:
    cache, table = await a_cache(), Table({A: 1, B: 2})
    await cache.many(NUMBERS, ADA, [A, B], table.load)

    table.numbers[A] = 5
    cache.apply([recorded(1, A)])

    assert await cache.many(NUMBERS, ADA, [A, B], table.load) == [5, 2]
    assert table.reads == [[A, B], [A]]


async def test_committed_when_this_process_wrote_then_it_shows_that_before_the_log_is_applied() -> None:
    cache, table = await a_cache(), Table({A: 1})
    await cache.many(NUMBERS, ADA, [A], table.load)

    table.numbers[A] = 5
    cache.committed([an_event(1, A)], 7)

    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    # What was read then is used once the process has come that far, and not before.
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    cache.apply([recorded(7, A)])
    assert [await cache.many(NUMBERS, ADA, [A], table.load) for _ in range(2)] == [[5], [5]]
    assert len(table.reads) == 4


@pytest.mark.parametrize("least", [3, None])
async def test_many_when_the_process_is_behind_what_the_caller_did_then_everything_is_read(least: int | None) -> None:
    cache, table = await a_cache(position=2), Table({A: 1})
    await cache.many(NUMBERS, ADA, [A], table.load)

    table.numbers[A] = 5

    assert await cache.many(NUMBERS, ADA, [A], table.load, least) == [5]
    assert cache.counts["numbers"].passed == 1
    assert await cache.many(NUMBERS, ADA, [A], table.load, 2) == [1]


async def test_many_when_a_change_races_the_reading_then_what_was_read_is_not_kept() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    reading = asyncio.create_task(cache.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    assert table.gate is not None

    table.numbers[A] = 5
    cache.apply([recorded(1, A)])
    table.gate.set()

    assert await reading == [1]
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]


async def test_many_when_it_joins_a_reading_that_began_before_a_change_then_it_reads_by_itself() -> None:
    cache, table = await a_cache(), Table({A: 1}, gate=asyncio.Event())
    first = asyncio.create_task(cache.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    assert table.gate is not None

    table.numbers[A] = 5
    cache.apply([recorded(1, A)])
    second = asyncio.create_task(cache.many(NUMBERS, ADA, [A], table.load))
    await asyncio.sleep(0)
    table.gate.set()

    assert [await first, await second] == [[1], [5]]


async def test_many_when_its_time_has_come_then_it_is_read_again() -> None:
    cache, table = await a_cache(), Table({A: 1})
    brief: Kind[UUID, int] = Kind("brief", int, 0, shared=True)

    assert [await cache.many(brief, None, [A], table.load) for _ in range(2)] == [[1], [1]]
    assert len(table.reads) == 2


async def test_many_when_a_value_may_not_be_kept_then_it_is_read_each_time() -> None:
    cache, table = await a_cache(), Table({A: 1, B: -1})
    positive: Kind[UUID, int] = Kind("positive", int, 60, keep=lambda number: number > 0)

    assert [await cache.many(positive, ADA, [A, B], table.load) for _ in range(2)] == [[1, -1], [1, -1]]
    assert table.reads == [[A, B], [B]]


async def test_memory_when_there_are_more_than_it_may_keep_then_those_used_longest_ago_go() -> None:
    cache = await a_cache(cache_entries=2)
    table = Table({A: 1, B: 2, C: 3})

    await cache.many(NUMBERS, ADA, [A, B], table.load)
    await cache.many(NUMBERS, ADA, [A], table.load)
    await cache.many(NUMBERS, ADA, [C], table.load)
    await cache.many(NUMBERS, ADA, [A, C], table.load)
    await cache.many(NUMBERS, ADA, [B], table.load)

    assert table.reads == [[A, B], [C], [B]]
    assert (len(cache.memory), cache.memory.evicted) == (2, 2)


async def test_memory_when_there_are_more_bytes_than_it_may_keep_then_it_keeps_fewer() -> None:
    cache, many = await a_cache(cache_bytes=20_000), [UUID(int=number) for number in range(500)]
    table = Table(dict.fromkeys(many, 1))

    await cache.many(NUMBERS, ADA, many, table.load)

    each = cache.memory.bytes / len(cache.memory)
    assert 20_000 - each < cache.memory.bytes <= 20_000
    assert each > 40 + 36  # the value, and the key's id


async def test_memory_when_a_key_is_very_long_then_nothing_is_kept_of_it() -> None:
    cache, reads = await a_cache(), list[Sequence[str]]()
    found: Kind[str, int | None] = Kind("found", int | None, 60, shared=True)

    async def load(keys: Sequence[str]) -> list[int | None]:
        reads.append(keys)
        return [None for _ in keys]

    for _ in range(2):
        assert await cache.many(found, None, ["x" * 250_000, "short"], load) == [None, None]

    assert [len(keys) for keys in reads] == [2, 1]
    assert len(cache.memory) == 1
    assert cache.memory.bytes < 1000


async def test_tags_when_more_change_than_are_remembered_then_what_is_older_is_read_again() -> None:
    cache, table = await a_cache(), Table({A: 1})
    await cache.many(NUMBERS, ADA, [A], table.load)
    cache.apply([recorded(1, A)])
    table.numbers[A] = 5

    cache.apply([recorded(number, UUID(int=1000 + number)) for number in range(2, TAGS_MAX + 3)])

    assert ("thing", A) not in cache._changed
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    assert [await cache.many(NUMBERS, ADA, [A], table.load) for _ in range(2)] == [[5], [5]]
    assert len(table.reads) == 2


async def test_begin_when_it_is_another_log_then_nothing_of_the_old_one_is_known() -> None:
    cache, table = await a_cache(position=50), Table({A: 1})
    await cache.many(NUMBERS, ADA, [A], table.load)
    bytes_of_one = cache.memory.bytes

    table.numbers[A] = 5
    await cache.begin("another", 3)

    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    assert len(cache.memory) == 1
    assert cache.memory.bytes == bytes_of_one


steps = strategies.lists(
    strategies.tuples(strategies.sampled_from(["write", "apply", "ask", "finish"]), strategies.integers(0, 2)),
    max_size=60,
)


class Interleaving:
    """A table that is written, read and followed, each a little at a time."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.numbers, self.applied = dict.fromkeys((A, B, C), 0), dict.fromkeys((A, B, C), 0)
        self.log: list[RecordedEvent] = []
        self.gates: list[asyncio.Future[None]] = []
        self.asked: list[tuple[int, asyncio.Task[list[int]]]] = []

    def write(self, number: int) -> None:
        key = (A, B, C)[number]
        self.numbers[key] += 1
        self.log.append(recorded(len(self.log) + 1, key))

    def apply(self, number: int) -> None:
        events = self.log[self.cache.position : self.cache.position + 1 + number]
        if events:
            self.cache.apply(events)
        for event in events:
            self.applied[event.aggregate_id] += 1

    def ask(self, number: int) -> None:
        key = (A, B, C)[number]
        self.asked.append((self.applied[key], asyncio.create_task(self.cache.many(NUMBERS, ADA, [key], self._load))))

    def finish(self, number: int) -> None:
        if self.gates:
            self.gates.pop(number % len(self.gates)).set_result(None)

    async def _load(self, keys: Sequence[UUID]) -> list[int]:
        found = [self.numbers[key] for key in keys]
        self.gates.append(asyncio.get_running_loop().create_future())
        await self.gates[-1]
        return found


@given(steps)
async def test_many_when_writes_readings_and_the_log_come_in_any_order_then_no_answer_is_older_than_the_log(
    chosen: list[tuple[str, int]],
) -> None:
    run = Interleaving(await a_cache())

    for step, number in chosen:
        getattr(run, step)(number)
        for _ in range(3):
            await asyncio.sleep(0)
    while not all(task.done() for _, task in run.asked):
        run.finish(0)
        await asyncio.sleep(0)

    for least, task in run.asked:
        assert task.result()[0] >= least
