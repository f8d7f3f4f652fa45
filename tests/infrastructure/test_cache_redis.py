import asyncio
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal

import pytest

from infrastructure.cache import Kind
from infrastructure.redis import Redis
from infrastructure.settings import Settings
from models.marketdata import Quote
from tests.support.caches import ADA, NUMBERS, A, B, Table, a_cache, recorded
from tests.support.clock import START
from tests.support.cold_key import CALLERS
from tests.support.redis_server import RedisServer
from tests.support.wait import until

PROCESSES = 4


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=500))
    await redis.ask(lambda client: client.flushdb())
    yield redis
    await redis.close()


QUOTE = Quote(
    symbol="AAPL",
    bid=Decimal("99.99"),
    bid_size=Decimal(100),
    ask=Decimal("100.01"),
    ask_size=Decimal(200),
    last=Decimal("100.00"),
    open=None,
    high=None,
    low=None,
    previous_close=None,
    volume=Decimal("0.00000001"),
    as_of=START,
)


async def test_redis_when_another_process_has_read_it_then_it_is_the_same_to_the_last_digit(redis: Redis) -> None:
    quotes: Kind[str, list[Quote]] = Kind("quotes", list[Quote], 60, shared=True)

    async def load(_keys: Sequence[str]) -> list[list[Quote]]:
        return [[QUOTE]]

    async def fail(_keys: Sequence[str]) -> list[list[Quote]]:
        raise AssertionError

    first, second = await a_cache(redis), await a_cache(redis)
    await first.many(quotes, None, ["AAPL"], load)

    assert await second.many(quotes, None, ["AAPL"], fail) == [[QUOTE]]
    assert await second.many(quotes, None, ["AAPL"], fail) == [[QUOTE]]
    assert vars(second.counts["quotes"]) == {"memory": 1, "redis": 1, "loaded": 0, "passed": 0}


async def test_redis_when_what_is_there_was_read_before_a_change_then_it_is_read_again(redis: Redis) -> None:
    table = Table({A: 1})
    first, second = await a_cache(redis), await a_cache(redis)
    await first.many(NUMBERS, ADA, [A], table.load)

    table.numbers[A] = 5
    second.apply([recorded(1, A)])

    assert await second.many(NUMBERS, ADA, [A], table.load) == [5]
    # The first has not come so far, and may show either.
    assert await first.many(NUMBERS, ADA, [A], table.load) == [1]
    first.apply([recorded(1, A)])
    assert await first.many(NUMBERS, ADA, [A], table.load) == [5]
    assert first.counts["numbers"].redis == 1


async def test_redis_when_a_process_has_just_begun_then_it_trusts_nothing_from_before(redis: Redis) -> None:
    table = Table({A: 1})
    await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load)

    table.numbers[A] = 5
    later = await a_cache(redis, position=9)

    assert await later.many(NUMBERS, ADA, [A], table.load) == [5]


async def test_redis_when_the_log_is_another_then_nothing_is_taken_from_the_old_ones_cache(redis: Redis) -> None:
    table = Table({A: 1})
    await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load)

    table.numbers[A] = 5
    other = await a_cache(redis)
    await other.begin("another", 0)

    assert await other.many(NUMBERS, ADA, [A], table.load) == [5]


async def test_redis_when_another_process_is_reading_then_this_one_waits_for_that(redis: Redis) -> None:
    first, second, table = await a_cache(redis), await a_cache(redis), Table({A: 1}, gate=asyncio.Event())
    assert table.gate is not None
    reading = asyncio.create_task(first.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    waiting = asyncio.create_task(second.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: second._flying)

    table.gate.set()

    assert [await reading, await waiting] == [[1], [1]]
    assert table.reads == [[A]]


async def test_redis_when_who_was_reading_is_cancelled_then_nobody_waits_for_it(redis: Redis) -> None:
    first, second, table = await a_cache(redis), await a_cache(redis), Table({A: 1}, gate=asyncio.Event())
    reading = asyncio.create_task(first.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    reading.cancel()
    await asyncio.wait([reading])
    await until(lambda: not first._letting_go)

    assert await redis.ask(lambda client: client.keys("*:reading")) == []
    table.gate = None
    assert await second.many(NUMBERS, ADA, [A], table.load) == [1]


async def test_redis_when_another_version_put_what_this_one_cannot_read_then_it_is_read_again(redis: Redis) -> None:
    quotes: Kind[str, list[Quote]] = Kind("quotes", list[Quote], 60, shared=True)
    other: Kind[str, list[dict[str, str]]] = Kind("quotes", list[dict[str, str]], 60, shared=True)

    async def old(_keys: Sequence[str]) -> list[list[dict[str, str]]]:
        return [[{"symbol": "AAPL", "price": "1"}]]

    async def new(_keys: Sequence[str]) -> list[list[Quote]]:
        return [[QUOTE]]

    await (await a_cache(redis)).many(other, None, ["AAPL"], old)

    assert await (await a_cache(redis)).many(quotes, None, ["AAPL"], new) == [[QUOTE]]


async def test_redis_when_four_processes_ask_for_a_cold_key_twenty_times_each_then_it_is_read_once(
    redis: Redis, server: RedisServer
) -> None:
    command = [sys.executable, "-m", "tests.support.cold_key", server.url, str(PROCESSES)]
    running = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(PROCESSES)]
    said = [(await process.communicate())[0] for process in running]

    assert [text.decode().split() for text in said] == [["7"] * CALLERS] * PROCESSES
    assert await redis.ask(lambda client: client.get("read")) == b"1"


async def test_redis_when_it_dies_then_answers_stay_right_and_soon_nobody_waits_for_it(
    redis: Redis, server: RedisServer
) -> None:
    cache, table = await a_cache(redis), Table({A: 1, B: 2})
    await cache.many(NUMBERS, ADA, [A], table.load)
    server.kill()
    table.numbers[A] = 5
    cache.apply([recorded(1, A)])

    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    while redis.available:
        cache.apply([recorded(cache.position + 1, B)])
        assert await cache.many(NUMBERS, ADA, [B], table.load) == [2]
    cache.apply([recorded(cache.position + 1, B)])
    began = time.monotonic()
    assert await cache.many(NUMBERS, ADA, [B], table.load) == [2]
    assert time.monotonic() - began < 0.5

    server.start()
    await until(lambda: redis.available)
    cache.apply([recorded(cache.position + 1, A)])
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
    later = await a_cache(redis, position=cache.position)
    assert await later.many(NUMBERS, ADA, [A], table.load) == [5]
    assert later.counts["numbers"].redis == 1


async def test_redis_when_it_is_frozen_then_soon_nobody_waits_for_it_and_thawed_it_is_used_again(
    redis: Redis, server: RedisServer
) -> None:
    cache, table = await a_cache(redis), Table({A: 1})
    server.freeze()
    try:
        while redis.available:
            cache.apply([recorded(cache.position + 1, A)])
            assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]
        skipped, failures = redis.counts.skipped, redis.counts.failures
        for _ in range(20):
            cache.apply([recorded(cache.position + 1, A)])
            assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]
        assert redis.counts.failures == failures
        assert redis.counts.skipped >= skipped + 20
    finally:
        server.thaw()
    async with asyncio.timeout(5):
        await until(lambda: redis.available)


async def test_redis_when_it_is_flushed_then_answers_stay_right_and_it_fills_again(redis: Redis) -> None:
    table = Table({A: 1})
    cache, other = await a_cache(redis), await a_cache(redis)
    await cache.many(NUMBERS, ADA, [A], table.load)
    await redis.ask(lambda client: client.flushdb())

    assert await other.many(NUMBERS, ADA, [A], table.load) == [1]
    assert await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load) == [1]
    assert table.reads == [[A], [A]]
