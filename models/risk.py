"""Risk limits, and the named checks that an order passes before it is accepted."""

from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlalchemy import UniqueConstraint
from sqlmodel import Field, SQLModel

from models.columns import Exact, Word, at_least_zero, one_of
from models.enums import RiskCheckKind, RiskLimitKind, Severity
from models.equity import LOSSES
from models.money import text


@dataclass(frozen=True, slots=True)
class RiskLimit:
    """A limit of a portfolio.

    `threshold` is money in the base currency, a fraction or a multiple of equity, or a count, by its kind.
    """

    id: UUID
    portfolio_id: UUID
    owner_id: UUID
    kind: RiskLimitKind
    threshold: Decimal
    severity: Severity

    def keeps(self, measured: Decimal) -> bool:
        """Whether it is kept: a loss has to be below its threshold, what else is measured may come to it."""
        return measured < self.threshold if self.kind in LOSSES else measured <= self.threshold


@dataclass(frozen=True, slots=True)
class RiskCheck:
    """What one check saw (`projected`) and what it allows (`threshold`); none for a check that has no figure."""

    kind: RiskCheckKind
    passed: bool
    threshold: Decimal | None
    projected: Decimal | None
    message: str


class RiskLimitRow(SQLModel, table=True):
    """Stored limits, one of a kind for each portfolio."""

    __tablename__ = "risk_limits"
    __table_args__ = (
        UniqueConstraint("portfolio_id", "kind", name="one_limit_of_a_kind"),
        one_of("kind", RiskLimitKind),
        one_of("severity", Severity),
        at_least_zero("threshold"),
    )

    id: UUID = Field(primary_key=True)
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    kind: RiskLimitKind = Field(sa_type=Word(RiskLimitKind))
    threshold: Decimal = Field(sa_type=Exact)
    severity: Severity = Field(sa_type=Word(Severity))


def threshold_fault(kind: RiskLimitKind, threshold: Decimal) -> str | None:
    """Why a threshold makes no sense for a limit of that kind; none if it does."""
    if threshold < 0:
        return f"is {text(threshold)}: it has to be 0 or more"
    if kind is RiskLimitKind.MAX_OPEN_ORDERS and threshold != threshold.to_integral_value():
        return f"is {text(threshold)}: a count has to be a whole number"
    if kind in LOSSES and threshold == 0:
        return "is 0: it has to be more, as a loss that has come to it holds new risk"
    if kind in (RiskLimitKind.MAX_CONCENTRATION, RiskLimitKind.MAX_DRAWDOWN) and threshold > 1:
        return f"is {text(threshold)}: a fraction of total equity has to be between 0 and 1 (0.25 is 25%)"
    return None
