import asyncio
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from decimal import Decimal
from uuid import UUID

import pytest

from infrastructure.cache import WAIT_S, Cache, Kind, _Lookup
from infrastructure.database import DatabaseUnavailable
from infrastructure.redis import Redis
from infrastructure.settings import Settings
from models.marketdata import Quote
from tests.support.caches import ADA, BOB, EPOCH, NUMBERS, A, B, Table, a_cache, recorded
from tests.support.clock import START
from tests.support.cold_key import CALLERS
from tests.support.redis_server import RedisServer
from tests.support.wait import until

PROCESSES, ROUNDS = 4, 10
BACK_S_MAX = 5.0
UNHURRIED_S = 60
PATIENT_MS = 5000
"""As long as Redis may take where it is there, so that a busy machine is not an outage."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=PATIENT_MS))
    await redis.ask(lambda client: client.flushdb())
    yield redis
    await redis.close()


@pytest.fixture
async def hasty(server: RedisServer, redis: Redis) -> AsyncIterator[Redis]:  # noqa: ARG001 - reason: it is empty then
    """For what is seen while Redis is gone."""
    hasty = Redis(Settings(redis_url=server.url, redis_timeout_ms=500))
    yield hasty
    await hasty.close()


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
    quotes: Kind[str, tuple[Quote, ...]] = Kind("quotes", tuple[Quote, ...], 60, shared=True)

    async def load(_keys: Sequence[str]) -> list[tuple[Quote, ...]]:
        return [(QUOTE,)]

    async def fail(_keys: Sequence[str]) -> list[tuple[Quote, ...]]:
        raise AssertionError

    first, second = await a_cache(redis), await a_cache(redis)
    await first.many(quotes, None, ["AAPL"], load)

    assert await second.many(quotes, None, ["AAPL"], fail) == [(QUOTE,)]
    assert await second.many(quotes, None, ["AAPL"], fail) == [(QUOTE,)]
    assert vars(second.counts["quotes"]) == {"memory": 1, "redis": 1, "loaded": 0, "passed": 0, "stale": 0}


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


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes wait for each other as long as it takes on a busy machine."""
    monkeypatch.setattr("infrastructure.cache.WAIT_S", UNHURRIED_S)
    monkeypatch.setattr("infrastructure.cache.LOCK_MS", UNHURRIED_S * 1000)


@pytest.mark.usefixtures("unhurried")
async def test_redis_when_another_process_is_reading_then_this_one_waits_for_that(redis: Redis) -> None:
    first, second, table = await a_cache(redis), await a_cache(redis), Table({A: 1}, gate=asyncio.Event())
    reading = asyncio.create_task(first.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    waiting = asyncio.create_task(second.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: second._flights.get((NUMBERS.name, ADA, A)))

    table.open()

    assert [await reading, await waiting] == [[1], [1]]
    assert table.reads == [[A]]


@pytest.mark.usefixtures("unhurried")
async def test_redis_when_two_processes_ask_for_the_same_in_another_order_then_neither_waits_for_the_other_in_vain(
    redis: Redis, server: RedisServer
) -> None:
    elsewhere = Redis(Settings(redis_url=server.url, redis_timeout_ms=PATIENT_MS))
    first, second, many = await a_cache(redis), await a_cache(elsewhere), [UUID(int=number) for number in range(400)]
    table = Table(dict.fromkeys(many, 1))

    async with asyncio.timeout(UNHURRIED_S / 2):
        await asyncio.gather(
            first.many(NUMBERS, ADA, many, table.load),
            second.many(NUMBERS, ADA, many[200:], table.load),
            second.many(NUMBERS, BOB, many, table.load),
            first.many(NUMBERS, BOB, many[:200][::-1], table.load),
        )

    assert sum(map(len, table.reads)) == 800
    await elsewhere.close()


@pytest.mark.usefixtures("unhurried")
@pytest.mark.parametrize("how", ["cancelled", "failed"])
async def test_redis_when_who_was_reading_is_cancelled_or_fails_then_nobody_waits_for_it(
    redis: Redis, how: str
) -> None:
    first, second, table = await a_cache(redis), await a_cache(redis), Table({A: 1}, gate=asyncio.Event())
    reading = asyncio.create_task(first.many(NUMBERS, ADA, [A], table.load))
    await until(lambda: table.reads)
    if how == "cancelled":
        reading.cancel()
    else:
        table.error = DatabaseUnavailable("gone")
    table.open()
    await asyncio.wait([reading])

    assert await redis.ask(lambda client: client.keys("*:reading")) == []
    table.error = None
    assert await second.many(NUMBERS, ADA, [A], table.load) == [1]


async def test_redis_when_who_was_reading_was_killed_then_the_others_read_it_after_a_short_wait(redis: Redis) -> None:
    cache, table = await a_cache(redis), Table({A: 1, B: 2})
    lock = _Lookup(NUMBERS, ADA, EPOCH).lock(A)
    await redis.ask(lambda client: client.set(lock, b"", px=UNHURRIED_S * 1000))

    async with asyncio.timeout(UNHURRIED_S / 2):
        assert await cache.many(NUMBERS, ADA, [A, B], table.load) == [1, 2]

    assert table.reads == [[B], [A]]  # what nobody else reads is not kept waiting
    assert await redis.ask(lambda client: client.exists(lock))
    assert WAIT_S <= 0.2


@pytest.mark.parametrize(
    "text", [b"", b"garbage", b"7", b"null", b"{}", b"[1,2,3]", b"[0]", b'["0",1]', b'[0,"a"', b'[0,{"number":"a"}]']
)
async def test_redis_when_what_is_there_cannot_be_read_then_it_is_read_again_and_put_right(
    redis: Redis, text: bytes
) -> None:
    amounts: Kind[UUID, Decimal] = Kind("amounts", Decimal, 60, shared=True)
    reads = []

    async def load(keys: Sequence[UUID]) -> list[Decimal]:
        reads.append(keys)
        return [Decimal("1.5") for _ in keys]

    name = _Lookup(amounts, None, EPOCH).shared(A)
    await redis.ask(lambda client: client.set(name, text))

    assert await (await a_cache(redis)).many(amounts, None, [A], load) == [Decimal("1.5")]
    assert await (await a_cache(redis)).many(amounts, None, [A], load) == [Decimal("1.5")]
    assert len(reads) == 1


async def test_redis_when_another_kind_of_thing_has_its_name_then_it_is_read_again(redis: Redis) -> None:
    table, name = Table({A: 1}), _Lookup(NUMBERS, ADA, EPOCH).shared(A)
    await redis.ask(lambda client: client.rpush(name, b"a"))

    assert await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load) == [1]
    assert redis.counts.failures == 0


async def test_redis_when_a_value_has_been_there_for_a_while_then_it_is_good_for_the_rest_of_its_time(
    redis: Redis,
) -> None:
    table, loop = Table({A: 1}), asyncio.get_running_loop()
    await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load)
    name = _Lookup(NUMBERS, ADA, EPOCH).shared(A)
    assert 0 < await redis.ask(lambda client: client.pttl(name)) <= NUMBERS.ttl_s * 1000
    await redis.ask(lambda client: client.pexpire(name, 20_000))  # as if it had come 40 s ago
    later = await a_cache(redis)

    assert await later.many(NUMBERS, ADA, [A], table.load) == [1]

    [entry] = later.memory.look([(NUMBERS.name, ADA, A)])
    assert entry is not None
    assert entry.expires_at <= loop.time() + 20
    assert table.reads == [[A]]


@pytest.mark.usefixtures("unhurried")
async def test_redis_when_processes_ask_for_a_cold_key_one_just_after_the_other_then_it_is_read_once(
    server: RedisServer,
) -> None:
    connections = [Redis(Settings(redis_url=server.url, redis_timeout_ms=PATIENT_MS)) for _ in range(PROCESSES)]
    for number in range(50):
        key, table = UUID(int=1000 + number), Table()
        caches = [await a_cache(redis) for redis in connections]

        async def ask(cache: Cache, turns: int, key: UUID = key, table: Table = table) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            await cache.many(NUMBERS, ADA, [key], table.load)

        await asyncio.gather(*(ask(cache, place * (number % 10)) for place, cache in enumerate(caches)))
        assert table.reads == [[key]]
    for redis in connections:
        await redis.close()


async def test_redis_when_four_processes_ask_for_a_cold_key_twenty_times_each_then_it_is_read_once(
    redis: Redis, server: RedisServer
) -> None:
    command = [sys.executable, "-m", "tests.support.cold_key", server.url, str(PROCESSES), str(ROUNDS)]
    running = [await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE) for _ in range(PROCESSES)]
    said = [(await process.communicate())[0] for process in running]

    assert [text.decode().split() for text in said] == [["7"] * CALLERS * ROUNDS] * PROCESSES
    counts = await redis.ask(lambda client: client.mget(f"read {number}" for number in range(ROUNDS)))
    assert counts == [b"1"] * ROUNDS


async def outage(cache: Cache, redis: Redis, table: Table) -> None:
    """Ask until it is known that Redis is gone, and then on: nobody waits for it any more, nor tries to."""
    while redis.available:
        cache.apply([recorded(cache.position + 1, B)])
        assert await cache.many(NUMBERS, ADA, [B], table.load) == [table.numbers[B]]
    skipped, failures = redis.counts.skipped, redis.counts.failures
    for number in range(20):
        table.numbers[B] = number
        cache.apply([recorded(cache.position + 1, B)])
        assert await cache.many(NUMBERS, ADA, [B], table.load) == [number]
    assert redis.counts.failures == failures
    assert redis.counts.skipped >= skipped + 20


async def test_redis_when_it_dies_then_answers_stay_right_and_soon_nobody_waits_for_it(
    hasty: Redis, server: RedisServer
) -> None:
    cache, table = await a_cache(hasty), Table({A: 1, B: 2})
    await cache.many(NUMBERS, ADA, [A], table.load)
    server.kill()
    try:
        table.numbers[A] = 5
        cache.apply([recorded(1, A)])
        assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
        assert await cache.many(NUMBERS, ADA, [A], table.load) == [5]
        await outage(cache, hasty, table)
    finally:
        server.start()
    async with asyncio.timeout(BACK_S_MAX):
        await until(lambda: hasty.available)


async def test_redis_when_it_is_frozen_then_soon_nobody_waits_for_it_and_thawed_it_is_used_again(
    hasty: Redis, server: RedisServer
) -> None:
    cache, table = await a_cache(hasty), Table({A: 1, B: 2})
    server.freeze()
    try:
        await outage(cache, hasty, table)
    finally:
        server.thaw()
    async with asyncio.timeout(BACK_S_MAX):
        await until(lambda: hasty.available)


async def test_redis_when_it_was_gone_and_is_back_then_it_is_filled_and_used_again(
    redis: Redis, server: RedisServer
) -> None:
    cache, table = await a_cache(redis), Table({A: 1})
    await cache.many(NUMBERS, ADA, [A], table.load)
    await asyncio.to_thread(server.restart)
    cache.apply([recorded(1, A)])
    assert await cache.many(NUMBERS, ADA, [A], table.load) == [1]

    later = await a_cache(redis, position=1)

    assert await later.many(NUMBERS, ADA, [A], table.load) == [1]
    assert later.counts["numbers"].redis == 1


async def test_redis_when_it_is_flushed_then_answers_stay_right_and_it_fills_again(redis: Redis) -> None:
    table = Table({A: 1})
    cache, other = await a_cache(redis), await a_cache(redis)
    await cache.many(NUMBERS, ADA, [A], table.load)
    await redis.ask(lambda client: client.flushdb())

    assert await other.many(NUMBERS, ADA, [A], table.load) == [1]
    assert await (await a_cache(redis)).many(NUMBERS, ADA, [A], table.load) == [1]
    assert table.reads == [[A], [A]]
