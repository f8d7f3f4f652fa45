"""Redis, for what may be lost: caches, budgets, and waking other processes. Never the truth of anything."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar, cast

import redis.asyncio as driver
import structlog
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.maint_notifications import MaintNotificationsConfig

from infrastructure.settings import Settings

Client = driver.Redis
T = TypeVar("T")

FAILURES_MAX = 3
"""So many in a row, and nobody waits for Redis any more until a probe finds it well."""
PROBE_S = 0.5
"""How long to wait between two probes, and between two tries to listen."""
SILENCE_S_MAX = 1.0
"""A listener that has heard nothing for so long asks whether the other end is still there."""

logger = structlog.get_logger(__name__)


_CLOSED = "the handler is closed"


@contextlib.contextmanager
def _closed_is_lost() -> Iterator[None]:
    """Uvloop says of a connection that was closed just now, by a bare RuntimeError, what the driver does not expect.

    Here it is said as asyncio's own loop says it.
    """
    try:
        yield
    except RuntimeError as error:
        if _CLOSED not in str(error):
            raise
        raise ConnectionResetError(str(error)) from error


class RedisUnavailable(Exception):  # noqa: N818 - reason: the name says what is wrong
    """Redis did not answer, or not in time, or is known to be gone. What was asked may have been done or not."""


@dataclass
class RedisCounts:
    """What has happened since the process began."""

    failures: int = 0
    """Calls that got no answer."""
    skipped: int = 0
    """Calls that were not made, as Redis was known to be gone."""
    outages: int = 0
    """How often it was found to be gone."""


@dataclass(frozen=True)
class Heard:
    """A message on a channel."""

    channel: str
    message: bytes


class Redis:
    """A Redis that may be gone, and never makes anybody wait for long.

    A call that gets no answer in time raises `RedisUnavailable`. After a few of those in a row the breaker opens: calls
    then fail at once, and a probe beside them finds out when Redis is back. Who keeps something in memory that messages
    keep right drops it whenever a listener is told that it began anew (`listen`).
    """

    def __init__(self, settings: Settings) -> None:
        self.counts = RedisCounts()
        self._timeout_s = settings.redis_timeout_ms / 1000
        options: dict[str, Any] = {
            "retry": Retry(NoBackoff(), 0),  # the driver's own tries wait for a minute on a Redis that is frozen
            "socket_timeout": self._timeout_s,
            "socket_connect_timeout": self._timeout_s,
            "maint_notifications_config": MaintNotificationsConfig(enabled=False),
        }
        pool = driver.BlockingConnectionPool.from_url(
            settings.redis_url, max_connections=settings.redis_pool, timeout=self._timeout_s, **options
        )
        self._client = Client(connection_pool=pool)
        self._ears = Client(connection_pool=driver.ConnectionPool.from_url(settings.redis_url, **options))
        database = pool.connection_kwargs.get("db", 0)
        self._prefix = f"tradegraph:{database}:"
        self._failed = 0
        self._probe: asyncio.Task[None] | None = None

    @property
    def available(self) -> bool:
        """Whether calls are made: it is not known to be gone."""
        return self._probe is None

    async def ask(self, work: Callable[[Client], Awaitable[T]]) -> T:
        """What `work` answers with the client it is given: one command, one pipeline or one script.

        Raises `RedisUnavailable` when there is no answer, or one that says no (it is full, read-only, starting …).
        """
        if self._probe is not None:
            self.counts.skipped += 1
            raise RedisUnavailable("Redis is gone.")
        try:
            with _closed_is_lost():
                async with asyncio.timeout(self._timeout_s):
                    answer = await work(self._client)
        except (TimeoutError, RedisError, OSError) as error:
            self._count_failure(error)
            raise RedisUnavailable("Redis does not answer.") from error
        self._failed = 0
        return answer

    async def publish(self, channel: str, message: bytes | str = b"") -> None:
        """Tell who listens on a channel just now, in any process; raises `RedisUnavailable`."""
        await self.ask(lambda client: client.publish(self._prefix + channel, message))

    async def listen(self, *channels: str) -> AsyncGenerator[Heard | None, None]:
        """The messages of channels, for as long as it is iterated, through every outage.

        Each time that listening begins, at first or anew after an outage, it says so by `None`: what was published
        before reached nobody here, so look at the truth now.
        """
        while True:
            try:
                with _closed_is_lost():
                    async with self._ears.pubsub() as ears:
                        await ears.subscribe(*(self._prefix + channel for channel in channels))
                        while True:
                            heard = await self._next(ears)
                            if heard["type"] == "message":
                                yield self._heard(heard)
                            elif heard["type"] == "subscribe" and heard["data"] == len(channels):
                                yield None
            except (RedisError, OSError, TimeoutError) as error:
                self.counts.failures += 1
                logger.warning("redis can't be listened to", channels=channels, why=str(error) or repr(error))
            await asyncio.sleep(PROBE_S)

    async def close(self) -> None:
        """End the probe, and close the connections."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait({self._probe})
            self._probe = None
        for client in (self._client, self._ears):
            with contextlib.suppress(RedisError, OSError), _closed_is_lost():
                await client.aclose()
                await client.connection_pool.disconnect()

    async def _next(self, ears: PubSub) -> dict[str, Any]:
        """What comes next; raises `TimeoutError` when the other end does not answer."""
        message = await ears.get_message(timeout=SILENCE_S_MAX)
        if message is None:
            await ears.ping()
            message = await ears.get_message(timeout=self._timeout_s)
        if message is None:
            raise TimeoutError("the other end is silent")
        return cast("dict[str, Any]", message)

    def _heard(self, message: dict[str, Any]) -> Heard:
        return Heard(message["channel"].decode().removeprefix(self._prefix), cast("bytes", message["data"]))

    def _count_failure(self, error: Exception) -> None:
        self.counts.failures += 1
        self._failed += 1
        logger.warning("redis does not answer", why=str(error) or repr(error))
        if self._failed >= FAILURES_MAX and self._probe is None:
            self.counts.outages += 1
            logger.error("redis is gone: going on without it")
            self._probe = asyncio.create_task(self._until_back(), name="redis probe")

    async def _until_back(self) -> None:
        while True:
            await asyncio.sleep(PROBE_S)
            with contextlib.suppress(RedisError, OSError, TimeoutError), _closed_is_lost():
                async with asyncio.timeout(self._timeout_s):
                    await self._client.ping()
                break
        self._failed = 0
        self._probe = None
        logger.warning("redis is back")
