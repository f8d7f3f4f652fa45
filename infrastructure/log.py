"""The event log: appended to in the transaction that makes the facts, gapless, in commit order, hash-chained."""

import functools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    asc,
    bindparam,
    desc,
    or_,
    select,
    text,
    union_all,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.statements import Statement, one_of
from models.archives import ArchiveRow
from models.cursors import CursorExpired
from models.enums import AggregateType, EventType
from models.events import GENESIS, Event, EventFilter, EventRow, EventVersionRow, LogHeadRow, RecordedEvent, chained

EVENTS = EventRow.__table__  # type: ignore[attr-defined]  # reason: SQLModel sets it on table classes
VERSIONS = EventVersionRow.__table__  # type: ignore[attr-defined]  # reason: likewise
HEAD = LogHeadRow.__table__  # type: ignore[attr-defined]  # reason: likewise
ARCHIVES = ArchiveRow.__table__  # type: ignore[attr-defined]  # reason: likewise
COLUMNS = [EVENTS.c[name] for name in RecordedEvent.__dataclass_fields__]

_VALUES = ("visible_to", "owner_id", "aggregate_id", "portfolio_id", "version_max", "since", "until")
"""What a filter has of values that there are any number of."""
FORMS_KEPT = 256

ARCHIVED = "The events behind the cursor are archived: read the state anew and go on from `streamCursor`."

# The head row's lock is held from here to COMMIT, and nothing comes between: that makes the order of numbers the
# order of commits. Everything is in one statement because each round trip under that lock is paid by every writer.
# The row is locked and read first, and the UPDATE takes its values from that read. Hashes folded in the SET list would
# be wrong: after a wait PostgreSQL computes that list again for the row's new version, but it does not start a
# recursive subquery in it afresh.
_APPEND = """
WITH RECURSIVE head AS (
    SELECT seq, hash FROM log_head WHERE id = 1 FOR NO KEY UPDATE
), chain(i, link) AS (
    SELECT 0, hash FROM head
    UNION ALL SELECT i + 1, sha256(link || ($12::bytea[])[i + 1]) FROM chain WHERE i < $1::int
), moved AS (
    UPDATE log_head SET seq = head.seq + $1, hash = chain.link
    FROM head, chain WHERE log_head.id = 1 AND chain.i = $1::int
), appended AS (
    INSERT INTO events (seq, type, schema_version, aggregate_type, aggregate_id, version, owner_id, portfolio_id,
                        actor_id, occurred_at, payload, hash)
    SELECT head.seq + chain.i, type, schema_version, aggregate_type, aggregate_id, version, owner_id, portfolio_id,
           actor_id, occurred_at, payload, chain.link
    FROM head, unnest($2::text[], $3::int[], $4::text[], $5::uuid[], $6::int[], $7::uuid[], $8::uuid[], $9::uuid[],
                $10::timestamptz[], $11::text[])
         WITH ORDINALITY AS given(type, schema_version, aggregate_type, aggregate_id, version, owner_id, portfolio_id,
                                  actor_id, occurred_at, payload, i)
    JOIN chain ON chain.i = given.i
), taken AS (
    INSERT INTO event_versions (aggregate_type, aggregate_id, version)
    SELECT * FROM unnest($4::text[], $5::uuid[], $6::int[])
) SELECT seq + $1 FROM head
"""
_INSERT_VERSIONS = "INSERT INTO event_versions (aggregate_type, aggregate_id, version) VALUES (?, ?, ?)"
_NAMES = ", ".join(column.name for column in COLUMNS)
_INSERT = f"INSERT INTO events ({_NAMES}) VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - reason: all ours


@dataclass(frozen=True, slots=True)
class Head:
    """Where the log stands: its epoch, the last event's number and hash."""

    epoch: str
    seq: int
    hash: bytes


async def head(connection: AsyncConnection) -> Head:
    """Where the log stands."""
    row = (await connection.execute(select(HEAD.c.epoch, HEAD.c.seq, HEAD.c.hash))).one()
    return Head(row.epoch, row.seq, row.hash)


@dataclass(frozen=True, slots=True)
class Floor:
    """The last event that was archived, and its hash: what comes behind it is in the table."""

    seq: int
    hash: bytes


LAST_ARCHIVED = select(ARCHIVES.c.last_seq, ARCHIVES.c.last_hash).order_by(ARCHIVES.c.last_seq.desc()).limit(1)


async def floor(connection: AsyncConnection) -> Floor:
    """Up to where the log is archived; the number 0 where nothing is."""
    row = (await connection.execute(LAST_ARCHIVED)).one_or_none()
    return Floor(0, GENESIS) if row is None else Floor(*row)


async def append(connection: AsyncConnection, events: Sequence[Event]) -> int:
    """Append the events of one transaction and return the last one's number; only COMMIT may follow.

    Raises `sqlalchemy.exc.IntegrityError` if an aggregate already has an event of that version.
    """
    if connection.dialect.name == "postgresql":
        result = await connection.exec_driver_sql(_APPEND, _arrays(events))
        return int(result.scalar_one())
    return await _append_in_turn(connection, events)


def _arrays(events: Sequence[Event]) -> tuple[Any, ...]:
    return (
        len(events),
        [event.type.value for event in events],
        [event.schema_version for event in events],
        [event.aggregate_type.value for event in events],
        [event.aggregate_id for event in events],
        [event.version for event in events],
        [event.owner_id for event in events],
        [event.portfolio_id for event in events],
        [event.actor_id for event in events],
        [event.occurred_at for event in events],
        [event.payload.decode() for event in events],
        [event.digest for event in events],
    )


async def _append_in_turn(connection: AsyncConnection, events: Sequence[Event]) -> int:
    # SQLite: the writer's transaction is the only one, so that the steps can be taken one by one. Rows are made here as
    # the columns' types would make them, which takes those as long as everything else together.
    before = await head(connection)
    link, rows, versions = before.hash, [], []
    moment = EVENTS.c.occurred_at.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
    for seq, event in enumerate(events, before.seq + 1):
        link = chained(link, event.digest)
        version = (event.aggregate_type.value, event.aggregate_id.hex, event.version)
        versions.append(version)
        keys = [None if key is None else key.hex for key in (event.owner_id, event.portfolio_id, event.actor_id)]
        kind = (seq, event.type.value, event.schema_version)
        rows.append((*kind, *version, *keys, moment(event.occurred_at), event.payload.decode(), link))
    await connection.exec_driver_sql(_INSERT_VERSIONS, versions)
    await connection.exec_driver_sql(_INSERT, rows)
    await connection.execute(update(HEAD).values(seq=before.seq + len(rows), hash=link))
    return before.seq + len(rows)


async def ensure_head(connection: AsyncConnection, epoch: str) -> None:
    """Begin an empty log, unless there is one."""
    await connection.execute(
        text("INSERT INTO log_head (id, epoch, seq, hash) VALUES (1, :epoch, 0, :genesis) ON CONFLICT DO NOTHING"),
        {"epoch": epoch, "genesis": bytes(32)},
    )


def some_epoch() -> str:
    """A name for a log that no other has."""
    return secrets.token_hex(8)


async def set_epoch(connection: AsyncConnection, epoch: str) -> None:
    """Give the log another name: the cursors of the old one are of another log from now on."""
    await connection.execute(update(HEAD).values(epoch=epoch))


def conditions(chosen: EventFilter) -> list[ColumnElement[bool]]:
    """The filter as SQL; `EventFilter.matches` is its twin in memory."""
    found: list[ColumnElement[bool]] = []
    if chosen.visible_to is not None:
        found.append(or_(EVENTS.c.owner_id == chosen.visible_to, EVENTS.c.owner_id.is_(None)))
    for column, value in (
        (EVENTS.c.owner_id, chosen.owner_id),
        (EVENTS.c.aggregate_type, chosen.aggregate_type),
        (EVENTS.c.aggregate_id, chosen.aggregate_id),
        (EVENTS.c.portfolio_id, chosen.portfolio_id),
    ):
        if value is not None:
            found.append(column == value)
    if chosen.aggregate_type is AggregateType.PORTFOLIO and chosen.aggregate_id is not None:
        # It says nothing more, but that index has them in the order of the log, and a portfolio has many.
        found.append(EVENTS.c.portfolio_id == chosen.aggregate_id)
    if chosen.types is not None:
        found.append(one_of(EVENTS.c.type, chosen.types))
    if chosen.version_max is not None:
        found.append(EVENTS.c.version <= chosen.version_max)
    if chosen.since is not None:
        found.append(EVENTS.c.occurred_at >= chosen.since)
    if chosen.until is not None:
        found.append(EVENTS.c.occurred_at <= chosen.until)
    return found


def branches(chosen: EventFilter) -> list[list[ColumnElement[bool]]]:
    """The filter in parts that exclude each other, each of which an index has in the order of the log.

    One's own events and everybody's lie in two places of the index, and so do two types: in one query the whole log
    would be looked through for them.
    """
    if any(one is not None for one in (chosen.owner_id, chosen.aggregate_id, chosen.portfolio_id)):
        return [conditions(chosen)]
    if chosen.visible_to is not None:
        whose = (EVENTS.c.owner_id == chosen.visible_to, EVENTS.c.owner_id.is_(None))
        return [[mine, *conditions(replace(chosen, visible_to=None))] for mine in whose]
    if chosen.types:
        return [conditions(replace(chosen, types=frozenset({each}))) for each in sorted(chosen.types)]
    return [conditions(chosen)]


def picked(
    wanted: Sequence[ColumnElement[Any]],
    chosen: EventFilter,
    between: Sequence[ColumnElement[bool]],
    limit: int | BindParameter[int],
    *,
    down: bool,
) -> Select[Any]:
    """The first `limit` events of the filter within these bounds, in the order of the log, or against it."""
    order = desc if down else asc
    parts = [
        select(*wanted).where(*between, *part).order_by(order(EVENTS.c.seq)).limit(limit) for part in branches(chosen)
    ]
    if len(parts) == 1:
        return parts[0]
    merged = union_all(*(select(part.subquery()) for part in parts)).subquery()
    return select(merged).order_by(order(merged.c.seq)).limit(limit)


def after(chosen: EventFilter, limit: int) -> Select[Any]:
    """The next events behind `:seq`, oldest first."""
    return picked(COLUMNS, chosen, [EVENTS.c.seq > bindparam("seq")], limit, down=False)


def reading(chosen: EventFilter, limit: int) -> tuple[Statement, dict[str, Any]]:
    """`after` for who reads on and on: compiled once for all filters of that form, and the values of this one."""
    values = {name: value for name in _VALUES if (value := getattr(chosen, name)) is not None}
    return _reading(tuple(values), chosen.types, chosen.aggregate_type, limit), values


@functools.lru_cache(FORMS_KEPT)
def _reading(
    names: tuple[str, ...], types: frozenset[EventType] | None, kind: AggregateType | None, limit: int
) -> Statement:
    given: dict[str, Any] = {name: bindparam(name) for name in names}
    return Statement(after(EventFilter(types=types, aggregate_type=kind, **given), limit))


async def read_after(connection: AsyncConnection, seq: int, chosen: EventFilter, limit: int) -> list[RecordedEvent]:
    """The next `limit` events of the filter with a number above `seq`, oldest first."""
    rows = await connection.execute(after(chosen, limit), {"seq": seq})
    return [RecordedEvent(*row) for row in rows]


async def refuse_archived(connection: AsyncConnection, seq: int) -> None:
    """Raise `CursorExpired` where something behind that number is archived."""
    if seq < (await floor(connection)).seq:
        raise CursorExpired(ARCHIVED)


async def last_matching(connection: AsyncConnection, seq: int, chosen: EventFilter) -> int | None:
    """The number of the filter's last event up to and including `seq`; none if there is none."""
    matching = picked([EVENTS.c.seq], chosen, [EVENTS.c.seq <= seq], 1, down=True)
    found: int | None = (await connection.execute(matching)).scalar_one_or_none()
    return found
