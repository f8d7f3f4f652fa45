"""Writers and readers of a log at the same time, and what has to hold of what the readers saw."""

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.database import Database
from models.events import GENESIS, Event, EventFilter, RecordedEvent, chained
from tests.support.house import an_event

Append = Callable[[AsyncConnection, Sequence[Event]], Awaitable[int]]
Read = Callable[[AsyncConnection, int], Awaitable[list[tuple[int, UUID, int]]]]

PAUSE_S_MAX = 0.004


class ThoughtBetter(Exception):  # noqa: N818 - a change of mind is no error
    """A writer's reason to roll back."""


@dataclass
class Race:
    """What was committed and what each reader saw: (aggregate, version), and the readers' numbers."""

    committed: set[tuple[UUID, int]] = field(default_factory=set)
    rolled_back: int = 0
    seen: list[list[tuple[int, UUID, int]]] = field(default_factory=list)

    def lost(self) -> int:
        """How many events some reader never saw."""
        return max(len(self.committed - {(aggregate, version) for _, aggregate, version in seen}) for seen in self.seen)

    def check(self) -> None:
        """Every reader saw exactly what was committed, each once, numbered from 1 without a gap."""
        for seen in self.seen:
            assert {(aggregate, version) for _, aggregate, version in seen} == self.committed
            assert [seq for seq, _, _ in seen] == list(range(1, len(self.committed) + 1))
            for writer in {aggregate for _, aggregate, _ in seen}:
                versions = [version for _, aggregate, version in seen if aggregate == writer]
                assert versions == list(range(1, len(versions) + 1))


async def run_race(
    databases: Sequence[Database], append: Append, read: Read, *, transactions: int, seed: int, readers: int = 3
) -> Race:
    """One writer on each database (all the same one underneath), `transactions` each, and readers until they end."""
    race, done = Race(), asyncio.Event()
    reading = [asyncio.create_task(_reader(databases[0], read, done)) for _ in range(readers)]
    chances = [random.Random(f"{seed}/{number}") for number in range(len(databases))]  # noqa: S311 - repeatable
    await asyncio.gather(
        *(
            _writer(race, database, append, chance, transactions)
            for database, chance in zip(databases, chances, strict=True)
        )
    )
    done.set()
    race.seen = await asyncio.gather(*reading)
    return race


async def _writer(race: Race, database: Database, append: Append, chance: random.Random, transactions: int) -> None:
    aggregate_id, version = UUID(int=chance.getrandbits(128)), 0
    for _ in range(transactions):
        events = [
            an_event(version + step, aggregate_id, text="é" * chance.randrange(20))
            for step in range(1, chance.randint(1, 4) + 1)
        ]
        with contextlib.suppress(ThoughtBetter):
            async with database.write() as transaction:
                await _maybe_pause(chance)
                await append(transaction.connection, events)
                await _maybe_pause(chance)
                if chance.random() < 1 / 4:
                    race.rolled_back += 1
                    raise ThoughtBetter
            version += len(events)
            race.committed |= {(aggregate_id, event.version) for event in events}


async def _maybe_pause(chance: random.Random) -> None:
    if chance.random() < 1 / 2:
        await asyncio.sleep(chance.uniform(0, PAUSE_S_MAX))


async def _reader(database: Database, read: Read, done: asyncio.Event) -> list[tuple[int, UUID, int]]:
    seen: list[tuple[int, UUID, int]] = []
    while True:
        last = done.is_set()
        async with database.read() as connection:
            found = await read(connection, seen[-1][0] if seen else 0)
        seen += found
        if last and not found:
            return seen
        await asyncio.sleep(0)


async def read_log(connection: AsyncConnection, seq: int) -> list[tuple[int, UUID, int]]:
    """A poll of the log: `seq > cursor`."""
    events = await log.read_after(connection, seq, EventFilter(), 20)
    return [(event.seq, event.aggregate_id, event.version) for event in events]


async def whole_log(database: Database) -> list[RecordedEvent]:
    """All that was recorded."""
    async with database.read() as connection:
        return await log.read_after(connection, 0, EventFilter(), 1_000_000)


async def check_chain(database: Database) -> list[RecordedEvent]:
    """The log has no gap, and each hash is that of the hash before it and the event; answers with the log."""
    events = await whole_log(database)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    link = GENESIS
    for event in events:
        link = chained(link, as_given(event).digest)
        assert event.hash == link
    async with database.read() as connection:
        head = await log.head(connection)
    assert (head.seq, head.hash) == (len(events), link)
    return events


def as_given(recorded: RecordedEvent) -> Event:
    """The event as it was before it had its place in the log."""
    return Event(
        type=recorded.type,
        aggregate_type=recorded.aggregate_type,
        aggregate_id=recorded.aggregate_id,
        version=recorded.version,
        owner_id=recorded.owner_id,
        portfolio_id=recorded.portfolio_id,
        actor_id=recorded.actor_id,
        occurred_at=recorded.occurred_at,
        payload=recorded.payload.encode(),
        schema_version=recorded.schema_version,
    )
