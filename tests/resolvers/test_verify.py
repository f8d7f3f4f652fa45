"""What rebuilds everything from the log: it passes a sound book, and names what was changed behind the log."""

import dataclasses
import random
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import text

from infrastructure.database import Database
from infrastructure.services import Services
from models.enums import RiskLimitKind
from models.events import GENESIS, chained
from models.rebuilt import as_given
from resolvers.events import verify as verifying
from resolvers.events.archive import archive_events
from resolvers.events.verify import one_moment
from resolvers.orders.commands import cancel_order
from resolvers.portfolios.allocations import set_target_allocations
from resolvers.portfolios.commands import deposit_cash
from resolvers.registry import HANDLERS
from resolvers.risk.commands import pause_trading, set_risk_limit
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader
from tests.support.rebuild import verify
from tests.support.tamper import COLUMNS, behind_the_back, changed, head_replacement, replacement


async def a_book(services: Services) -> Trader:
    """A position opened and turned, a working order, a cancelled one, a limit, a pause."""
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "15", "210.01")
    await trader.place("BUY", "1", limit="150")
    await cancel_order(trader.ctx, (await trader.place("BUY", "2", limit="150")).value.id)
    await deposit_cash(trader.ctx, trader.portfolio_id, Decimal("12.5"))
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_OPEN_ORDERS, Decimal(5))
    for weight in ("0.5", "0.25"):
        await set_target_allocations(trader.ctx, trader.portfolio_id, [("AAPL", Decimal(weight))])
    await pause_trading(trader.ctx, trader.portfolio_id, "Lunch", None, reduce_only=False)
    return trader


async def test_verify_when_the_tables_are_what_the_log_says_then_it_passes(services: Services) -> None:
    await verify(services.database)
    await a_book(services)
    await verify(services.database)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (
            "UPDATE orders SET reserved_cash = '1' WHERE status = 'OPEN'",
            "event \\d+: Order .*; reservedCash: '1', not '150.15'",
        ),
        ("UPDATE orders SET status = 'EXPIRED' WHERE status = 'OPEN'", "event \\d+: Order .*EXPIRED"),
        ("UPDATE positions SET quantity = '-4' WHERE closed_at IS NULL", "event \\d+: Position .*-4"),
        ("DELETE FROM positions WHERE closed_at IS NOT NULL", "event \\d+: Position .*: in the log, not in the table"),
        ("UPDATE portfolios SET cash = '1'", "Portfolio .*; cash: '1', not '10"),
        ("UPDATE portfolios SET reserved_cash = '0'", "Portfolio .*; reservedCash: '0', not"),
        ("UPDATE portfolios SET trading_state = 'ACTIVE'", "Portfolio .*; tradingState: 'ACTIVE', not 'PAUSED'"),
        ("UPDATE portfolios SET version = version + 1", "Portfolio .*; version: "),
        ("UPDATE risk_limits SET threshold = '6'", "event \\d+: RiskLimit .*threshold"),
        ("DELETE FROM risk_limits", "event \\d+: RiskLimit .*: in the log, not in the table"),
        ("UPDATE target_allocations SET weight = '0.5'", "event \\d+: TargetAllocation .*; weight: '0.5', not '0.25'"),
        ("DELETE FROM target_allocations", "event \\d+: TargetAllocation .*: in the log, not in the table"),
        ("UPDATE users SET email = 'eve@example.com'", "event \\d+: User .*eve@example.com"),
        ("UPDATE sessions SET revoke_reason = 'LOGOUT'", "event \\d+: Session .*LOGOUT"),
        ("UPDATE log_head SET seq = seq + 1", "the log ends at 2., and its head says"),
    ],
)
async def test_verify_when_a_table_was_changed_behind_the_log_then_it_names_the_difference(
    services: Services, change: str, named: str
) -> None:
    await a_book(services)
    async with services.database.write() as tx:
        await tx.execute(text(change))
    with pytest.raises(AssertionError, match=named):
        await verify(services.database)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ("UPDATE events SET payload = '{}' WHERE seq = 3", "event 3: it does not hang on the one before it"),
        ("UPDATE events SET actor_id = NULL WHERE seq = 4", "event 4: it does not hang on the one before it"),
        ("DELETE FROM events WHERE seq = 5", "event 6: it follows event 4, and 1 between them are missing"),
        ("UPDATE transactions SET amount = '99' WHERE number = 1", "event \\d+: Transaction .*99"),
        ("UPDATE fills SET price = '1' WHERE quantity = '15'", "event \\d+: Fill .*price"),
    ],
)
async def test_verify_when_what_is_only_ever_added_to_was_changed_then_it_names_the_difference(
    services: Services, change: str, named: str
) -> None:
    await a_book(services)
    await behind_the_back(services, change)
    with pytest.raises(AssertionError, match=named):
        await verify(services.database)


@drawn(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(column=st.sampled_from(COLUMNS), chance=st.randoms())
async def test_verify_when_any_byte_of_any_event_was_changed_then_that_event_is_named(
    services: Services, column: str, chance: random.Random
) -> None:
    if not (events := await whole_log(services.database)):
        await a_book(services)
        events = await whole_log(services.database)
    event = chance.choice(events)
    if getattr(event, column) is None:
        return
    other = changed(event, column, chance)
    await behind_the_back(services, replacement(services, event, other))
    try:
        flaws = (await verifying.verify(services.database)).flaws
    finally:
        await behind_the_back(services, replacement(services, other, event))
    # Whether an event or its hash was changed, the one behind it tells; of a number, the one that it has now.
    assert {event.seq, event.seq + 1, other.seq} & {flaw.seq for flaw in flaws}, flaws
    assert (await verifying.verify(services.database)).flaws == []


async def test_verify_when_the_whole_chain_was_written_anew_then_the_receipt_tells(services: Services) -> None:
    await a_book(services)
    verdict = await verifying.verify(services.database)
    receipt = verifying.Receipt(verdict.seq, verdict.hash)
    await Trader.with_cash(services, email="bob@example.com")
    assert (await verifying.verify(services.database, receipt)).flaws == []

    link, changes = GENESIS, []
    for event in await whole_log(services.database):
        other = dataclasses.replace(event, version=event.version + 100) if event.seq == 2 else event
        link = chained(link, as_given(other).digest)
        changes.append(replacement(services, event, dataclasses.replace(other, hash=link)))
    await behind_the_back(services, *changes, head_replacement(services, link))

    assert "does not hang" not in str((await verifying.verify(services.database)).flaws)
    flaw, *_ = [each for each in (await verifying.verify(services.database, receipt)).flaws if each.seq is None]
    assert str(flaw) == f"the log up to event {receipt.seq} is not the one of the receipt"


async def test_verify_when_it_takes_longer_than_a_request_may_then_nothing_breaks_it_off(services: Services) -> None:
    await a_book(services)
    hasty = Database(services.settings.model_copy(update={"statement_timeout_ms": 100}))
    try:
        async with one_moment(hasty) as connection:
            if hasty.dialect == "postgresql":
                began = await connection.scalar(text("SELECT now()"))
                # Longer than the server gives others, and than the driver, which waits a second more.
                assert await connection.scalar(text("SELECT pg_sleep(1.2)::text")) == ""
                for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
                    assert await connection.scalar(text(f"SHOW {setting}")) == "0"
                assert await connection.scalar(text("SHOW transaction_read_only")) == "on"
                assert await connection.scalar(text("SELECT now()")) == began
        assert (await verifying.verify(hasty)).flaws == []
    finally:
        await hasty.close()


@pytest.mark.parametrize("whole", [False, True])
async def test_verify_when_the_receipt_is_of_what_is_archived_then_it_is_checked_or_said_that_it_can_not_be(
    services: Services, clock: ManualClock, tmp_path: Path, *, whole: bool
) -> None:
    await a_book(services)
    events = await whole_log(services.database)
    clock.advance(hours=1)
    sealed = await archive_events(services, HANDLERS, clock.now(), tmp_path, size=5)
    folder = tmp_path if whole else tmp_path / "elsewhere"

    async def found(seq: int, link: bytes) -> list[str]:
        receipt = verifying.Receipt(seq, link)
        return [str(flaw) for flaw in (await verifying.verify(services.database, receipt, folder=folder)).flaws]

    assert len(sealed) > 2
    for seq in (sealed[0].last_seq, sealed[-1].last_seq):
        assert await found(seq, events[seq - 1].hash) == []
        assert await found(seq, GENESIS) == [f"the log up to event {seq} is not the one of the receipt"]
    nowhere = "the receipt can't be checked: event 3 is archived, and not all files are here"
    assert await found(3, events[2].hash) == ([] if whole else [nowhere])
    assert await found(3, GENESIS) == (["the log up to event 3 is not the one of the receipt"] if whole else [nowhere])
