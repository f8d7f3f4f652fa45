"""How fast the log takes events, beside what it would take without its promises."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from infrastructure import log
from infrastructure.database import Database, Transaction
from infrastructure.settings import Settings
from models.events import Event
from tests.support.house import an_event

WRITERS = 8
EVENTS_PER_TRANSACTION = 2

Append = Callable[[Transaction, Sequence[Event]], Awaitable[None]]

_UNSAFE_VERSIONS = (
    "CREATE UNIQUE INDEX IF NOT EXISTS unsafe_versions ON unsafe_events (aggregate_type, aggregate_id, version)"
)
# The same columns and indexes, one statement for a transaction's events: only the order is not promised.
_UNSAFE = """
INSERT INTO unsafe_events (seq, type, schema_version, aggregate_type, aggregate_id, version, owner_id, portfolio_id,
                           actor_id, occurred_at, payload, hash)
SELECT nextval('unsafe_seq'), * FROM unnest($1::text[], $2::int[], $3::text[], $4::uuid[], $5::int[], $6::uuid[],
    $7::uuid[], $8::uuid[], $9::timestamptz[], $10::text[], $11::bytea[])
"""


async def measure(settings: Settings, *, rounds: int = 7, seconds: float = 1.0) -> dict[str, float]:
    """Transactions per second with the log and with a plain sequence, on a migrated PostgreSQL, in interleaved rounds.

    Eight writers; a transaction updates a small row of its writer and appends two events. `ratio` is the median of the
    rounds' ratios, the other figures are medians too.
    """
    database = Database(settings)
    await _prepare(database)
    for warm_up in (_append, _append_unsafely):
        await _round(database, warm_up, seconds / 4)
    pairs = [
        (await _round(database, _append, seconds), await _round(database, _append_unsafely, seconds))
        for _ in range(rounds)
    ]
    await database.close()
    return {
        "log_per_s": statistics.median(safe for safe, _ in pairs),
        "unsafe_per_s": statistics.median(unsafe for _, unsafe in pairs),
        "ratio": statistics.median(safe / unsafe for safe, unsafe in pairs),
    }


async def _prepare(database: Database) -> None:
    async with database.write() as transaction:
        for statement in (
            "CREATE TABLE IF NOT EXISTS bench_rows (id int PRIMARY KEY, changes int NOT NULL)",
            "CREATE TABLE IF NOT EXISTS unsafe_events (LIKE events INCLUDING ALL)",
            _UNSAFE_VERSIONS,
            "CREATE SEQUENCE IF NOT EXISTS unsafe_seq",
        ):
            await transaction.execute(text(statement))
        rows = "INSERT INTO bench_rows SELECT i, 0 FROM generate_series(1, :writers) AS i ON CONFLICT DO NOTHING"
        await transaction.execute(text(rows), {"writers": WRITERS})


async def _round(database: Database, append: Append, seconds: float) -> float:
    began = time.perf_counter()
    counts = await asyncio.gather(
        *(_writer(database, append, number, began + seconds) for number in range(1, WRITERS + 1))
    )
    return sum(counts) / (time.perf_counter() - began)


async def _writer(database: Database, append: Append, number: int, until: float) -> int:
    aggregate_id, count = uuid4(), 0
    while time.perf_counter() < until:
        versions = range(count * EVENTS_PER_TRANSACTION + 1, (count + 1) * EVENTS_PER_TRANSACTION + 1)
        events = [an_event(version, aggregate_id, quantity="10", price="123.45") for version in versions]
        async with database.write() as transaction:
            await transaction.execute(
                text("UPDATE bench_rows SET changes = changes + 1 WHERE id = :id"), {"id": number}
            )
            await append(transaction, events)
        count += 1
    return count


async def _append(transaction: Transaction, events: Sequence[Event]) -> None:
    transaction.record(*events)


async def _append_unsafely(transaction: Transaction, events: Sequence[Event]) -> None:
    _count, *arrays = log._arrays(events)
    given: tuple[Any, ...] = tuple(arrays)
    await transaction.connection.exec_driver_sql(_UNSAFE, given)
