"""Events: facts that happened, written in the transaction that made them so."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, Index, LargeBinary
from sqlmodel import Field, SQLModel

from models import upcasters
from models.columns import Moment, Word
from models.enums import AggregateType, EventType
from models.payloads import Json, canonical, moment_text, written

GENESIS = bytes(32)
"""What the first event's hash is chained to."""


@dataclass(frozen=True, slots=True)
class Event:
    """A fact to be recorded.

    `owner_id` is whose it is to see (none: everybody's), `actor_id` who did it (none: the system). `schema_version` is
    the version of its payload's shape, today's if none is given.
    """

    type: EventType
    aggregate_type: AggregateType
    aggregate_id: UUID
    version: int
    owner_id: UUID | None
    portfolio_id: UUID | None
    actor_id: UUID | None
    occurred_at: datetime
    payload: bytes
    schema_version: int = 0

    def __post_init__(self) -> None:
        if not self.schema_version:  # of today
            object.__setattr__(self, "schema_version", upcasters.UPCASTERS.version(self.type))

    @property
    def digest(self) -> bytes:
        """SHA-256 over everything but its place in the log."""
        head = orjson.dumps(
            {
                "type": self.type.value,
                "schemaVersion": self.schema_version,
                "aggregateType": self.aggregate_type.value,
                "aggregateId": self.aggregate_id,
                "version": self.version,
                "ownerId": self.owner_id,
                "portfolioId": self.portfolio_id,
                "actorId": self.actor_id,
                "occurredAt": moment_text(self.occurred_at),
            },
            option=orjson.OPT_SORT_KEYS,
            default=str,  # ids of a driver's own class
        )
        return hashlib.sha256(hashlib.sha256(head).digest() + hashlib.sha256(self.payload).digest()).digest()


@dataclass(frozen=True, slots=True)
class RecordedEvent:
    """A fact in the log. `seq` is its place in the one global order, which has no gaps and is the order of commits."""

    seq: int
    type: EventType
    schema_version: int
    aggregate_type: AggregateType
    aggregate_id: UUID
    version: int
    owner_id: UUID | None
    portfolio_id: UUID | None
    actor_id: UUID | None
    occurred_at: datetime
    payload: str
    hash: bytes

    @property
    def data(self) -> Json:
        """The payload, parsed, in the shape of today."""
        return upcasters.UPCASTERS.current(self.type, self.schema_version, orjson.loads(self.payload))


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events: every field that is given has to match.

    `visible_to`: those of that user and those that are everybody's; `owner_id`: those of that user only.
    """

    types: frozenset[EventType] | None = None
    aggregate_type: AggregateType | None = None
    aggregate_id: UUID | None = None
    version_max: int | None = None
    portfolio_id: UUID | None = None
    owner_id: UUID | None = None
    visible_to: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None

    def matches(self, event: RecordedEvent) -> bool:
        """Whether the event is one of these."""
        return (
            (self.types is None or event.type in self.types)
            and (self.aggregate_type is None or event.aggregate_type == self.aggregate_type)
            and (self.aggregate_id is None or event.aggregate_id == self.aggregate_id)
            and (self.version_max is None or event.version <= self.version_max)
            and (self.portfolio_id is None or event.portfolio_id == self.portfolio_id)
            and (self.owner_id is None or event.owner_id == self.owner_id)
            and (self.visible_to is None or event.owner_id in (None, self.visible_to))
            and (self.since is None or event.occurred_at >= self.since)
            and (self.until is None or event.occurred_at <= self.until)
        )


def chained(previous: bytes, digest: bytes) -> bytes:
    """The hash of an event: of the hash before it and its own digest."""
    return hashlib.sha256(previous + digest).digest()


def payload(**values: Any) -> bytes:
    """Canonical bytes of a payload with these values."""
    return canonical(written(values))


class EventRow(SQLModel, table=True):
    """The stored log; only ever appended to, by `infrastructure.log`. Partitioned on PostgreSQL."""

    __tablename__ = "events"
    __table_args__ = (
        Index("events_by_aggregate", "aggregate_id", "seq"),
        Index("events_by_owner", "owner_id", "seq"),
        Index("events_by_portfolio", "portfolio_id", "seq"),
        Index("events_by_type", "type", "seq"),
        Index("events_by_time", "occurred_at", "seq"),
    )

    seq: int = Field(primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False})
    type: EventType = Field(sa_type=Word(EventType))
    schema_version: int
    aggregate_type: AggregateType = Field(sa_type=Word(AggregateType))
    aggregate_id: UUID
    version: int
    owner_id: UUID | None = None
    portfolio_id: UUID | None = None
    actor_id: UUID | None = None
    occurred_at: datetime = Field(sa_type=Moment)
    payload: str
    hash: bytes = Field(sa_type=LargeBinary)


class EventVersionRow(SQLModel, table=True):
    """The versions that were written, so that each is written once: of archived events too.

    On PostgreSQL `events` is partitioned by its numbers, and can hold nothing else unique.
    """

    __tablename__ = "event_versions"

    aggregate_type: AggregateType = Field(primary_key=True, sa_type=Word(AggregateType))
    aggregate_id: UUID = Field(primary_key=True)
    version: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})


class LogHeadRow(SQLModel, table=True):
    """Where the log stands: the one row that gives out sequence numbers and holds the end of the hash chain.

    `epoch` names this log, so that a cursor of another one is told apart.
    """

    __tablename__ = "log_head"

    id: int = Field(primary_key=True)
    epoch: str
    seq: int = Field(sa_type=BigInteger)
    hash: bytes = Field(sa_type=LargeBinary)
