"""Breached limits are told once while they stay so, and what is critical pauses trading."""

from collections.abc import Awaitable
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from infrastructure.services import Services
from models.enums import ErrorCode, EventType, RiskLimitKind, Role, Severity, TradingState
from models.equity import LOSSES
from models.errors import BadRequest, Refused
from models.money import text
from models.people import PreferenceChanges
from models.risk import RiskLimit
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.accounts.commands import grant_role, update_preferences
from resolvers.context import Context
from resolvers.events.replaying import replay_from
from resolvers.events.risk_events import follow
from resolvers.registry import HANDLERS, bus_of
from resolvers.risk.commands import (
    acknowledge_risk_alert,
    pause_trading,
    remove_risk_limit,
    resume_due,
    resume_trading,
    set_risk_limit,
)
from resolvers.risk.handlers import BREACHES
from resolvers.risk.queries import current, risk_alert
from tests.support.clock import ManualClock
from tests.support.handlers import drain, head, told
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored
from tests.support.people import ADDRESS, context_of, signed_up
from tests.support.samples import OWNER_ID, PORTFOLIO_ID
from tests.support.streams import beginning, take

POSITION = RiskLimitKind.MAX_POSITION_NOTIONAL
BREACHED = next(handler for handler in HANDLERS if handler.name == "risk-limit-breached")


@pytest.fixture
async def market(services: Services) -> Market:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    await bus_of(services).register()
    return market


@pytest.fixture
async def trader(market: Market) -> Trader:
    """Holds 9 AAPL, worth 900 of at most 1,000."""
    services = market.services
    trader = await Trader.with_cash(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(1000))
    await trader.trade("BUY", "9", "100")
    await drain(services)
    return trader


async def alerts(services: Services) -> list[RiskAlert]:
    found: list[RiskAlert] = await stored(services, RiskAlertRow, RiskAlert)
    return sorted(found, key=lambda alert: (alert.raised_at, alert.id))


async def breaches(services: Services) -> list[RiskLimitKind]:
    async with services.database.read() as connection:
        return list(await connection.scalars(select(BREACHES.c.kind)))


async def sold(market: Market, trader: Trader, price: str) -> None:
    """One share is sold at a new price, and what follows from it has followed."""
    await market.quote("AAPL", price, price)
    await trader.trade("SELL", "1", price)
    await drain(market.services)


async def test_alert_when_it_was_asked_for_before_it_was_kept_then_it_is_there_as_soon_as_it_is(
    services: Services, market: Market, trader: Trader
) -> None:
    """Nobody is told of it: that it is kept is no event."""
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_risk_breach=False))
    await market.quote("AAPL", "150", "150")
    await trader.trade("SELL", "1", "150")
    await drain(services, [handler for handler in HANDLERS if handler is not BREACHED])
    named = (await whole_log(services.database))[-1]

    def shown() -> Awaitable[RiskAlert | None]:
        return risk_alert(Context(services, trader.ctx.viewer, ADDRESS, services.relay.position), named.aggregate_id)

    assert (named.type, await shown()) == (EventType.RISK_LIMIT_BREACHED, None)

    await drain(services)

    assert [await shown()] == await alerts(services)
    assert (await whole_log(services.database))[-1] == named


async def test_limit_when_it_stays_breached_then_it_is_told_once_and_again_after_it_was_kept(
    services: Services, market: Market, trader: Trader, clock: ManualClock
) -> None:
    assert await alerts(services) == []
    await sold(market, trader, "150")  # 8 x 150
    [alert] = await alerts(services)
    assert alert == RiskAlert(
        id=alert.id,
        portfolio_id=trader.portfolio_id,
        owner_id=trader.ctx.owner_id,
        kind=POSITION,
        severity=Severity.WARNING,
        message="MAX_POSITION_NOTIONAL is 1200, at most 1000 is allowed.",
        threshold=D(1000),
        current=D(1200),
        raised_at=clock.now(),
        acknowledged_at=None,
        version=1,
    )
    assert await breaches(services) == [POSITION]
    await sold(market, trader, "151")  # 7 x 151
    assert await alerts(services) == [alert]
    await sold(market, trader, "152")  # 6 x 152
    assert (await alerts(services), await breaches(services)) == ([alert], [])
    clock.advance(seconds=1)
    await sold(market, trader, "250")  # 5 x 250
    assert [each.current for each in await alerts(services)] == [1200, 1250]
    [note, _] = await told(services, subject_type="RiskAlert")
    assert (note.title, note.severity) == ("Risk limit breached: MAX_POSITION_NOTIONAL", Severity.WARNING)
    assert note.body == f"{alert.message} Found 5 Jan 2026, 14:30:00 UTC."
    assert (await trader.portfolio()).trading_state is TradingState.ACTIVE


async def test_limit_when_it_is_set_below_what_is_held_then_it_is_breached_and_kept_again_once_it_is_raised(
    services: Services, trader: Trader
) -> None:
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800))
    await drain(services)
    assert [alert.current for alert in await alerts(services)] == [900]
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(900))
    await drain(services)
    assert await breaches(services) == []
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800))
    await drain(services)
    await remove_risk_limit(trader.ctx, trader.portfolio_id, POSITION)
    await drain(services)
    assert (len(await alerts(services)), await breaches(services)) == (2, [])


@pytest.mark.parametrize("kind", LOSSES)
async def test_limit_on_losses_when_as_much_is_lost_as_it_says_then_it_is_breached_and_a_trace_above_it_is_kept(
    services: Services, trader: Trader, kind: RiskLimitKind
) -> None:
    limit = (await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(1))).value
    trader.ctx.renew()
    lost = await current(trader.ctx, limit)
    assert lost is not None
    assert lost > 0  # the commission
    await set_risk_limit(trader.ctx, trader.portfolio_id, kind, lost + D("0.00000001"))
    await drain(services)
    assert await alerts(services) == []
    await set_risk_limit(trader.ctx, trader.portfolio_id, kind, lost)
    await drain(services)
    [alert] = await alerts(services)
    assert alert.message == f"{kind} is {text(lost)}, less than {text(lost)} is allowed."
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "1", limit="100")
    assert [fault.code for fault in refused.value.faults] == [ErrorCode.RISK_LIMIT_EXCEEDED]


@pytest.mark.parametrize(("kind", "kept"), [(kind, kind not in LOSSES) for kind in RiskLimitKind])
def test_limit_when_what_is_measured_has_come_to_it_then_only_a_loss_breaches_it(
    kind: RiskLimitKind, *, kept: bool
) -> None:
    limit = RiskLimit(UUID(int=5), PORTFOLIO_ID, OWNER_ID, kind, D(1), Severity.WARNING)
    assert [limit.keeps(D(each)) for each in ("0.99999999", "1", "1.00000001")] == [True, kept, False]


async def test_limit_when_it_is_critical_then_its_breach_pauses_trading_once_also_when_replayed(
    services: Services, trader: Trader
) -> None:
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800), Severity.CRITICAL)
    await drain(services)
    portfolio = await trader.portfolio()
    assert (portfolio.trading_state, portfolio.trading_reason, portfolio.resume_after) == (
        TradingState.PAUSED,
        "Risk limit breached: MAX_POSITION_NOTIONAL is 900, at most 800 is allowed.",
        None,
    )
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "1", limit="100")
    assert ErrorCode.TRADING_PAUSED in [fault.code for fault in refused.value.faults]
    assert [note.title for note in await told(services, severity=Severity.CRITICAL)] == [
        "Risk limit breached: MAX_POSITION_NOTIONAL"
    ]
    assert [note.title for note in await told(services, subject_type="Portfolio")] == ["Trading is paused in Main"]
    await resume_trading(trader.ctx, trader.portfolio_id)
    await drain(services)
    before = await head(services)
    assert await replay_from(services, BREACHED, 0) == (1, [])
    assert (await trader.portfolio()).trading_state is TradingState.ACTIVE
    assert await head(services) == before


@pytest.mark.parametrize("reduce_only", [False, True])
async def test_limit_when_it_is_critical_and_trading_is_paused_for_a_while_then_it_stays_paused(
    services: Services, trader: Trader, clock: ManualClock, *, reduce_only: bool
) -> None:
    until = clock.now() + timedelta(minutes=1)
    await pause_trading(trader.ctx, trader.portfolio_id, "Lunch", until, reduce_only=reduce_only)
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800), Severity.CRITICAL)
    clock.advance(seconds=30)
    await drain(services)
    paused = await trader.portfolio()
    assert (paused.trading_state, paused.trading_reason, paused.trading_since, paused.resume_after) == (
        TradingState.PAUSED,
        "Risk limit breached: MAX_POSITION_NOTIONAL is 900, at most 800 is allowed.",
        clock.now(),
        None,
    )
    clock.advance(minutes=1)
    assert await resume_due(services) == 0
    assert await trader.portfolio() == paused


async def test_limit_when_it_is_critical_and_trading_is_paused_without_end_then_that_pause_stands(
    services: Services, trader: Trader
) -> None:
    await pause_trading(trader.ctx, trader.portfolio_id, "Holidays", None, reduce_only=False)
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800), Severity.CRITICAL)
    paused = await trader.portfolio()
    await drain(services)
    assert len(await alerts(services)) == 1
    assert await trader.portfolio() == paused


async def test_limit_when_what_is_held_has_no_price_then_it_is_left_as_it_was(
    services: Services, market: Market, trader: Trader
) -> None:
    await sold(market, trader, "150")
    assert await breaches(services) == [POSITION]
    async with services.database.write() as tx:
        await tx.connection.exec_driver_sql("DELETE FROM quotes")
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(5000))
    await drain(services)
    assert (len(await alerts(services)), await breaches(services)) == (1, [POSITION])


async def test_breach_when_its_owner_wants_to_hear_nothing_of_it_then_the_alert_stands_in_silence(
    services: Services, trader: Trader
) -> None:
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_risk_breach=False))
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800))
    await drain(services)
    assert len(await alerts(services)) == 1
    assert await told(services, subject_type="RiskAlert") == []


async def test_alert_when_acknowledged_then_that_is_noted_once_and_nobody_else_can(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800))
    await drain(services)
    [alert] = await alerts(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    before = await head(services)
    with pytest.raises(Refused) as refused:
        await acknowledge_risk_alert(bob.ctx, alert.id)
    assert [fault.code for fault in refused.value.faults] == [ErrorCode.NOT_FOUND]
    assert await head(services) == before
    clock.advance(minutes=1)
    done = await acknowledge_risk_alert(trader.ctx, alert.id)
    assert (done.value.acknowledged_at, done.value.version) == (clock.now(), 2)
    clock.advance(minutes=1)
    again = await acknowledge_risk_alert(trader.ctx, alert.id)
    assert again.value == done.value == (await alerts(services))[0]
    kinds = [event.type for event in (await whole_log(services.database))[before:]]
    assert kinds == [EventType.RISK_ALERT_ACKNOWLEDGED]


# ---------------------------------------------------------------- pauses


async def test_trading_when_paused_until_a_moment_then_its_owner_is_told_and_it_resumes_by_itself_then(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await update_preferences(trader.ctx, PreferenceChanges(timezone="Asia/Tokyo"))
    until = clock.now().replace(hour=16, minute=0)
    await pause_trading(trader.ctx, trader.portfolio_id, "Lunch", until, reduce_only=True)
    await drain(services)
    [note] = await told(services, subject_type="Portfolio")
    assert note.title == "Trading is restricted to what reduces positions in Main"
    assert note.body == (
        "Trading is restricted to what reduces positions in Main since 5 Jan 2026, 23:30:00 JST, "
        "until 6 Jan 2026, 01:00:00 JST. Reason: Lunch"
    )
    assert note.severity is Severity.WARNING
    clock.advance(minutes=89)
    assert await resume_due(services) == 0
    clock.advance(minutes=1)
    assert await resume_due(services) == 1
    assert (await trader.portfolio()).trading_state is TradingState.ACTIVE


async def test_trading_when_paused_for_everybody_then_those_are_told_who_hold_or_have_orders(
    services: Services, trader: Trader
) -> None:
    works = await Trader.with_cash(services, email="works@example.com")
    await works.place("BUY", "1", limit="90")
    idle = await Trader.with_cash(services, email="idle@example.com")
    admin = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    await pause_trading(await context_of(services, admin), None, "Outage", None, reduce_only=False)
    await drain(services)
    notes = await told(services, title="Trading is paused for everybody")
    assert {note.owner_id for note in notes} == {trader.ctx.owner_id, works.ctx.owner_id}
    assert idle.ctx.owner_id not in {note.owner_id for note in notes}
    assert {note.body for note in notes} == {
        "Trading is paused for everybody since 5 Jan 2026, 14:30:00 UTC, until somebody resumes it. Reason: Outage"
    }


# ---------------------------------------------------------------- the stream


async def test_risk_events_when_followed_from_the_beginning_then_each_shows_what_was_so_after_it(
    services: Services, trader: Trader
) -> None:
    await set_risk_limit(trader.ctx, trader.portfolio_id, POSITION, D(800), Severity.CRITICAL)
    await drain(services)
    [alert] = await alerts(services)
    await acknowledge_risk_alert(trader.ctx, alert.id)
    await resume_trading(trader.ctx, trader.portfolio_id)
    admin = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    await pause_trading(await context_of(services, admin), None, "Outage", None, reduce_only=True)
    await services.relay.reached(await head(services))
    found = await take(follow(trader.ctx, None, beginning(trader.ctx)), 5)
    assert [(each.type, each.alert and each.alert.version) for each in found] == [
        (EventType.RISK_LIMIT_BREACHED, 1),
        (EventType.TRADING_PAUSED, None),
        (EventType.RISK_ALERT_ACKNOWLEDGED, 2),
        (EventType.TRADING_RESUMED, None),
        (EventType.TRADING_PAUSED, None),
    ]
    states = [each.trading_status and each.trading_status.state for each in found]
    assert states == [None, TradingState.PAUSED, None, TradingState.ACTIVE, TradingState.REDUCE_ONLY]
    assert [each.previous_cursor for each in found] == [None, *(each.cursor for each in found[:-1])]
    resumed = await take(follow(trader.ctx, None, found[2].cursor), 2)
    assert resumed == found[3:]
    own = await take(follow(trader.ctx, trader.portfolio_id, beginning(trader.ctx)), 4)
    assert [each.cursor for each in own] == [each.cursor for each in found[:4]]
    bob = await Trader.with_cash(services, email="bob@example.com")
    assert [each.type for each in await take(follow(bob.ctx, None, beginning(bob.ctx)), 1)] == ["TRADING_PAUSED"]
    with pytest.raises(BadRequest, match="No such portfolio"):
        await take(follow(bob.ctx, trader.portfolio_id, None), 1)
