"""Handlers deal with old events again: nobody is told old things, and what was given up is made good."""

from pathlib import Path

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from infrastructure.bus import DEAD_LETTERS, Handler, Runner, checkpoint, move
from infrastructure.database import OutcomeUnknown
from infrastructure.rows import values
from infrastructure.services import Services
from models.enums import EventType, MarketAlertKind, RiskLimitKind, Role, Severity, TradingState
from models.errors import Refused
from models.handling import DeadLetter
from models.notifications import Notification
from models.people import PreferenceChanges
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.accounts.commands import grant_role, update_preferences
from resolvers.alerts.market_alerts import create_market_alert, trigger_market_alert
from resolvers.events.archive import archive_events
from resolvers.events.replaying import replay_dead_letters, replay_from
from resolvers.registry import HANDLERS, bus_of
from resolvers.risk.commands import pause_trading, resume_trading, set_risk_limit
from tests.support.clock import ManualClock
from tests.support.handlers import drain, from_the_beginning, head, told
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored
from tests.support.people import context_of, signed_up

BY_NAME = {handler.name: handler for handler in HANDLERS}
EXECUTED, MARKET_ALERT = BY_NAME["order-executed"], BY_NAME["market-alert"]


@pytest.fixture
async def trader(services: Services) -> Trader:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1", previous="100")
    trader = await Trader.with_cash(services)
    await bus_of(services).register()
    return trader


async def holder(services: Services, email: str = "holder@example.com") -> Trader:
    trader = await Trader.with_cash(services, email=email)
    await trader.trade("BUY", "1", "100")
    await drain(services)
    return trader


async def goes_off(trader: Trader, at: str) -> None:
    alert = (await create_market_alert(trader.ctx, "AAPL", MarketAlertKind.PRICE_ABOVE, D(at))).value
    await trigger_market_alert(trader.ctx.services, alert.id, D(at))


async def alerted(services: Services, trader: Trader) -> list[str]:
    notes = await told(services, owner_id=trader.ctx.owner_id, subject_type="Instrument")
    return [note.body for note in notes]


async def replayed(services: Services, handler: Handler) -> list[Notification]:
    """What was told of newly when all that the handler has dealt with was replayed; that left no event either."""
    before, notes = await head(services), await told(services)
    done, failed = await replay_from(services, handler, 0)
    assert done > 0
    assert failed == []
    assert await head(services) == before
    return [note for note in await told(services) if note not in notes]


async def test_replay_when_others_hold_the_instrument_by_now_then_they_are_not_told_of_the_old_alert(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await goes_off(trader, "110")
    await drain(services)
    clock.advance(days=30)
    await holder(services)
    assert await replayed(services, MARKET_ALERT) == []


async def test_replay_when_a_holder_was_spared_an_alert_then_they_are_not_told_of_it_later(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    who = await holder(services)
    await goes_off(trader, "110")
    await goes_off(trader, "111")
    await drain(services)
    assert len(await alerted(services, who)) == 1
    clock.advance(hours=1)
    assert await replayed(services, MARKET_ALERT) == []


async def test_replay_when_somebody_wants_to_be_told_only_since_then_they_are_not_told_of_what_was(
    services: Services, trader: Trader
) -> None:
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_fill=False))
    await trader.trade("BUY", "1", "100")
    await drain(services)
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_fill=True))
    assert await replayed(services, EXECUTED) == []


@pytest.mark.usefixtures("trader")
async def test_replay_when_everybodys_trading_is_open_again_then_nobody_is_told_that_it_is_paused(
    services: Services,
) -> None:
    admin = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    ctx = await context_of(services, admin)
    await pause_trading(ctx, None, "Outage", None, reduce_only=False)
    await resume_trading(ctx, None)
    await drain(services)
    await holder(services)
    assert await replayed(services, BY_NAME["trading-paused"]) == []


async def test_replay_when_a_breach_is_from_before_the_handler_then_its_alert_is_kept_and_trading_goes_on(
    services: Services, trader: Trader
) -> None:
    breached = BY_NAME["risk-limit-breached"]
    await trader.trade("BUY", "9", "100")
    await set_risk_limit(
        trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, D(800), Severity.CRITICAL
    )
    await drain(services, [BY_NAME["limits-checked"]])
    async with services.database.write() as tx:
        at = await checkpoint(services, breached.name)
        await move(tx, at, (await whole_log(services.database))[-1].seq)
    assert await replayed(services, breached) == []
    assert len(await stored(services, RiskAlertRow, RiskAlert)) == 1
    assert (await trader.portfolio()).trading_state is TradingState.ACTIVE


@pytest.mark.parametrize("from_the_start", [False, True])
async def test_replay_when_an_event_was_given_up_then_who_was_not_told_of_it_is_told(
    services: Services, trader: Trader, clock: ManualClock, *, from_the_start: bool
) -> None:
    await trader.trade("BUY", "1", "100")
    await drain(services, [BY_NAME["order-placed"]])
    async with services.database.write() as tx:
        [executed] = [each for each in await whole_log(services.database) if each.type is EventType.ORDER_EXECUTED]
        await move(tx, await checkpoint(services, EXECUTED.name), executed.seq)
        letter = DeadLetter(EXECUTED.name, executed.seq, 8, "RuntimeError: no", clock.now())
        await tx.execute(insert(DEAD_LETTERS).values(values(letter)))
    if from_the_start:
        assert await replay_from(services, EXECUTED, 0) == (1, [])
    else:
        assert await replay_dead_letters(services, EXECUTED) == (1, [])
    assert len(await told(services, title="Bought 1 AAPL at 100")) == 1
    assert await replayed(services, EXECUTED) == []


async def test_replay_when_events_are_archived_then_it_is_refused_and_says_from_where_it_can(
    services: Services, trader: Trader, clock: ManualClock, tmp_path: Path
) -> None:
    await trader.trade("BUY", "1", "100")
    await drain(services)
    clock.advance(hours=1)
    await trader.trade("SELL", "1", "100")
    await drain(services)
    [segment] = await archive_events(services, HANDLERS, clock.now(), tmp_path)
    message = f"The events up to {segment.last_seq} are archived: replay from {segment.last_seq} on"
    with pytest.raises(Refused, match=message):
        await replay_from(services, EXECUTED, segment.last_seq - 1)
    assert await replay_from(services, EXECUTED, segment.last_seq) == (1, [])


# ---------------------------------------------------------------- late, not replayed


@pytest.mark.parametrize(("apart", "count"), [(14, 1), (16, 2)])
async def test_holder_when_the_handler_comes_late_then_it_counts_how_far_apart_the_alerts_went_off(
    services: Services, trader: Trader, clock: ManualClock, apart: int, count: int
) -> None:
    who = await holder(services)
    await goes_off(trader, "110")
    if count == 1:  # and dealt with long before the other, by the clock
        await drain(services)
    clock.advance(minutes=apart)
    await goes_off(trader, "111")
    clock.advance(minutes=30)
    await drain(services)
    assert len(await alerted(services, who)) == count


async def test_audit_line_when_the_transaction_is_not_known_to_be_committed_then_it_is_not_written_and_later_once(
    services: Services, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = BY_NAME["order-audit"]
    await from_the_beginning(services, [audit])
    await trader.place("BUY", "1", limit="90")
    await services.relay.reached(await head(services))

    async def in_vain(_connection: object) -> None:
        raise OutcomeUnknown

    with capture_logs() as logs:
        runner, at = Runner(services, audit), await checkpoint(services, audit.name)
        with monkeypatch.context() as patched:
            patched.setattr("infrastructure.database._commit", in_vain)
            with pytest.raises(OutcomeUnknown):
                await runner.go_on(at, 0)
        assert [line for line in logs if line["event"] == "order placed"] == []
        await runner.go_on(at, 0)
        await replay_from(services, audit, 0)
    assert len([line for line in logs if line["event"] == "order placed"]) == 1
