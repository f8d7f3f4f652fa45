"""The cache of what is only shown: this process's memory, then a Redis if there is one, then one reading for the rest.

It is right by the log's positions and nothing else. An entry knows the position at which its reading began; the cache
knows, for each tag, the position of the last event that changed something under it. An entry whose tags have changed
since it was read is not used, in whichever level it is and however late it got there: so a reading that raced a change
is thrown away, and no message between processes has to arrive.
"""

import asyncio
import contextlib
from collections import OrderedDict, defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import orjson

from infrastructure.cache_levels import Entry, Memory, Shared
from infrastructure.database import Database, DatabaseUnavailable
from infrastructure.redis import Redis, RedisUnavailable
from infrastructure.relay import Relay
from infrastructure.settings import Settings
from models.events import Event, RecordedEvent
from models.payloads import reader, written

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

Tag = tuple[str, Hashable]
"""Something that events change: ("portfolio", its id)."""
Load = Callable[[Sequence[K]], Awaitable[Sequence[V]]]
Tagging = Callable[[Event | RecordedEvent], Iterable[Tag]]

TAGS_MAX = 100_000
"""Tags whose last change is remembered. For any other, all that was read before the oldest of them is not used."""
LOCK_MS = 2000
"""How long other processes wait for the one that reads a value before they read it as well."""
POLL_S = 0.01
KEY_BYTES_MAX = 1024
"""What is asked for by a longer key is not kept: whoever asks could fill the memory with keys."""
LEAF_BYTES = 40
"""About what one field of a dataclass takes as JSON."""


@dataclass(frozen=True)
class Kind(Generic[K, V]):
    """One kind of cached values.

    `of` is the type of a value, which JSON is read back into; `tags` says what changes the value of an owner's key;
    `keep` which values may be kept at all. A `shared` kind is the same for every caller, any other is each one's own.
    """

    name: str
    of: Any
    ttl_s: float
    tags: Callable[[Hashable, K], Iterable[Tag]] = lambda _owner, _key: ()
    keep: Callable[[V], bool] = lambda _value: True
    shared: bool = False
    if_error: bool = False
    """Whether a value that is too old is better than none while the database can't be reached: of market data."""


@dataclass
class Counts:
    """What became of the values of one kind that were asked for."""

    memory: int = 0
    redis: int = 0
    loaded: int = 0
    passed: int = 0
    """Read past the cache: this process was behind what the caller had done elsewhere."""


class Cache:
    """Both levels of one process. `position` is up to where it has applied the log."""

    def __init__(self, settings: Settings, redis: Redis | None, tags_of: Tagging) -> None:
        self.counts: defaultdict[str, Counts] = defaultdict(Counts)
        self.memory = Memory(settings.cache_entries, settings.cache_bytes)
        self.position = 0
        self._epoch = ""
        self._on = settings.cache
        self._shared = None if redis is None else Shared(redis)
        self._tags_of = tags_of
        self._changed: OrderedDict[Tag, int] = OrderedDict()
        self._floor = 0
        self._flying: dict[Hashable, asyncio.Future[Entry | None]] = {}
        self._letting_go: set[asyncio.Task[None]] = set()

    def follow(self, relay: Relay, database: Database) -> None:
        """Be kept right by these from now on."""
        relay.appliers.append(self)
        database.listeners.append(self.committed)

    async def begin(self, epoch: str, position: int) -> None:
        """Know nothing of before `position` of the log `epoch`."""
        await self.memory.clear()
        self._changed.clear()
        self._epoch, self.position, self._floor = epoch, position, position

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        """The log has gone on by these events."""
        for event in events:
            self._touch(event, event.seq)
        self.position = events[-1].seq

    def committed(self, events: Sequence[Event], position: int) -> None:
        """This process has written these events, the last of them at `position`: its own callers see so at once."""
        for event in events:
            self._touch(event, position)

    def _touch(self, event: Event | RecordedEvent, position: int) -> None:
        for tag in self._tags_of(event):
            if self._changed.get(tag, -1) < position:
                self._changed[tag] = position
                self._changed.move_to_end(tag)
        while len(self._changed) > TAGS_MAX:
            _, oldest = self._changed.popitem(last=False)
            self._floor = max(self._floor, oldest)

    async def many(
        self,
        kind: Kind[K, V],
        owner: Hashable,
        keys: Sequence[K],
        load: Load[K, V],
        least: int | None = 0,
    ) -> list[V]:
        """The value of each key, in their order; `load` reads those that are not kept, together.

        None of them is older than `position` was when it was called, nor than `least`: while this process has not come
        that far (none: it is not known how far it has to), everything is read.
        """
        counts = self.counts[kind.name]
        if not self._on:
            return list(await load(keys))
        if least is None or least > self.position:
            counts.passed += len(keys)
            return list(await load(keys))
        lookup = _Lookup(kind, None if kind.shared else owner, self._epoch)
        kept: list[Entry | None] = await self.memory.multi_get([lookup.local(key) for key in keys])
        found = {
            key: entry.value
            for key, entry in zip(keys, kept, strict=True)
            if entry is not None and self._stands(lookup, key, entry)
        }
        counts.memory += len(found)
        if missing := [key for key in keys if key not in found]:
            found |= await self._together(lookup, missing, load, dict(zip(keys, kept, strict=True)))
        return [found[key] for key in keys]

    def _stands(self, lookup: "_Lookup[K, V]", key: K, entry: Entry) -> bool:
        """Whether nothing has changed it, and its time has not come."""
        return entry.expires_at > _now() and self._unchanged(lookup, key, entry.position)

    def _unchanged(self, lookup: "_Lookup[K, V]", key: K, since: int) -> bool:
        return self._floor <= since and all(
            self._changed.get(tag, 0) <= since for tag in lookup.kind.tags(lookup.owner, key)
        )

    async def _together(
        self,
        lookup: "_Lookup[K, V]",
        missing: list[K],
        load: Load[K, V],
        kept: dict[K, Entry | None],
    ) -> dict[K, V]:
        """What this process is not reading already is read here; then what others have read is taken, if it stands."""
        theirs = {key: flight for key in missing if (flight := self._flying.get(lookup.local(key))) is not None}
        mine = [key for key in missing if key not in theirs]
        found = await self._fly(lookup, mine, load, kept) if mine else {}
        for key, flight in theirs.items():
            entry = await asyncio.shield(flight)
            if entry is not None and self._stands(lookup, key, entry):
                self.counts[lookup.kind.name].memory += 1
                found[key] = entry.value
        if left := [key for key in theirs if key not in found]:
            self.counts[lookup.kind.name].loaded += len(left)
            found |= zip(left, await load(left), strict=True)
        return found

    async def _fly(
        self, lookup: "_Lookup[K, V]", keys: list[K], load: Load[K, V], kept: dict[K, Entry | None]
    ) -> dict[K, V]:
        loop = asyncio.get_running_loop()
        flights = {key: loop.create_future() for key in keys}
        self._flying |= {lookup.local(key): flight for key, flight in flights.items()}
        entries: dict[K, Entry] = {}
        locked: list[K] = []
        try:
            entries = await self._from_redis(lookup, [key for key in keys if lookup.is_kept(key)], locked)
            if rest := [key for key in keys if key not in entries]:
                entries |= await self._load(lookup, rest, load)
                locked.clear()
        except DatabaseUnavailable:
            entries |= {key: old for key in keys if lookup.kind.if_error and (old := kept.get(key)) is not None}
            if len(entries) < len(keys):
                raise
        finally:
            if locked:  # cancelled, or nothing could be read: others need not wait
                self._let_go(lookup, locked)
            for key, flight in flights.items():
                del self._flying[lookup.local(key)]
                flight.set_result(entries.get(key))
        return {key: entry.value for key, entry in entries.items()}

    async def _load(self, lookup: "_Lookup[K, V]", keys: list[K], load: Load[K, V]) -> dict[K, Entry]:
        kind, position = lookup.kind, self.position  # the position first: what is read may be younger, never older
        values = dict(zip(keys, await load(keys), strict=True))
        self.counts[kind.name].loaded += len(keys)
        kept = {key: value for key, value in values.items() if kind.keep(value) and lookup.is_kept(key)}
        texts: dict[K, bytes] = {}
        if self._shared is not None:
            texts = {key: orjson.dumps([position, written(value)]) for key, value in kept.items()}
        entries = {key: Entry(value, position, _now() + kind.ttl_s, 0) for key, value in values.items()}
        for key, value in kept.items():
            size = lookup.key_bytes(key) + (len(texts.get(key, b"")) or _roughly(value))
            entries[key] = replace(entries[key], size=size)
        await self.memory.multi_set([(lookup.local(key), entries[key]) for key in kept])
        await self._put(lookup, texts, keys)
        return entries

    async def _put(self, lookup: "_Lookup[K, V]", texts: dict[K, bytes], keys: list[K]) -> None:
        """Give other processes what was read, and no longer have them wait for it."""
        if self._shared is None:
            return
        values = {lookup.shared(key): text for key, text in texts.items()}
        locks = [lookup.lock(key) for key in keys if lookup.is_kept(key)]
        with contextlib.suppress(RedisUnavailable):
            await self._shared.put(values, lookup.kind.ttl_s, locks)

    def _let_go(self, lookup: "_Lookup[K, V]", keys: list[K]) -> None:
        task = asyncio.create_task(self._put(lookup, {}, [*keys]))
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)

    async def _from_redis(self, lookup: "_Lookup[K, V]", keys: list[K], locked: list[K]) -> dict[K, Entry]:
        """What is there, or comes there while other processes read it; `locked` gets what is for this one to read."""
        found: dict[K, Entry] = {}
        if self._shared is None or not keys:
            return found
        with contextlib.suppress(RedisUnavailable):
            found, _ = await self._look(self._shared, lookup, keys)
            waiting = [key for key in keys if key not in found]
            if waiting:
                mine = await self._shared.add_each([lookup.lock(key) for key in waiting], LOCK_MS)
                locked += [key for key, is_mine in zip(waiting, mine, strict=True) if is_mine]
                waiting = [key for key in waiting if key not in locked]
            while waiting:
                await asyncio.sleep(POLL_S)
                more, waiting = await self._look(self._shared, lookup, waiting)
                found |= more
        self.counts[lookup.kind.name].redis += len(found)
        return found

    async def _look(self, shared: Shared, lookup: "_Lookup[K, V]", keys: list[K]) -> tuple[dict[K, Entry], list[K]]:
        """What is there and stands, and the keys of the rest that some process is reading."""
        names = [*map(lookup.shared, keys), *map(lookup.lock, keys)]
        texts: list[bytes | None] = await shared.multi_get(names)
        found: dict[K, Entry] = {}
        for key, text in zip(keys, texts, strict=False):
            if text is not None:
                position, value = orjson.loads(text)
                # What another version of the program has put there may not be what this one can read.
                with contextlib.suppress(TypeError, ValueError, ArithmeticError):
                    if self._unchanged(lookup, key, position):
                        size = lookup.key_bytes(key) + len(text)
                        found[key] = Entry(lookup.read(value), position, _now() + lookup.kind.ttl_s, size)
        await self.memory.multi_set((lookup.local(key), entry) for key, entry in found.items())
        locked = [key for key, lock in zip(keys, texts[len(keys) :], strict=True) if lock is not None]
        return found, [key for key in locked if key not in found]


class _Lookup(Generic[K, V]):
    """Values of one kind, for one caller: how their keys are said in either level."""

    def __init__(self, kind: Kind[K, V], owner: Hashable, epoch: str) -> None:
        self.kind, self.owner = kind, owner
        self.read = reader(kind.of)
        self._prefix = f"tradegraph:{epoch}:{kind.name}:{owner}:"

    def local(self, key: K) -> Hashable:
        return self.kind.name, self.owner, key

    def shared(self, key: K) -> str:
        return self._prefix + orjson.dumps(written(key)).decode()

    def key_bytes(self, key: K) -> int:
        return len(self.shared(key))

    def is_kept(self, key: K) -> bool:
        return self.key_bytes(key) <= KEY_BYTES_MAX

    def lock(self, key: K) -> str:
        return self.shared(key) + ":reading"


def _now() -> float:
    return asyncio.get_running_loop().time()


def _roughly(value: Any) -> int:
    """About how many bytes it is as JSON, without writing it."""
    if isinstance(value, list | tuple):
        return LEAF_BYTES + sum(map(_roughly, value))
    return LEAF_BYTES * len(getattr(type(value), "__dataclass_fields__", "1"))
