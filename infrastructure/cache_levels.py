"""Where the cache keeps what it has: aiocache's backends, with the bounds and the guard that they lack."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiocache.backends.memory import SimpleMemoryBackend
from aiocache.backends.redis import RedisBackend
from aiocache.serializers import NullSerializer

from infrastructure.redis import Client, Redis

Name = tuple[Any, ...]
"""A key of the memory; the first of it is the kind."""

# For each key (and behind them all, in the same order, its lock): what is there, if it was read at the position that
# is given for it or later, and for how many milliseconds it is good; else whether its lock is the caller's now. In one
# step: between a look and a lock somebody else could have read it.
_LOOK = """
local n, found = #KEYS / 2, {}
for i = 1, n do
  local text, left_ms, is_mine = redis.pcall('GET', KEYS[i]), 0, 0
  local position = type(text) == 'string' and tonumber(string.match(text, '^%[(%d+),'))
  if position and position >= tonumber(ARGV[i + 1]) then
    left_ms = redis.call('PTTL', KEYS[i])
  else
    text = false
    if redis.call('SET', KEYS[n + i], '', 'NX', 'PX', ARGV[1]) then is_mine = 1 end
  end
  found[3 * i - 2], found[3 * i - 1], found[3 * i] = text, left_ms, is_mine
end
return found
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """A value as it was when the log stood at `position`, or later; good until `expires_at` of the loop's clock."""

    value: Any
    position: int
    expires_at: float
    size: int
    """About the bytes that it takes in memory, with its key."""


@dataclass
class Room:
    """What the values of one kind take up, and how many of them had to make room for others."""

    entries: int = 0
    bytes: int = 0
    evicted: int = 0


class Memory(SimpleMemoryBackend):  # type: ignore[misc]  # reason: aiocache has no types
    """This process's memory. What was used longest ago makes room; keys are `Name`s, values `Entry`s."""

    def __init__(self, entries_max: int, bytes_max: int) -> None:
        super().__init__(serializer=NullSerializer(), key_builder=lambda key, namespace: key, timeout=0)  # noqa: ARG005 - reason: aiocache's signature
        self._cache: OrderedDict[Name, Entry] = OrderedDict()
        self._entries_max, self._bytes_max = entries_max, bytes_max
        self.bytes = 0
        self.rooms: defaultdict[str, Room] = defaultdict(Room)
        """By kind."""

    def __len__(self) -> int:
        return len(self._cache)

    @property
    def evicted(self) -> int:
        """How many had to make room."""
        return sum(room.evicted for room in self.rooms.values())

    def look(self, names: Iterable[Name]) -> list[Entry | None]:
        """What `multi_get` answers, without what aiocache does around that: it would take longer than all the rest."""
        cache, found = self._cache, []
        for name in names:
            entry = cache.get(name)
            if entry is not None:
                cache.move_to_end(name)
            found.append(entry)
        return found

    async def _multi_get(self, keys: Sequence[Name], **_: Any) -> list[Entry | None]:
        return self.look(keys)

    async def _multi_set(self, pairs: Iterable[tuple[Name, Entry]], **_: Any) -> bool:
        for name, entry in pairs:
            self._drop(name)
            if entry.size <= self._bytes_max:  # else all the others would go, and then it as well
                self._cache[name] = entry
                self._count(name, entry, 1)
        while len(self._cache) > self._entries_max or self.bytes > self._bytes_max:
            oldest = next(iter(self._cache))
            self._drop(oldest)
            self.rooms[oldest[0]].evicted += 1
        return True

    async def _clear(self, namespace: str | None = None, **_: Any) -> bool:  # noqa: ARG002 - reason: aiocache's signature
        for name in list(self._cache):
            self._drop(name)
        return True

    def _drop(self, name: Name) -> None:
        entry = self._cache.pop(name, None)
        if entry is not None:
            self._count(name, entry, -1)

    def _count(self, name: Name, entry: Entry, sign: int) -> None:
        room = self.rooms[name[0]]
        room.entries += sign
        room.bytes += sign * entry.size
        self.bytes += sign * entry.size


@dataclass(frozen=True, slots=True)
class Seen:
    """What a look at one key found: a text that is good for so long; or none, and whether the caller has its lock."""

    text: bytes | None
    left_ms: int
    is_mine: bool


class Shared(RedisBackend):  # type: ignore[misc]  # reason: likewise
    """A Redis that processes share. Keys are texts, values bytes; each call raises `RedisUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        # Not RedisBackend's own, which would open connections beside those that are guarded.
        super(RedisBackend, self).__init__(serializer=NullSerializer(), timeout=0)
        self._redis = redis

    async def look(self, keys: Sequence[str], locks: Sequence[str], least: Sequence[int], lock_ms: int) -> list[Seen]:
        """For each key what is there, read at its `least` position or later; else its lock is taken, if it is free."""

        async def work(client: Client) -> Any:
            self.client = client
            return await self._raw("eval", _LOOK, 2 * len(keys), *keys, *locks, lock_ms, *least)

        told = await self._redis.ask(work)
        return [Seen(told[i], told[i + 1], bool(told[i + 2])) for i in range(0, len(told), 3)]

    async def put(self, values: Mapping[str, tuple[bytes, int]], locks: Sequence[str]) -> None:
        """Set the values, each for so many milliseconds, and let go of locks, in one round trip."""

        async def work(client: Client) -> None:
            pipeline = client.pipeline(transaction=False)
            for key, (value, left_ms) in values.items():
                pipeline.set(key, value, px=left_ms)
            if locks:
                pipeline.delete(*locks)
            await pipeline.execute()

        await self._redis.ask(work)
