"""Who is asking, kept in memory for as long as it is exactly what the database would say."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from infrastructure.database import Database
from infrastructure.notes import Notes
from infrastructure.relay import Relay
from models.events import Event, RecordedEvent
from models.facts import author_of, places


class OfUser(Protocol):
    """What is known of a user: whose it is, and the place of their last event when it was read."""

    @property
    def user_id(self) -> UUID:
        """The user."""
        ...

    @property
    def seen(self) -> int:
        """The place in the log."""
        ...


T = TypeVar("T", bound=OfUser)
VALUES_MAX = 4096


class Known(Generic[T]):
    """Exact, not merely fresh. SQLite: one commit of any process, and everything here is forgotten.

    PostgreSQL with a Redis: what is known of a user is used if Redis has noted no event of theirs since (`Notes`), and
    is forgotten as soon as the log shows one. In any other case everything is read each time.
    """

    def __init__(self, database: Database, notes: Notes | None = None) -> None:
        self._database = database
        self._notes = notes
        self._values: dict[Hashable, T] = {}
        self._keys: defaultdict[UUID, set[Hashable]] = defaultdict(set)
        """Of each user, those of the values."""
        self._stamp: int | None = None
        self._readings: dict[object, dict[UUID, int]] = {}
        """What is being read, each with those whose events came meanwhile, and the last one's place."""

    def follow(self, relay: Relay) -> None:
        """Be told of what any process has done."""
        relay.appliers.append(self)
        self._database.listeners.append(self.committed)

    async def begin(self, epoch: str, position: int) -> None:  # noqa: ARG002 - reason: as a relay's appliers have it
        """Know nothing of before, nor of what is being read."""
        self._clear()
        self._readings.clear()

    def apply(self, events: Sequence[RecordedEvent]) -> None:
        """The log has gone on by these events."""
        self._forget({author: event.seq for event in events if (author := author_of(event)) is not None})

    def committed(self, events: Sequence[Event], position: int) -> None:
        """This process has written these events, the last of them at `position`."""
        self._forget(places(events, position))

    def _forget(self, places: Mapping[UUID, int]) -> None:
        for changed in self._readings.values():
            changed.update({user: max(place, changed.get(user, 0)) for user, place in places.items()})
        for user in places.keys() & self._keys.keys():
            if all(self._values[key].seen >= places[user] for key in self._keys[user]):
                continue  # it was read after that
            for key in self._keys.pop(user):
                del self._values[key]

    async def of(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The value of the key, read now if it is not known. What `read` raises is not kept."""
        # Before it is read: what is committed meanwhile shows at the next look.
        stamp = self._database.stamp()
        if stamp is not None:
            known = self._values.get(key) if stamp == self._stamp else None
            return known if known is not None else await self._by_stamp(key, read, stamp)
        if self._notes is None:
            return await read()
        return await self._by_notes(self._notes, key, read)

    async def _by_stamp(self, key: Hashable, read: Callable[[], Awaitable[T]], stamp: int) -> T:
        if stamp != self._stamp:
            self._clear()
            self._stamp = stamp
        value = await read()
        if stamp == self._stamp:
            self._keep(key, value)
        return value

    async def _by_notes(self, notes: Notes, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        known, noted = self._values.get(key), None
        if known is not None:
            noted = await notes.of(known.user_id)
            # It may have been forgotten while Redis was asked.
            if noted is not None and noted <= known.seen and self._values.get(key) is known:
                return known
        reading, changed = object(), dict[UUID, int]()
        self._readings[reading] = changed
        try:
            value = await read()
        finally:
            whole = self._readings.pop(reading, None) is not None
        if whole and changed.get(value.user_id, 0) <= value.seen:
            self._keep(key, value)
        if noted is None or noted < value.seen:
            await notes.note(value.user_id, value.seen)
        return value

    def _keep(self, key: Hashable, value: T) -> None:
        if len(self._values) >= VALUES_MAX:
            self._clear()
        self._values[key] = value
        self._keys[value.user_id].add(key)

    def _clear(self) -> None:
        self._values.clear()
        self._keys.clear()
