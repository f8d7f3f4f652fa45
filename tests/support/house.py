"""What tests build: settings, migrated databases, events."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from pydantic import SecretStr

from infrastructure.database import Database
from infrastructure.migrations import migrate
from infrastructure.settings import Settings
from models.enums import AggregateType, EventType
from models.events import Event, payload
from tests.support.clock import START
from tests.support.servers import PostgresDatabases

SECRET = "not a secret, but thirty-two bytes long"
# The triggers that keep the log, the ledger and the fills do not fire in the role of a replica.
_EMPTY = """
SET session_replication_role = replica;
SET lock_timeout = '5s';
DO $$
DECLARE name text;
BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
        AND tablename NOT IN ('alembic_version', 'log_head', 'market_state')
    LOOP EXECUTE format('DELETE FROM %I', name); END LOOP;
END $$;
UPDATE log_head SET seq = 0, hash = decode(repeat('00', 32), 'hex');
UPDATE market_state SET trading_state = 'ACTIVE', trading_reason = NULL, trading_since = 'OPENED',
    resume_after = NULL, version = 0;
"""


PATIENCE = {
    "operation_ms": 60_000,
    "statement_timeout_ms": 60_000,
    "lock_timeout_ms": 60_000,
    "handler_timeout_ms": 60_000,
}
"""On a busy machine nothing is given up that its test is not about."""


def settings_for(url: str, home: Path, **more: Any) -> Settings:
    """Settings of a process on the database at `url`; without a history of candles, which takes seconds to compute,
    and without limits, which have tests of their own.
    """
    own = PATIENCE | {"candle_days": 0, "limits": False}
    return Settings(database_url=url, home=home, secret=SecretStr(SECRET), **own | more)


def migrated(settings: Settings) -> None:
    """Migrate the database of these settings, from code that runs in no event loop or in any."""

    async def once() -> None:
        database = Database(settings)
        await migrate(database, START)
        await database.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, once()).result()


def emptied(postgres: PostgresDatabases, name: str) -> None:
    """Take a migrated PostgreSQL database back to how `migrate` left it: much faster than a new one."""
    postgres.execute(_EMPTY.replace("OPENED", START.isoformat()), name)


def an_event(
    version: int = 1,
    aggregate_id: UUID | None = None,
    *,
    kind: EventType = EventType.CASH_MOVED,
    owner_id: UUID | None = None,
    occurred_at: datetime = START,
    **values: Any,
) -> Event:
    """An event of a portfolio; `values` are its payload."""
    aggregate_id = aggregate_id or uuid4()
    return Event(
        type=kind,
        aggregate_type=AggregateType.PORTFOLIO,
        aggregate_id=aggregate_id,
        version=version,
        owner_id=owner_id,
        portfolio_id=aggregate_id,
        actor_id=owner_id,
        occurred_at=occurred_at,
        payload=payload(**values),
    )
