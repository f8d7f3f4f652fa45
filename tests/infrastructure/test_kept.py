"""What the database itself keeps: no event, fill or movement is changed, removed or overwritten, whoever asks."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from infrastructure.services import Services
from resolvers.events.archive import archive_events, restore_events
from resolvers.events.verify import verify
from resolvers.registry import HANDLERS
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader

WORDS = "type, schema_version, aggregate_type, aggregate_id, version, owner_id, portfolio_id, actor_id, occurred_at"
ANOTHER_ROW = f"(rowid, seq, {WORDS}, payload, hash) SELECT rowid, seq + 1000, {WORDS}, payload, hash FROM events"  # noqa: S608 - reason: names of ours
SAME_NUMBER = "'other', portfolio_id, owner_id, number, kind, amount, balance_after, description, fill_id, occurred_at"
ON_BOTH = [
    "UPDATE events SET payload = '{}'",
    "DELETE FROM events",
    "UPDATE fills SET price = '1'",
    "DELETE FROM transactions",
    "UPDATE event_versions SET version = version + 100",
    "DELETE FROM event_versions",
    "UPDATE log_head SET seq = seq - 1",
    "UPDATE log_head SET hash = previous_hash FROM archives",
    "DELETE FROM log_head",
    "UPDATE archives SET file = 'other'",
    "DELETE FROM archives WHERE first_seq = 1",
]
ON_SQLITE = [
    f"REPLACE INTO events SELECT seq, {WORDS}, '[]', hash FROM events",  # noqa: S608 - reason: likewise
    f"INSERT OR REPLACE INTO events {ANOTHER_ROW}",
    "REPLACE INTO fills SELECT * FROM fills",
    "REPLACE INTO transactions SELECT * FROM transactions",
    f"REPLACE INTO transactions SELECT {SAME_NUMBER}, NULL, NULL FROM transactions",  # noqa: S608 - reason: likewise
    "REPLACE INTO archives SELECT * FROM archives",
]
ON_POSTGRESQL = [
    "TRUNCATE events",
    "TRUNCATE event_partitions.events_first",
    "TRUNCATE event_versions",
    "TRUNCATE log_head",
    "TRUNCATE archives",
    "INSERT INTO events SELECT * FROM events ON CONFLICT (seq) DO UPDATE SET payload = '{}'",
]


@pytest.fixture
async def trader(services: Services, clock: ManualClock, tmp_path: Path) -> Trader:
    """Trades, and has two segments of the past archived."""
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    trader = await Trader.with_cash(services)
    for price in ("100", "101"):
        await trader.trade("BUY", "1", price)
        clock.advance(hours=1)
        await archive_events(services, HANDLERS, clock.now(), tmp_path)
    await trader.trade("SELL", "1", "102")
    return trader


@pytest.mark.usefixtures("trader")
async def test_log_when_somebody_would_change_what_is_kept_then_the_database_refuses(
    services: Services, tmp_path: Path
) -> None:
    before = await whole_log(services.database)
    only_here = ON_SQLITE if services.database.dialect == "sqlite" else ON_POSTGRESQL
    for change in (*ON_BOTH, *only_here):
        with pytest.raises(DBAPIError, match=r"append-only|from its end only"):
            async with services.database.write() as tx:
                await tx.execute(text(change))
    assert await whole_log(services.database) == before
    verdict = await verify(services.database, folder=tmp_path)
    assert (verdict.flaws, verdict.floor) == ([], 0)


@pytest.mark.usefixtures("trader")
@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_head_when_it_would_be_put_there_again_then_it_stays(services: Services) -> None:
    async with services.database.write() as tx:
        await tx.execute(text("REPLACE INTO log_head SELECT id, 'other', 1, hash FROM log_head"))
    assert (await verify(services.database)).flaws == []


@pytest.mark.usefixtures("trader")
async def test_archives_when_they_come_back_from_the_end_then_nothing_stands_in_the_way(
    services: Services, tmp_path: Path
) -> None:
    assert len(await restore_events(services, tmp_path, every=True)) == 2
    verdict = await verify(services.database)
    assert (verdict.flaws, verdict.floor) == ([], 0)
