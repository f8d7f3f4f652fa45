"""Setting risk limits, pausing and resuming trading."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import partial
from uuid import UUID

from sqlalchemy import delete, insert, select, update

from infrastructure.background import each_apart
from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_one, saving, values
from infrastructure.services import Services
from models import facts
from models.enums import ApiScope, ErrorCode, EventType, RiskLimitKind, Severity, TradingState
from models.errors import Fault, Refused, invalid, missing, refuse_if
from models.money import MAX_DIGITS, MAX_PLACES, fits
from models.portfolios import Portfolio, TradingStatus
from models.risk import RiskLimit, RiskLimitRow, threshold_fault
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.context import Context
from resolvers.portfolios import store
from resolvers.portfolios.inputs import reason_faults
from resolvers.requests import Done
from resolvers.risk.loaders import ALERTS, LIMITS
from resolvers.scopes import needs


@needs(ApiScope.TRADE)
async def set_risk_limit(
    ctx: Context, portfolio_id: UUID, kind: RiskLimitKind, threshold: Decimal, severity: Severity | None = None
) -> Done[RiskLimit]:
    """Set a portfolio's limit of a kind, or change the one that it has."""
    viewer = ctx.signed_in()
    if not fits(threshold):
        message = f"`threshold` may have {MAX_DIGITS} digits before the point and {MAX_PLACES} after it."
        raise Refused(invalid(message, "threshold"))
    if fault := threshold_fault(kind, threshold):
        raise Refused(invalid(f"`threshold` {fault}.", "threshold"))
    async with ctx.services.database.write() as tx:
        portfolio = await store.locked(tx, ctx, portfolio_id)
        standing = await _limit(tx, portfolio_id, kind)
        limit = RiskLimit(
            id=standing.id if standing else ctx.services.ids.new(),
            portfolio_id=portfolio_id,
            owner_id=viewer.user.id,
            kind=kind,
            threshold=threshold,
            severity=severity or (standing.severity if standing else Severity.WARNING),
        )
        if limit == standing:
            return Done(limit, ctx.position)
        if standing:
            await tx.execute(saving(LIMITS, limit))
        else:
            await tx.execute(insert(LIMITS), values(limit))
        await _changed(tx, ctx, portfolio, limit, removed=False)
    return Done(limit, tx.position)


@needs(ApiScope.TRADE)
async def remove_risk_limit(ctx: Context, portfolio_id: UUID, kind: RiskLimitKind) -> Done[Portfolio]:
    """Take a portfolio's limit of a kind away."""
    ctx.signed_in()
    async with ctx.services.database.write() as tx:
        portfolio = await store.locked(tx, ctx, portfolio_id)
        standing = await _limit(tx, portfolio_id, kind)
        if standing is None:
            raise missing("risk limit", "kind")
        await tx.execute(delete(LIMITS).where(LIMITS.c.id == standing.id))
        portfolio = await _changed(tx, ctx, portfolio, standing, removed=True)
    return Done(portfolio, tx.position)


@needs(ApiScope.TRADE)
async def pause_trading(
    ctx: Context, portfolio_id: UUID | None, reason: str, resume_after: datetime | None, *, reduce_only: bool
) -> Done[TradingStatus]:
    """Hold trading in a portfolio, or (ADMIN, no portfolio) everybody's, until resumed or until `resume_after`."""
    ctx.signed_in()
    faults = reason_faults(reason)
    if resume_after is not None and resume_after <= ctx.now:
        faults.append(invalid("`resumeAfter` has to be in the future.", "resumeAfter"))
    refuse_if(faults)
    state = TradingState.REDUCE_ONLY if reduce_only else TradingState.PAUSED
    status = TradingStatus(state, reason.strip(), ctx.now, resume_after)
    return await _set_status(ctx, portfolio_id, status, EventType.TRADING_PAUSED)


@needs(ApiScope.TRADE)
async def resume_trading(ctx: Context, portfolio_id: UUID | None) -> Done[TradingStatus]:
    """Let trading go on in a portfolio, or (ADMIN, no portfolio) everybody's."""
    ctx.signed_in()
    status = TradingStatus(TradingState.ACTIVE, None, ctx.now, None)
    return await _set_status(ctx, portfolio_id, status, EventType.TRADING_RESUMED)


@needs(ApiScope.TRADE)
async def acknowledge_risk_alert(ctx: Context, alert_id: UUID) -> Done[RiskAlert]:
    """Note that the owner knows of an alert; one that is acknowledged stays as it is."""
    async with ctx.services.database.write() as tx:
        mine = (ALERTS.c.id == alert_id) & (ALERTS.c.owner_id == ctx.owner_id)
        statement = select(*columns(RiskAlertRow, RiskAlert)).where(mine).with_for_update()
        alert = await read_one(tx.connection, RiskAlert, statement)
        if alert is None:
            raise missing("risk alert", "alertId")
        if alert.acknowledged_at is not None:
            return Done(alert, ctx.position)
        alert = replace(alert, acknowledged_at=ctx.now, version=alert.version + 1)
        await tx.execute(saving(ALERTS, alert))
        tx.record(facts.of_alert(EventType.RISK_ALERT_ACKNOWLEDGED, alert, ctx.owner_id, ctx.now))
    return Done(alert, tx.position)


async def resume_due(services: Services) -> int:
    """Resume every trading whose `resumeAfter` has come, each in its own transaction; how many there were."""
    now = services.clock.now()
    portfolios, market = store.PORTFOLIOS, store.MARKET
    async with services.database.read() as connection:
        due = list(await connection.scalars(select(portfolios.c.id).where(portfolios.c.resume_after <= now)))
        market_due = list(await connection.scalars(select(market.c.id).where(market.c.resume_after <= now)))
    count = await each_apart("resume a portfolio's trading", due, partial(_resume, services))
    return count + await each_apart("resume everybody's trading", market_due, lambda _: _resume_market(services))


async def _resume(services: Services, portfolio_id: UUID) -> bool:
    async with services.database.write() as tx:
        portfolio = await store.lock(tx, portfolio_id, None)
        now = services.clock.now()
        if portfolio is None or portfolio.resume_after is None or portfolio.resume_after > now:
            return False
        status = TradingStatus(TradingState.ACTIVE, None, now, None)
        await write_status(tx, portfolio, status, EventType.TRADING_RESUMED, None)
    return True


async def _resume_market(services: Services) -> bool:
    async with services.database.write() as tx:
        # Locked: who holds trading anew just now must not be overridden.
        standing, version = await store.market_status(tx, lock=True)
        now = services.clock.now()
        if standing.resume_after is None or standing.resume_after > now:
            return False
        status = TradingStatus(TradingState.ACTIVE, None, now, None)
        await _write_market(tx, version, status, EventType.TRADING_RESUMED, None)
    return True


async def _set_status(
    ctx: Context, portfolio_id: UUID | None, status: TradingStatus, kind: EventType
) -> Done[TradingStatus]:
    """Writes the status, unless trading is open and stays so: then it answers with the status that stands."""
    viewer = ctx.signed_in(ApiScope.TRADE if portfolio_id else ApiScope.ADMIN)
    if portfolio_id is None and not viewer.is_admin:
        raise Refused(Fault(ErrorCode.FORBIDDEN, "Only an ADMIN can hold or resume everybody's trading.", ("input",)))
    async with ctx.services.database.write() as tx:
        if portfolio_id is None:
            standing, version = await store.market_status(tx, lock=True)
            if not _stays_open(standing, status):
                await _write_market(tx, version, status, kind, viewer.user.id)
        else:
            portfolio = await store.locked(tx, ctx, portfolio_id)
            standing = store.status_of(portfolio)
            if not _stays_open(standing, status):
                await write_status(tx, portfolio, status, kind, viewer.user.id)
    return Done(status, tx.position) if tx.position else Done(standing, ctx.position)


def _stays_open(standing: TradingStatus, status: TradingStatus) -> bool:
    return standing.state is TradingState.ACTIVE is status.state


async def write_status(
    tx: UnitOfWork, portfolio: Portfolio, status: TradingStatus, kind: EventType, actor_id: UUID | None
) -> None:
    """Hold or let go on the trading of a locked portfolio."""
    portfolio = store.with_status(portfolio, status)
    await store.save(tx, portfolio)
    tx.record(facts.of_portfolio(kind, portfolio, actor_id, status.since))


async def _write_market(
    tx: UnitOfWork, version: int, status: TradingStatus, kind: EventType, actor_id: UUID | None
) -> None:
    await tx.execute(
        update(store.MARKET).values(
            trading_state=status.state,
            trading_reason=status.reason,
            trading_since=status.since,
            resume_after=status.resume_after,
            version=version + 1,
        )
    )
    tx.record(facts.of_market(kind, status, version + 1, actor_id, status.since))


async def _limit(tx: UnitOfWork, portfolio_id: UUID, kind: RiskLimitKind) -> RiskLimit | None:
    statement = select(*columns(RiskLimitRow, RiskLimit)).where(
        LIMITS.c.portfolio_id == portfolio_id, LIMITS.c.kind == kind
    )
    return await read_one(tx.connection, RiskLimit, statement)


async def _changed(tx: UnitOfWork, ctx: Context, portfolio: Portfolio, limit: RiskLimit, *, removed: bool) -> Portfolio:
    portfolio = replace(portfolio, version=portfolio.version + 1)
    await store.save(tx, portfolio)
    tx.record(facts.of_limit(portfolio, limit, ctx.owner_id, ctx.now, removed=removed))
    return portfolio
