"""What follows when something may have breached a limit, when one was breached, and when trading is held."""

from datetime import tzinfo
from uuid import UUID

from sqlalchemy import ColumnElement, delete, insert, or_, select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert as insert_or_leave

from infrastructure.database import Transaction
from infrastructure.rows import table, values
from infrastructure.services import Services
from models import facts, notices
from models.accounts import User
from models.enums import EventType, RiskLimitKind, Severity, TradingState
from models.events import RecordedEvent
from models.notifications import Notice
from models.portfolios import TradingStatus
from models.risk_alerts import BreachRow, RiskAlert, raised
from resolvers.alerts.store import USERS, tell, tell_owner, users_in
from resolvers.orders.store import IS_WORKING, LIMITS, ORDERS
from resolvers.portfolios import store
from resolvers.positions.store import POSITIONS
from resolvers.risk.commands import write_status
from resolvers.risk.figures import figures
from resolvers.risk.loaders import ALERTS

RISK_LIMIT_BREACHED, TRADING_PAUSED = "risk-limit-breached", "trading-paused"
BREACHES = table(BreachRow)


async def check_limits(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Hold the portfolio against its limits as it stands now.

    A limit that was kept and is breached is told once; it is told again when it was kept in between. Where it can't be
    said what a limit measures, it stays as it was.
    """
    portfolio_id = event.portfolio_id
    if portfolio_id is None or not await _limited(tx, portfolio_id):
        return
    portfolio = await store.lock(tx, portfolio_id, None)
    if portfolio is None:
        return
    of_portfolio = BREACHES.c.portfolio_id == portfolio_id
    breached = set((await tx.execute(select(BREACHES.c.kind).where(of_portfolio))).scalars())
    kept: set[RiskLimitKind] = set(breached)
    for limit, current in await figures(tx, portfolio, services.clock.now()):
        if current is not None and limit.keeps(current):
            continue
        kept.discard(limit.kind)
        if current is not None and limit.kind not in breached:
            alert = raised(limit, current, services.ids.new(), services.clock.now())
            row = {"portfolio_id": portfolio_id, "kind": limit.kind, "alert_id": alert.id}
            await tx.execute(insert(BREACHES).values(row))
            tx.record(facts.of_alert(EventType.RISK_LIMIT_BREACHED, alert, None, alert.raised_at))
    if kept:
        await tx.execute(delete(BREACHES).where(of_portfolio, BREACHES.c.kind.in_(sorted(kept))))


async def _limited(tx: Transaction, portfolio_id: UUID) -> bool:
    """Whether it has limits, or had one that was breached: most have none, and need no lock."""
    limits = select(LIMITS.c.portfolio_id).where(LIMITS.c.portfolio_id == portfolio_id)
    breaches = select(BREACHES.c.portfolio_id).where(BREACHES.c.portfolio_id == portfolio_id)
    return (await tx.execute(limits.union_all(breaches).limit(1))).first() is not None


async def raise_alert(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Keep the alert and tell the owner; a CRITICAL one pauses the portfolio's trading."""
    alert = facts.alert_of(event)
    added = insert_or_leave(ALERTS).values(values(alert)).on_conflict_do_nothing().returning(ALERTS.c.id)
    if (await tx.execute(added)).first() is None:
        return  # replayed: what was to be done was done then
    if alert.severity is Severity.CRITICAL and not tx.replays:  # one from before the handler: no reason to stop now
        await _pause(services, tx, alert)

    def words(zone: tzinfo, user: User) -> Notice | None:
        return notices.limit_breached(alert, zone) if user.notify_on_risk_breach else None

    await tell_owner(services, tx, event, RISK_LIMIT_BREACHED, words)


async def _pause(services: Services, tx: Transaction, alert: RiskAlert) -> None:
    """Until somebody resumes it: a pause that would end by itself is written anew, without an end."""
    portfolio = await store.lock(tx, alert.portfolio_id, None)
    if portfolio is None or (portfolio.trading_state is TradingState.PAUSED and portfolio.resume_after is None):
        return
    status = TradingStatus(TradingState.PAUSED, f"Risk limit breached: {alert.message}", services.clock.now(), None)
    await write_status(tx, portfolio, status, EventType.TRADING_PAUSED, None)


async def tell_of_pause(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Tell those whose trading is held: a portfolio's owner, or everybody who holds something or has a working order.

    That it resumes at `resumeAfter` needs nobody to remember it: it is looked up in the table (`resume_due`).
    """
    status, portfolio = facts.status_of(event), facts.portfolio_of(event)

    def words(zone: tzinfo, _user: User) -> Notice:
        return notices.trading_paused(portfolio, status, zone)

    chosen = _concerned() if event.owner_id is None else USERS.c.id == event.owner_id
    await tell(services, tx, event, TRADING_PAUSED, await users_in(tx, chosen), words)


def _concerned() -> ColumnElement[bool]:
    return or_(
        USERS.c.id.in_(select(ORDERS.c.owner_id).where(IS_WORKING)),
        USERS.c.id.in_(select(POSITIONS.c.owner_id).where(POSITIONS.c.closed_at.is_(None))),
    )
