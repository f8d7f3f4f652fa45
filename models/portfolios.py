"""Portfolios, and the ledger through which alone their cash moves."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, at_least_zero, one_of
from models.enums import TradingState, TransactionKind


@dataclass(frozen=True, slots=True)
class Portfolio:
    """Cash, what is held back of it, and what trading it is open to.

    `cash` is the balance after its last ledger row, `reserved_cash` the sum of what its working orders hold back,
    `realized_pnl` the sum over its positions, closed ones too; `ledger_size` counts its ledger rows.
    """

    id: UUID
    owner_id: UUID
    name: str
    base_currency: str
    cash: Decimal
    reserved_cash: Decimal
    realized_pnl: Decimal
    ledger_size: int
    trading_state: TradingState
    trading_reason: str | None
    trading_since: datetime
    resume_after: datetime | None
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Transaction:
    """One row of a portfolio's ledger, `number` counting from 1; the amounts up to it sum to `balance_after`."""

    id: UUID
    portfolio_id: UUID
    owner_id: UUID
    number: int
    kind: TransactionKind
    amount: Decimal
    balance_after: Decimal
    description: str
    fill_id: UUID | None
    occurred_at: datetime


@dataclass(frozen=True, slots=True)
class TradingStatus:
    """What trading is let through, since when, and when it goes back to ACTIVE by itself."""

    state: TradingState
    reason: str | None
    since: datetime
    resume_after: datetime | None


def stricter(one: TradingState, other: TradingState) -> TradingState:
    """The one that lets less through."""
    return max(one, other, key=list(TradingState).index)


class PortfolioRow(SQLModel, table=True):
    """Stored portfolios. A command that changes one, its orders or its positions locks this row first."""

    __tablename__ = "portfolios"
    __table_args__ = (
        at_least_zero("reserved_cash"),
        one_of("trading_state", TradingState),
        Index("portfolios_by_owner", "owner_id", "created_at", "id"),
        Index(
            "portfolios_due",
            "resume_after",
            postgresql_where=text("resume_after IS NOT NULL"),
            sqlite_where=text("resume_after IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    name: str
    base_currency: str
    cash: Decimal = Field(sa_type=Exact)
    reserved_cash: Decimal = Field(sa_type=Exact)
    realized_pnl: Decimal = Field(sa_type=Exact)
    ledger_size: int
    trading_state: TradingState = Field(sa_type=Word(TradingState))
    trading_reason: str | None = None
    trading_since: datetime = Field(sa_type=Moment)
    resume_after: datetime | None = Field(default=None, sa_type=Moment)
    version: int
    created_at: datetime = Field(sa_type=Moment)


class TransactionRow(SQLModel, table=True):
    """The stored ledger; append-only. `request_hash` tells a retry of the same key from another request."""

    __tablename__ = "transactions"
    __table_args__ = (
        one_of("kind", TransactionKind),
        UniqueConstraint("portfolio_id", "number", name="ledger_has_no_gaps"),
        UniqueConstraint("portfolio_id", "idempotency_key", name="one_movement_for_each_key"),
    )

    id: UUID = Field(primary_key=True)
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    number: int
    kind: TransactionKind = Field(sa_type=Word(TransactionKind))
    amount: Decimal = Field(sa_type=Exact)
    balance_after: Decimal = Field(sa_type=Exact)
    description: str
    fill_id: UUID | None = Field(default=None, foreign_key="fills.id")
    occurred_at: datetime = Field(sa_type=Moment)
    idempotency_key: str | None = None
    request_hash: str | None = None


class MarketStateRow(SQLModel, table=True):
    """The one row that holds trading for everybody."""

    __tablename__ = "market_state"
    __table_args__ = (one_of("trading_state", TradingState),)

    id: int = Field(primary_key=True)
    trading_state: TradingState = Field(sa_type=Word(TradingState))
    trading_reason: str | None = None
    trading_since: datetime = Field(sa_type=Moment)
    resume_after: datetime | None = Field(default=None, sa_type=Moment)
    version: int
