"""Breached limits: that they stand, and the alerts that were raised of them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, one_of
from models.enums import RiskLimitKind, Severity
from models.equity import LOSSES
from models.money import text
from models.risk import RiskLimit


@dataclass(frozen=True, slots=True)
class RiskAlert:
    """A limit was breached: what was measured then, and what was allowed. `version` is 2 once it is acknowledged."""

    id: UUID
    portfolio_id: UUID
    owner_id: UUID
    kind: RiskLimitKind
    severity: Severity
    message: str
    threshold: Decimal
    current: Decimal
    raised_at: datetime
    acknowledged_at: datetime | None
    version: int


def raised(limit: RiskLimit, current: Decimal, alert_id: UUID, now: datetime) -> RiskAlert:
    """The alert of a limit that was found breached."""
    allowed = "less than" if limit.kind in LOSSES else "at most"
    return RiskAlert(
        id=alert_id,
        portfolio_id=limit.portfolio_id,
        owner_id=limit.owner_id,
        kind=limit.kind,
        severity=limit.severity,
        message=f"{limit.kind} is {text(current)}, {allowed} {text(limit.threshold)} is allowed.",
        threshold=limit.threshold,
        current=current,
        raised_at=now,
        acknowledged_at=None,
        version=1,
    )


class RiskAlertRow(SQLModel, table=True):
    """Stored alerts."""

    __tablename__ = "risk_alerts"
    __table_args__ = (
        one_of("severity", Severity),
        Index("risk_alerts_by_portfolio", "portfolio_id", "raised_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    kind: RiskLimitKind = Field(sa_type=Word(RiskLimitKind))
    severity: Severity = Field(sa_type=Word(Severity))
    message: str
    threshold: Decimal = Field(sa_type=Exact)
    current: Decimal = Field(sa_type=Exact)
    raised_at: datetime = Field(sa_type=Moment)
    acknowledged_at: datetime | None = Field(default=None, sa_type=Moment)
    version: int


class BreachRow(SQLModel, table=True):
    """The limits that are breached just now: of one that stays so no other alert is raised."""

    __tablename__ = "risk_breaches"

    portfolio_id: UUID = Field(primary_key=True, foreign_key="portfolios.id")
    kind: RiskLimitKind = Field(primary_key=True, sa_type=Word(RiskLimitKind))
    alert_id: UUID
