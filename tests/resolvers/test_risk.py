"""Risk limits and their checks, holding and resuming trading."""

import dataclasses
from datetime import timedelta
from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, EventType, RiskCheckKind, RiskLimitKind, Role, Severity, TradingState
from models.errors import Fault, Refused, RiskFault, Unauthenticated, invalid
from models.portfolios import TradingStatus
from models.risk import RiskCheck, RiskLimit, RiskLimitRow
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from resolvers.portfolios.queries import market_status, trading_status
from resolvers.risk.commands import pause_trading, remove_risk_limit, resume_due, resume_trading, set_risk_limit
from resolvers.risk.queries import current, risk_limits, utilization
from tests.support.clock import START, ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts, stored
from tests.support.people import anonymous, context_of, signed_up

Kind = RiskLimitKind
OPEN = TradingStatus(TradingState.ACTIVE, None, START, None)


async def opened(services: Services) -> tuple[Market, Trader]:
    return await Market.open(services), await Trader.with_cash(services)


async def admin_of(services: Services) -> Context:
    signed_in = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    return await context_of(services, signed_in)


async def refused_by(trader: Trader, side: str, quantity: str, limit: str) -> RiskCheck:
    """The one check that refuses the order; nothing is written."""
    before = await row_counts(trader.ctx.services)
    with pytest.raises(Refused) as refused:
        await trader.place(side, quantity, limit=limit)
    assert await row_counts(trader.ctx.services) == before
    [fault] = refused.value.faults
    assert isinstance(fault, RiskFault)
    assert (fault.code, fault.path) == (ErrorCode.RISK_LIMIT_EXCEEDED, ("input",))
    [check] = [check for check in fault.checks if not check.passed]
    assert fault.message == check.message
    return check


async def limits_of(trader: Trader) -> list[RiskLimit]:
    trader.ctx.renew()
    return list(await risk_limits(trader.ctx, trader.portfolio_id))


async def test_set_risk_limit_when_new_then_changed_then_it_is_one_limit_and_each_change_is_an_event(
    services: Services,
) -> None:
    _, trader = await opened(services)
    first = await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D(1000))
    assert (first.value.threshold, first.value.severity) == (D(1000), Severity.WARNING)
    second = await set_risk_limit(
        trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D("1500.5"), Severity.CRITICAL
    )
    third = await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D(2000))
    assert second.value == dataclasses.replace(first.value, threshold=D("1500.5"), severity=Severity.CRITICAL)
    assert third.value == dataclasses.replace(second.value, threshold=D(2000))
    assert await limits_of(trader) == [third.value]
    again = await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D("2000.0"))
    assert again.value == third.value
    events = (await whole_log(services.database))[-3:]
    assert [event.seq for event in events] == [first.position, second.position, third.position]
    assert [event.type for event in events] == [EventType.RISK_LIMIT_CHANGED] * 3
    assert [event.version for event in events] == [3, 4, 5]
    assert events[1].actor_id == trader.ctx.owner_id
    assert events[1].data == {
        "removed": False,
        "riskLimit": {
            "id": str(first.value.id),
            "kind": "MAX_ORDER_NOTIONAL",
            "ownerId": str(trader.ctx.owner_id),
            "portfolioId": str(trader.portfolio_id),
            "severity": "CRITICAL",
            "threshold": "1500.5",
        },
    }


async def test_remove_risk_limit_when_set_then_it_holds_no_more_and_a_second_time_it_is_missing(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D(50))
    await refused_by(trader, "BUY", "1", "100")
    done = await remove_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL)
    assert (done.value, await stored(services, RiskLimitRow, RiskLimit)) == (await trader.portfolio(), [])
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.version, event.data["removed"]) == (done.position, 4, True)
    await trader.place("BUY", "1", limit="100")
    with pytest.raises(Refused) as refused:
        await remove_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL)
    assert refused.value.faults == (Fault(ErrorCode.NOT_FOUND, "No such risk limit.", ("input", "kind")),)


@pytest.mark.parametrize(
    ("kind", "threshold", "message"),
    [
        (Kind.MAX_ORDER_NOTIONAL, "-1", "is -1: it has to be 0 or more."),
        (Kind.MAX_ORDER_NOTIONAL, "0.000000001", "may have 18 digits before the point and 8 after it."),
        (Kind.MAX_ORDER_NOTIONAL, "1" + "0" * 18, "may have 18 digits before the point and 8 after it."),
        (Kind.MAX_OPEN_ORDERS, "1.5", "is 1.5: a count has to be a whole number."),
        (
            Kind.MAX_CONCENTRATION,
            "25",
            "is 25: a fraction of total equity has to be between 0 and 1 (0.25 is 25%).",
        ),
    ],
)
async def test_set_risk_limit_when_the_threshold_makes_no_sense_then_it_is_refused(
    services: Services, kind: Kind, threshold: str, message: str
) -> None:
    _, trader = await opened(services)
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(threshold))
    assert refused.value.faults == (invalid(f"`threshold` {message}", "threshold"),)
    assert await row_counts(services) == before


async def test_order_when_at_its_notional_limit_then_it_passes_and_a_tick_more_does_not(services: Services) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_ORDER_NOTIONAL, D(1000))
    await trader.place("BUY", "10", limit="100")
    check = await refused_by(trader, "BUY", "10", "100.01")
    assert check == RiskCheck(
        RiskCheckKind.MAX_ORDER_NOTIONAL,
        passed=False,
        threshold=D(1000),
        projected=D("1000.1"),
        message="The order is worth 1000.1, at most 1000 is allowed.",
    )


async def test_order_when_at_the_position_limit_then_working_orders_count_and_reducing_ones_pass(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_POSITION_NOTIONAL, D(1000))
    await trader.trade("BUY", "4", "100")
    await trader.place("BUY", "6", limit="100")
    check = await refused_by(trader, "BUY", "1", "100")
    assert (check.kind, check.threshold, check.projected) == (RiskCheckKind.MAX_POSITION_NOTIONAL, D(1000), D(1100))
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_POSITION_NOTIONAL, D(0))
    await trader.place("SELL", "4", limit="100")
    check = await refused_by(trader, "SELL", "1", "100")
    assert check.projected == D(100)  # it would be short


async def test_order_when_at_the_concentration_limit_then_the_fraction_is_of_total_equity(services: Services) -> None:
    market, trader = await opened(services)
    await market.quote("AAPL", "100", "100.01", last="100")
    await trader.trade("BUY", "100", "100")  # equity 99,990 after a commission of 10
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_CONCENTRATION, D("0.25"))
    await trader.place("BUY", "149", limit="100")
    check = await refused_by(trader, "BUY", "1", "100")
    assert (check.kind, check.threshold) == (RiskCheckKind.MAX_CONCENTRATION, D("0.25"))
    assert check.projected == D("0.25002500")  # 25,000 of 99,990
    await trader.place("SELL", "100", limit="100")


async def test_order_when_a_position_has_no_price_then_concentration_can_not_be_said_and_only_reducing_passes(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "1", "100")
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_CONCENTRATION, D(1))
    check = await refused_by(trader, "BUY", "1", "100")
    assert (check.projected, check.message) == (None, "A position has no price.")
    await trader.place("SELL", "1", limit="100")


async def test_order_when_so_many_are_open_then_the_next_is_refused(services: Services) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, Kind.MAX_OPEN_ORDERS, D(2))
    for _ in range(2):
        await trader.place("BUY", "1", limit="1")
    check = await refused_by(trader, "SELL", "1", "1")
    assert (check.kind, check.threshold, check.projected) == (RiskCheckKind.MAX_OPEN_ORDERS, D(2), D(3))


async def test_current_when_measured_then_it_is_at_the_latest_prices_with_its_share_of_the_limit(
    services: Services,
) -> None:
    market, trader = await opened(services)
    thresholds = {
        Kind.MAX_CONCENTRATION: D("0.5"),
        Kind.MAX_OPEN_ORDERS: D(8),
        Kind.MAX_ORDER_NOTIONAL: D(30000),
        Kind.MAX_POSITION_NOTIONAL: D(25000),
    }
    await trader.trade("BUY", "100", "100")
    await trader.trade("SELL", "40", "500", "MSFT")
    await trader.place("BUY", "1", limit="1")
    limits = [(await set_risk_limit(trader.ctx, trader.portfolio_id, *each)).value for each in thresholds.items()]
    assert await limits_of(trader) == limits
    assert [await current(trader.ctx, limit) for limit in limits] == [None, D(1), None, None]  # nothing has a price
    await market.quote("AAPL", "110", "111", last="110")
    await market.quote("MSFT", "490", "491", last="490")
    trader.ctx.renew()
    measured = [await current(trader.ctx, limit) for limit in limits]
    # The larger is 40 x 490; equity is 100000 - 10 - 20 + 1000 + 400.
    assert measured == [D("0.19335109"), D(1), None, D(19600)]
    used = [utilization(seen, limit.threshold) for seen, limit in zip(measured, limits, strict=True)]
    assert used == [D("0.38670218"), D("0.125"), None, D("0.784")]
    assert utilization(D(1), D(0)) is None


async def test_pause_when_a_portfolio_is_paused_then_orders_are_refused_until_it_is_resumed(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services)
    other = await Trader.with_cash(services, email="bob@example.com")
    now = clock.advance(seconds=1)
    done = await pause_trading(trader.ctx, trader.portfolio_id, " enough ", None, reduce_only=False)
    assert done.value == TradingStatus(TradingState.PAUSED, "enough", now, None)
    assert await trading_status(trader.ctx, await trader.portfolio()) == done.value
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "1", limit="1")
    assert refused.value.faults == (Fault(ErrorCode.TRADING_PAUSED, "Trading is paused.", ("input",)),)
    assert await row_counts(services) == before
    await other.place("BUY", "1", limit="1")
    now = clock.advance(seconds=1)
    resumed = await resume_trading(trader.ctx, trader.portfolio_id)
    assert resumed.value == TradingStatus(TradingState.ACTIVE, None, now, None)
    await trader.place("BUY", "1", limit="1")
    events = [event for event in await whole_log(services.database) if event.type.value.startswith("TRADING")]
    assert [(event.type.value, event.version, event.seq) for event in events] == [
        ("TRADING_PAUSED", 3, done.position),
        ("TRADING_RESUMED", 4, resumed.position),
    ]
    assert events[0].data["portfolio"]["tradingReason"] == "enough"


async def test_resume_when_trading_is_open_then_nothing_is_written_and_the_cursor_is_of_now(services: Services) -> None:
    _, trader = await opened(services)
    admin = await admin_of(services)
    before = await row_counts(services)
    for ctx, portfolio_id in ((trader.ctx, trader.portfolio_id), (admin, None)):
        ctx.renew()
        done = await resume_trading(ctx, portfolio_id)
        assert done.value.state is TradingState.ACTIVE
        assert done.position == ctx.position > 0
    assert await row_counts(services) == before


async def test_reduce_only_when_held_then_only_what_makes_a_position_smaller_passes(services: Services) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "10", "100")
    await trader.trade("SELL", "5", "100", "MSFT")
    await pause_trading(trader.ctx, trader.portfolio_id, "careful", None, reduce_only=True)
    message = "Only orders that make a position smaller are let through."
    only = (Fault(ErrorCode.TRADING_PAUSED, message, ("input",)),)
    refused_ones = [("BUY", "1", "AAPL"), ("SELL", "11", "AAPL"), ("SELL", "1", "MSFT"), ("BUY", "1", "SPY")]
    for side, quantity, symbol in refused_ones:
        with pytest.raises(Refused) as refused:
            await trader.place(side, quantity, symbol, "100")
        assert refused.value.faults == only
    await trader.place("SELL", "6", limit="100")
    await trader.place("BUY", "5", "MSFT", "100")
    with pytest.raises(Refused) as refused:
        await trader.place("SELL", "5", limit="100")  # with the 6 that work it would cross zero
    assert refused.value.faults == only
    await trader.place("SELL", "4", limit="100")


@pytest.mark.parametrize(
    ("own", "everybodys", "holds"),
    [
        (None, True, TradingState.REDUCE_ONLY),
        (None, False, TradingState.PAUSED),
        (True, False, TradingState.PAUSED),
        (False, True, TradingState.PAUSED),
        (True, None, TradingState.REDUCE_ONLY),
    ],
)
async def test_pause_when_both_are_held_then_the_stricter_holds(
    services: Services, own: bool | None, everybodys: bool | None, holds: TradingState
) -> None:
    _, trader = await opened(services)
    admin = await admin_of(services)
    if own is not None:
        await pause_trading(trader.ctx, trader.portfolio_id, "own", None, reduce_only=own)
    if everybodys is not None:
        await pause_trading(admin, None, "market", None, reduce_only=everybodys)
    trader.ctx.renew()
    assert (await trading_status(trader.ctx, await trader.portfolio())).state is holds
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "1", limit="1")
    [fault] = refused.value.faults
    assert (fault.code, fault.message == "Trading is paused.") == (
        ErrorCode.TRADING_PAUSED,
        holds is TradingState.PAUSED,
    )


async def test_pause_when_everybodys_is_asked_by_a_trader_then_it_is_forbidden(services: Services) -> None:
    _, trader = await opened(services)
    forbidden = Fault(ErrorCode.FORBIDDEN, "Only an ADMIN can hold or resume everybody's trading.", ("input",))
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await pause_trading(trader.ctx, None, "mine", None, reduce_only=False)
    assert refused.value.faults == (forbidden,)
    with pytest.raises(Refused) as refused:
        await resume_trading(trader.ctx, None)
    assert refused.value.faults == (forbidden,)
    with pytest.raises(Unauthenticated):
        await pause_trading(anonymous(services), None, "mine", None, reduce_only=False)
    assert await row_counts(services) == before


async def test_pause_when_an_admin_names_another_users_portfolio_then_it_is_missing(services: Services) -> None:
    _, trader = await opened(services)
    admin = await admin_of(services)
    with pytest.raises(Refused) as refused:
        await pause_trading(admin, trader.portfolio_id, "theirs", None, reduce_only=False)
    assert refused.value.faults == (Fault(ErrorCode.NOT_FOUND, "No such portfolio.", ("input", "portfolioId")),)


@pytest.mark.parametrize("reason", ["", " ", "x" * 501, "a\0b"])
async def test_pause_when_reason_and_moment_are_wrong_then_both_are_told(services: Services, reason: str) -> None:
    _, trader = await opened(services)
    with pytest.raises(Refused) as refused:
        await pause_trading(trader.ctx, trader.portfolio_id, reason, START, reduce_only=False)
    assert refused.value.faults == (
        invalid("`reason` has to be 1 to 500 printable characters.", "reason"),
        invalid("`resumeAfter` has to be in the future.", "resumeAfter"),
    )


async def test_resume_due_when_the_moment_comes_then_each_that_is_due_is_resumed_once(
    services: Services, clock: ManualClock
) -> None:
    _, trader = await opened(services)
    other = await Trader.with_cash(services, email="bob@example.com")
    admin = await admin_of(services)
    hour = START + timedelta(hours=1)
    await pause_trading(trader.ctx, trader.portfolio_id, "an hour", hour, reduce_only=False)
    await pause_trading(other.ctx, other.portfolio_id, "for good", None, reduce_only=False)
    await pause_trading(admin, None, "an hour", hour, reduce_only=True)
    clock.advance(minutes=59, seconds=59)
    assert await resume_due(services) == 0
    clock.advance(seconds=1)
    assert await resume_due(services) == 2
    assert await resume_due(services) == 0
    admin.renew()
    assert await market_status(admin) == TradingStatus(TradingState.ACTIVE, None, hour, None)
    own, others = await trader.portfolio(), await other.portfolio()
    assert (own.trading_state, own.resume_after) == (TradingState.ACTIVE, None)
    assert others.trading_state is TradingState.PAUSED
    events = (await whole_log(services.database))[-2:]
    assert [(event.type, event.actor_id, event.occurred_at) for event in events] == [
        (EventType.TRADING_RESUMED, None, hour)
    ] * 2
    await trader.place("BUY", "1", limit="1")


async def test_checks_when_all_pass_then_all_are_reported(services: Services) -> None:
    _, trader = await opened(services)
    everything: dict[Kind, Decimal] = {kind: D(1) for kind in Kind}
    for kind, threshold in everything.items():
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, threshold)
    await pause_trading(trader.ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "1", limit="100")
    fault = next(fault for fault in refused.value.faults if isinstance(fault, RiskFault))
    assert {check.kind for check in fault.checks} == set(RiskCheckKind)
    assert {check.kind for check in fault.checks if not check.passed} == {
        RiskCheckKind.TRADING_STATE,
        RiskCheckKind.MAX_ORDER_NOTIONAL,
        RiskCheckKind.MAX_POSITION_NOTIONAL,
        RiskCheckKind.MAX_GROSS_EXPOSURE,
        RiskCheckKind.MAX_VALUE_AT_RISK,
    }
