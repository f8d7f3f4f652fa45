import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
import uvloop
from pydantic import ValidationError

from infrastructure.redis import FAILURES_MAX, Client, Heard, Redis, RedisUnavailable
from infrastructure.settings import Settings
from tests.support.redis_server import RedisServer
from tests.support.wait import until

BACK_S_MAX = 5.0
PATIENT_MS = 5000
"""As long as Redis may take where it is there, so that a busy machine is not an outage."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def redis(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=500))
    yield redis
    await redis.close()


@pytest.fixture
async def patient(server: RedisServer) -> AsyncIterator[Redis]:
    redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=PATIENT_MS))
    yield redis
    await redis.close()


async def lost(redis: Redis) -> float:
    """Ask in vain; how long that took."""
    began = time.monotonic()
    with pytest.raises(RedisUnavailable):
        await redis.ask(Client.ping)
    return time.monotonic() - began


def lost_at_once(redis: Redis) -> None:
    """Ask in vain, and not wait for anything, be it for an instant."""
    with pytest.raises(RedisUnavailable):
        redis.ask(Client.ping).send(None)


async def back_s(redis: Redis) -> float:
    began = time.monotonic()
    await until(lambda: redis.available)
    assert await redis.ask(Client.ping)
    return time.monotonic() - began


async def test_ask_when_redis_is_there_then_it_answers(patient: Redis) -> None:
    await patient.ask(lambda client: client.set("a", "1"))
    assert await patient.ask(lambda client: client.get("a")) == b"1"
    assert (patient.counts.failures, patient.counts.outages) == (0, 0)


async def test_ask_when_more_come_at_once_than_there_are_connections_then_all_are_answered(patient: Redis) -> None:
    assert await asyncio.gather(*(patient.ask(Client.ping) for _ in range(200))) == [True] * 200


async def just_closed(client: Client) -> Any:
    """Use a connection that was closed before the driver has learned of it."""
    pool = client.connection_pool
    connection: Any = await pool.get_connection()  # type: ignore[no-untyped-call]
    try:
        connection._writer.transport.abort()
        return await connection.send_command("PING")
    finally:
        await pool.release(connection)


def test_ask_when_uvloop_finds_the_connection_closed_then_redis_does_not_answer(server: RedisServer) -> None:
    async def asked() -> None:
        redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=PATIENT_MS))
        try:
            with pytest.raises(RedisUnavailable) as raised:
                await redis.ask(just_closed)
            assert isinstance(raised.value.__cause__, ConnectionResetError)
            assert await redis.ask(Client.ping)
            assert (redis.counts.failures, redis.counts.outages) == (1, 0)
        finally:
            await redis.close()

    uvloop.run(asked())  # on which servers run


async def test_ask_when_what_is_asked_fails_by_itself_then_that_is_raised(patient: Redis) -> None:
    async def work(_client: Client) -> None:
        raise RuntimeError("of the work's own")

    with pytest.raises(RuntimeError, match="of the work's own"):
        await patient.ask(work)
    assert patient.counts.failures == 0


async def test_ask_when_redis_is_dead_then_three_failures_open_the_breaker_and_the_rest_do_not_wait(
    redis: Redis, server: RedisServer
) -> None:
    await redis.ask(Client.ping)
    server.kill()
    for _ in range(FAILURES_MAX):
        assert redis.available
        await lost(redis)
    assert not redis.available
    for _ in range(20):
        lost_at_once(redis)
    assert (redis.counts.failures, redis.counts.skipped, redis.counts.outages) == (3, 20, 1)
    server.start()
    assert await back_s(redis) < BACK_S_MAX
    assert redis.counts.outages == 1


async def test_ask_when_redis_is_frozen_then_nobody_waits_long_and_thawed_it_is_back(
    redis: Redis, server: RedisServer
) -> None:
    await redis.ask(lambda client: client.set("a", "1"))
    server.freeze()
    assert max(await asyncio.gather(*(lost(redis) for _ in range(40)))) < 2
    assert not redis.available
    lost_at_once(redis)
    server.thaw()
    assert await back_s(redis) < BACK_S_MAX
    assert await redis.ask(lambda client: client.get("a")) == b"1"


async def test_ask_when_redis_is_restarted_between_two_calls_then_the_second_is_answered(
    patient: Redis, server: RedisServer
) -> None:
    await asyncio.gather(*(patient.ask(Client.ping) for _ in range(8)))
    await asyncio.to_thread(server.restart)  # meanwhile the loop learns that the connections are cut
    assert await asyncio.gather(*(patient.ask(Client.ping) for _ in range(8))) == [True] * 8


async def test_ask_when_the_answer_says_no_then_that_is_unavailable_too(patient: Redis) -> None:
    await patient.ask(lambda client: client.set("text", "1"))
    with pytest.raises(RedisUnavailable):
        await patient.ask(lambda client: client.hgetall("text"))
    assert patient.counts.failures == 1
    assert await patient.ask(Client.ping)


async def test_listen_when_a_message_is_published_then_it_is_heard_after_the_beginning(patient: Redis) -> None:
    async with aclosing(patient.listen("wake", "drop")) as heard:
        assert await anext(heard) is None
        await patient.publish("drop", b"user:1")
        await patient.publish("elsewhere")
        await patient.publish("wake")
        assert await anext(heard) == Heard("drop", b"user:1")
        assert await anext(heard) == Heard("wake", b"")


@pytest.mark.parametrize("how", ["dead", "frozen"])
async def test_listen_when_redis_was_gone_then_it_says_that_it_begins_anew(
    redis: Redis, server: RedisServer, how: str
) -> None:
    async with aclosing(redis.listen("wake")) as heard:
        assert await anext(heard) is None
        server.freeze() if how == "frozen" else server.kill()
        waiting = asyncio.create_task(anext(heard))
        await until(lambda: redis.counts.failures > 0)
        server.thaw() if how == "frozen" else server.start()
        async with asyncio.timeout(BACK_S_MAX):
            assert await waiting is None
            await redis.publish("wake", b"1")
            assert await anext(heard) == Heard("wake", b"1")


async def test_listen_when_nothing_is_said_for_long_then_it_goes_on_listening(
    patient: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infrastructure.redis.SILENCE_S_MAX", 0.01)
    async with aclosing(patient.listen("wake")) as heard:
        assert await anext(heard) is None
        waiting = asyncio.create_task(anext(heard))
        pings = await patient.ask(lambda client: client.info("commandstats"))
        while pings.get("cmdstat_ping", {}).get("calls", 0) < 20:
            pings = await patient.ask(lambda client: client.info("commandstats"))
        assert not waiting.done()
        await patient.publish("wake", b"1")
        assert await waiting == Heard("wake", b"1")
    assert patient.counts.failures == 0


def test_settings_when_the_url_is_of_something_else_then_it_is_refused() -> None:
    with pytest.raises(ValidationError, match="redis://"):
        Settings(redis_url="http://localhost:6379")


async def test_fixture_when_used_then_its_database_is_empty(redis_url: str) -> None:
    redis = Redis(Settings(redis_url=redis_url, redis_timeout_ms=PATIENT_MS))
    assert await redis.ask(lambda client: client.dbsize()) == 0
    await redis.close()
