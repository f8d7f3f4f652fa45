"""A cache of numbers over a table that counts how often it is read."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from infrastructure.cache import Cache, Kind, Tag
from infrastructure.redis import Redis
from infrastructure.settings import Settings
from models.events import Event, RecordedEvent
from tests.support.house import an_event

ADA, BOB = UUID(int=1), UUID(int=2)
A, B, C = (UUID(int=number) for number in (10, 11, 12))
EPOCH = "a log"


def tags_of(event: Event | RecordedEvent) -> list[Tag]:
    return [("thing", event.aggregate_id)]


NUMBERS: Kind[UUID, int] = Kind("numbers", int, 60, lambda _owner, key: [("thing", key)])


def recorded(seq: int, aggregate_id: UUID) -> RecordedEvent:
    event = an_event(seq, aggregate_id)
    given: dict[str, Any] = {name: getattr(event, name, None) for name in RecordedEvent.__dataclass_fields__}
    return RecordedEvent(**(given | {"seq": seq}))


@dataclass
class Table:
    """What a database would have: numbers by their id, and how often it was read."""

    numbers: dict[UUID, int] = field(default_factory=dict)
    reads: list[list[UUID]] = field(default_factory=list)
    gate: asyncio.Event | None = None
    """Where a reading waits, once it has seen what there is."""
    error: Exception | None = None
    """What a reading raises."""

    async def load(self, keys: Sequence[UUID]) -> list[int]:
        self.reads.append(list(keys))
        found = [self.numbers.get(key, 0) for key in keys]
        if self.gate is not None:
            await self.gate.wait()
        if self.error is not None:
            raise self.error
        return found

    def open(self) -> None:
        """Let all readings that wait go on."""
        assert self.gate is not None
        self.gate.set()


async def a_cache(redis: Redis | None = None, position: int = 0, **settings: Any) -> Cache:
    cache = Cache(Settings(**settings), redis, tags_of)
    await cache.begin(EPOCH, position)
    return cache
