"""Where the cache keeps what it has: aiocache's backends, with the bounds and the guard that they lack."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiocache.backends.memory import SimpleMemoryBackend
from aiocache.backends.redis import RedisBackend
from aiocache.serializers import NullSerializer

from infrastructure.redis import Client, Redis

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it was when the log stood at `position`, or later; good until `expires_at` of the loop's clock."""

    value: Any
    position: int
    expires_at: float
    size: int
    """Its bytes as JSON."""


class Memory(SimpleMemoryBackend):  # type: ignore[misc]  # reason: aiocache has no types
    """This process's memory. What was used longest ago makes room; keys are tuples, values `Entry`s."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        super().__init__(serializer=NullSerializer(), key_builder=lambda key, namespace: key, timeout=0)  # noqa: ARG005 - reason: aiocache's signature
        self._cache: Any = OrderedDict()
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self.bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._cache)

    async def _multi_get(self, keys: Sequence[Hashable], **_: Any) -> list[Entry | None]:
        found = [self._cache.get(key) for key in keys]
        for key, entry in zip(keys, found, strict=True):
            if entry is not None:
                self._cache.move_to_end(key)
        return found

    async def _multi_set(self, pairs: Iterable[tuple[Hashable, Entry]], **_: Any) -> bool:
        for key, entry in pairs:
            before = self._cache.pop(key, None)
            self.bytes += entry.size - (before.size if before else 0)
            self._cache[key] = entry
        while len(self._cache) > self._entries_max or self.bytes > self._bytes_max:
            _, oldest = self._cache.popitem(last=False)
            self.bytes -= oldest.size
            self.evicted += 1
        return True

    async def _clear(self, namespace: str | None = None, **_: Any) -> bool:  # noqa: ARG002 - reason: aiocache's signature
        self._cache.clear()
        self.bytes = 0
        return True


class Shared(RedisBackend):  # type: ignore[misc]  # reason: likewise
    """A Redis that processes share. Keys are texts, values bytes; each call raises `RedisUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        # Not RedisBackend's own, which would open connections beside those that are guarded.
        super(RedisBackend, self).__init__(serializer=NullSerializer(), timeout=0)
        self._redis = redis

    async def _multi_get(self, keys: Sequence[str], **_: Any) -> list[bytes | None]:
        return await self._guarded(lambda: RedisBackend._multi_get(self, keys, encoding=None))  # noqa: SLF001 - reason: aiocache has subclasses do so

    async def put(self, values: Mapping[str, bytes], ttl_s: float, locks: Sequence[str]) -> None:
        """Set the values, and let go of locks, in one round trip."""

        async def work(client: Client) -> None:
            pipeline = client.pipeline(transaction=False)
            for key, value in values.items():
                pipeline.set(key, value, px=round(ttl_s * 1000))
            if locks:
                pipeline.delete(*locks)
            await pipeline.execute()

        await self._redis.ask(work)

    async def add_each(self, locks: Sequence[str], ttl_ms: int) -> list[bool]:
        """Take each lock that nobody has, in one round trip; which ones were taken."""

        async def work(client: Client) -> list[bool]:
            pipeline = client.pipeline(transaction=False)
            for lock in locks:
                pipeline.set(lock, b"", nx=True, px=ttl_ms)
            return [bool(done) for done in await pipeline.execute()]

        return await self._redis.ask(work)

    async def _guarded(self, work: Callable[[], Awaitable[T]]) -> T:
        async def with_client(client: Client) -> T:
            self.client = client
            return await work()

        return await self._redis.ask(with_client)
