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
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

import orjson

from infrastructure.cache_flights import Flights
from infrastructure.cache_levels import Entry, Memory, Seen, Shared
from infrastructure.cache_values import ENTRY_BYTES, bytes_of, refuse_mutable
from infrastructure.database import Database
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
"""How long a process that reads a value for all has it to itself, if it does not let go before."""
WAIT_S = 0.2
"""How long the others wait for it before they read the value as well."""
POLL_S = 0.01
PATIENCE_S = 0.5
"""How long a reading is waited for, where a value that is too old is better than none."""
KEY_BYTES_MAX = 1024
"""What is asked for by a longer key is not kept: whoever asks could fill the memory with keys."""
_UNREADABLE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


@dataclass(frozen=True)
class Kind(Generic[K, V]):
    """One kind of cached values.

    `of` is the type of a value, which JSON is read back into, and which nobody can change: all callers are handed the
    same one. `tags` says what changes the value of an owner's key; `keep` which values may be kept at all. A `shared`
    kind is the same for every caller, any other is each one's own.
    """

    name: str
    of: Any
    ttl_s: float
    tags: Callable[[Hashable, K], Iterable[Tag]] = lambda _owner, _key: ()
    keep: Callable[[V], bool] = lambda _value: True
    shared: bool = False
    if_error: bool = False
    """Whether a value that is too old is better than none while the database can't be reached: of market data."""

    def __post_init__(self) -> None:
        refuse_mutable(self.of)


@dataclass
class Counts:
    """What became of the values of one kind that were asked for."""

    memory: int = 0
    redis: int = 0
    loaded: int = 0
    passed: int = 0
    """Read past the cache: this process was behind what the caller had done elsewhere."""
    stale: int = 0
    """Shown although too old, as the database did not answer, or not soon."""


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
        self._flights = Flights(settings.operation_ms / 1000)

    def follow(self, relay: Relay, database: Database) -> None:
        """Be kept right by these from now on."""
        relay.appliers.append(self)
        database.listeners.append(self.committed)

    async def stop(self) -> None:
        """Give up what is being read."""
        await self._flights.stop()

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
        that far (none: it is not known how far it has to), everything is read, but for what no caller can change.
        """
        counts = self.counts[kind.name]
        if not self._on:
            return list(await load(keys))
        if (least is None or least > self.position) and not kind.if_error:
            counts.passed += len(keys)
            return list(await load(keys))
        lookup = _Lookup(kind, None if kind.shared else owner, self._epoch)
        kept = dict(zip(keys, self.memory.look(map(lookup.local, keys)), strict=True))
        now = _now()
        found = {
            key: entry.value
            for key, entry in kept.items()
            if entry is not None and entry.expires_at > now and self._unchanged(lookup, key, entry.position)
        }
        counts.memory += len(found)
        if missing := [key for key in keys if key not in found]:
            found |= await self._together(lookup, missing, load, kept)
        return [found[key] for key in keys]

    def _unchanged(self, lookup: "_Lookup[K, V]", key: K, since: int) -> bool:
        if since < self._floor:
            return False
        changed = self._changed
        for tag in lookup.kind.tags(lookup.owner, key):  # noqa: SIM110 - reason: every hit comes this way
            if changed.get(tag, 0) > since:
                return False
        return True

    def _least(self, lookup: "_Lookup[K, V]", key: K) -> int:
        """The position of its last change, as far as that is remembered."""
        tags = lookup.kind.tags(lookup.owner, key)
        return max(self._floor, *(self._changed.get(tag, 0) for tag in tags), 0)

    async def _together(
        self, lookup: "_Lookup[K, V]", missing: list[K], load: Load[K, V], kept: dict[K, Entry | None]
    ) -> dict[K, V]:
        """What nobody is reading already is read from here on; what others are reading is taken, if it stands."""
        flights = {key: flight for key in missing if (flight := self._flights.get(lookup.local(key))) is not None}
        mine, own = [key for key in missing if key not in flights], None
        if mine:
            own = self._flights.begin([*map(lookup.local, mine)], partial(self._read, lookup, mine, load))
            flights |= dict.fromkeys(mine, own)
        old = {key: entry for key in missing if lookup.kind.if_error and (entry := kept[key]) is not None}
        patience_s = None
        if len(old) == len(missing):
            began_at = min(flight.began_at for flight in flights.values())
            patience_s = max(0, began_at + PATIENCE_S - _now())
        await self._flights.wait(set(flights.values()), patience_s)
        counts, found = self.counts[lookup.kind.name], dict[K, V]()
        for key, flight in flights.items():
            entry = flight.entry(key, old.get(key))
            if entry is None:
                continue
            if entry is old.get(key):
                counts.stale += 1
            elif flight is not own:
                if not self._unchanged(lookup, key, entry.position):
                    continue
                counts.memory += 1
            found[key] = entry.value
        if left := [key for key in missing if key not in found]:
            counts.loaded += len(left)
            found |= zip(left, await load(left), strict=True)
        return found

    async def _read(self, lookup: "_Lookup[K, V]", keys: list[K], load: Load[K, V]) -> dict[K, Entry]:
        """A flight: what Redis has, and the rest from the database. What other processes read is waited for last."""
        found, until = dict[K, Entry](), _now() + WAIT_S
        while True:
            looked = await self._look(lookup, keys)
            found |= looked.found
            keys = looked.theirs
            mine = [*looked.mine, *looked.locked]
            if keys and _now() >= until:
                mine, keys = [*mine, *keys], []
            if mine:
                found |= await self._load(lookup, mine, load, looked.locked)
            if not keys:
                return found
            await asyncio.sleep(POLL_S)

    async def _look(self, lookup: "_Lookup[K, V]", keys: list[K]) -> "_Looked[K]":
        """What is in Redis and stands; the locks of the rest are taken."""
        looked, kept = _Looked[K](), [key for key in keys if lookup.is_kept(key)]
        if self._shared is None or not kept:
            looked.mine = keys
            return looked
        names, least = [*map(lookup.shared, kept)], [self._least(lookup, key) for key in kept]
        asked_at = _now()
        try:
            seen = await self._shared.look(names, [*map(lookup.lock, kept)], least, LOCK_MS)
        except RedisUnavailable:
            looked.mine = keys
            return looked
        looked.mine = [key for key in keys if not lookup.is_kept(key)]
        for key, there in zip(kept, seen, strict=True):
            if (entry := self._entry(lookup, key, there, asked_at)) is not None:
                looked.found[key] = entry
            elif there.is_mine:
                looked.locked.append(key)
            else:
                (looked.theirs if there.text is None else looked.mine).append(key)
        await self._keep(lookup, looked.found)
        self.counts[lookup.kind.name].redis += len(looked.found)
        return looked

    def _entry(self, lookup: "_Lookup[K, V]", key: K, seen: Seen, asked_at: float) -> Entry | None:
        """What a text of Redis says, if it can be read; another version of the program may have put it there."""
        if seen.text is None:
            return None
        try:
            position, json = orjson.loads(seen.text)
            value = lookup.read(json)
            if self._unchanged(lookup, key, position):
                return Entry(value, position, asked_at + seen.left_ms / 1000, lookup.size(key, value))
        except _UNREADABLE:
            pass
        return None

    async def _load(self, lookup: "_Lookup[K, V]", keys: list[K], load: Load[K, V], locked: list[K]) -> dict[K, Entry]:
        """Read them from the database, and keep them in both levels; the locks of those that are `locked` end."""
        kind, position = lookup.kind, self.position  # the position first: what is read may be younger, never older
        expires_at = _now() + kind.ttl_s
        texts: dict[K, bytes] = {}
        try:
            values = dict(zip(keys, await load(keys), strict=True))
            self.counts[kind.name].loaded += len(keys)
            kept = [key for key, value in values.items() if kind.keep(value) and lookup.is_kept(key)]
            sizes = {key: lookup.size(key, values[key]) for key in kept}
            entries = {key: Entry(value, position, expires_at, sizes.get(key, 0)) for key, value in values.items()}
            await self._keep(lookup, {key: entries[key] for key in kept})
            if self._shared is not None:
                texts = {key: orjson.dumps([position, written(values[key])]) for key in kept}
        finally:  # also where nothing could be read: others need not wait
            await self._give(lookup, texts, expires_at, locked)
        return entries

    async def _keep(self, lookup: "_Lookup[K, V]", entries: dict[K, Entry]) -> None:
        if lookup.epoch == self._epoch:  # else it was read from a log that is no longer this process's
            await self.memory.multi_set((lookup.local(key), entry) for key, entry in entries.items())

    async def _give(self, lookup: "_Lookup[K, V]", texts: dict[K, bytes], expires_at: float, locked: list[K]) -> None:
        """Give other processes what was read, and no longer have them wait for it."""
        left_ms = round((expires_at - _now()) * 1000)
        values = {lookup.shared(key): (text, left_ms) for key, text in texts.items()} if left_ms > 0 else {}
        if self._shared is not None and (values or locked):
            with contextlib.suppress(RedisUnavailable):
                await self._shared.put(values, [*map(lookup.lock, locked)])


@dataclass
class _Looked(Generic[K]):
    """What a look into Redis came to, for each of the keys."""

    found: dict[K, Entry] = field(default_factory=dict)
    locked: list[K] = field(default_factory=list)
    """To be read here, while other processes wait for that."""
    mine: list[K] = field(default_factory=list)
    """To be read here, and nobody waits: it may not be kept, or Redis does not answer."""
    theirs: list[K] = field(default_factory=list)
    """Read by another process just now."""


class _Lookup(Generic[K, V]):
    """Values of one kind, for one caller: how their keys are said in either level."""

    def __init__(self, kind: Kind[K, V], owner: Hashable, epoch: str) -> None:
        self.kind, self.owner, self.epoch = kind, owner, epoch
        self._shared: dict[K, str] = {}

    @property
    def read(self) -> Callable[[Any], Any]:
        """What reads a value's JSON."""
        return reader(self.kind.of)

    def local(self, key: K) -> tuple[str, Hashable, K]:
        """The key in the memory."""
        return self.kind.name, self.owner, key

    def shared(self, key: K) -> str:
        """The key in Redis."""
        found = self._shared.get(key)
        if found is None:
            text = orjson.dumps(written(key)).decode()
            found = self._shared[key] = f"tradegraph:{self.epoch}:{self.kind.name}:{self.owner}:{text}"
        return found

    def is_kept(self, key: K) -> bool:
        return len(self.shared(key)) <= KEY_BYTES_MAX

    def lock(self, key: K) -> str:
        return self.shared(key) + ":reading"

    def size(self, key: K, value: V) -> int:
        """About the bytes that keeping it takes."""
        return ENTRY_BYTES + bytes_of(self.owner) + bytes_of(key) + bytes_of(value)


def _now() -> float:
    return asyncio.get_running_loop().time()
