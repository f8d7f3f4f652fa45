"""Users, their sessions and what they prefer."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import Moment, Word, one_of
from models.enums import InvestmentGoal, RiskTolerance, Role


@dataclass(frozen=True, slots=True)
class User:
    """A person who trades, or runs the place. `version` grows by one with each of their events."""

    id: UUID
    email: str
    first_name: str
    last_name: str
    role: Role
    risk_tolerance: RiskTolerance
    investment_goal: InvestmentGoal
    base_currency: str
    timezone: str
    notify_on_fill: bool
    notify_on_risk_breach: bool
    notify_on_market_alert: bool
    version: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One sign-in; its refresh tokens are one family, and revoking it ends all of them."""

    id: UUID
    user_id: UUID
    created_at: datetime
    revoked_at: datetime | None
    revoke_reason: str | None


class UserRow(SQLModel, table=True):
    """Stored users. The email is kept in lower case."""

    __tablename__ = "users"
    __table_args__ = (
        one_of("role", Role),
        one_of("risk_tolerance", RiskTolerance),
        one_of("investment_goal", InvestmentGoal),
    )

    id: UUID = Field(primary_key=True)
    email: str = Field(unique=True)
    password_hash: str
    first_name: str
    last_name: str
    role: Role = Field(sa_type=Word(Role))
    risk_tolerance: RiskTolerance = Field(sa_type=Word(RiskTolerance))
    investment_goal: InvestmentGoal = Field(sa_type=Word(InvestmentGoal))
    base_currency: str
    timezone: str
    notify_on_fill: bool
    notify_on_risk_breach: bool
    notify_on_market_alert: bool
    version: int
    created_at: datetime = Field(sa_type=Moment)


class SessionRow(SQLModel, table=True):
    """Stored sign-ins."""

    __tablename__ = "sessions"

    id: UUID = Field(primary_key=True)
    user_id: UUID = Field(foreign_key="users.id", index=True)
    created_at: datetime = Field(sa_type=Moment)
    revoked_at: datetime | None = Field(default=None, sa_type=Moment)
    revoke_reason: str | None = None


class RefreshTokenRow(SQLModel, table=True):
    """Refresh tokens by their SHA-256, never in the clear. A used one that comes again revokes its session."""

    __tablename__ = "refresh_tokens"

    token_hash: str = Field(primary_key=True)
    session_id: UUID = Field(foreign_key="sessions.id", index=True)
    issued_at: datetime = Field(sa_type=Moment)
    expires_at: datetime = Field(sa_type=Moment)
    used_at: datetime | None = Field(default=None, sa_type=Moment)
