"""What a user is told of."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import Moment, Word, one_of
from models.enums import Severity


@dataclass(frozen=True, slots=True)
class Notice:
    """What is to be said, and of what: a node's type and its key."""

    severity: Severity
    title: str
    body: str
    subject_type: str | None = None
    subject_id: str | None = None


@dataclass(frozen=True, slots=True)
class Notification:
    """A notice to one user, unread while `read_at` is none. `version` is 2 once it was read."""

    id: UUID
    owner_id: UUID
    severity: Severity
    title: str
    body: str
    subject_type: str | None
    subject_id: str | None
    created_at: datetime
    read_at: datetime | None
    version: int


class NotificationRow(SQLModel, table=True):
    """Stored notifications: of one event a handler tells each user at most once, also when it is replayed."""

    __tablename__ = "notifications"
    __table_args__ = (
        one_of("severity", Severity),
        UniqueConstraint("event_seq", "handler", "owner_id", name="told_once_of_an_event"),
        Index("notifications_by_owner", "owner_id", "created_at", "id"),
        Index(
            "notifications_unread",
            "owner_id",
            "created_at",
            "id",
            postgresql_where=text("read_at IS NULL"),
            sqlite_where=text("read_at IS NULL"),
        ),
        Index(
            "notifications_of_market_alerts",
            "subject_id",
            "created_at",
            "owner_id",
            postgresql_where=text("handler = 'market-alert'"),
            sqlite_where=text("handler = 'market-alert'"),
        ),
        Index(
            "notifications_by_reading",
            "read_at",
            postgresql_where=text("read_at IS NOT NULL"),
            sqlite_where=text("read_at IS NOT NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    owner_id: UUID = Field(foreign_key="users.id")
    severity: Severity = Field(sa_type=Word(Severity))
    title: str
    body: str
    subject_type: str | None = None
    subject_id: str | None = None
    created_at: datetime = Field(sa_type=Moment)
    read_at: datetime | None = Field(default=None, sa_type=Moment)
    version: int
    event_seq: int = Field(sa_type=BigInteger)
    handler: str


class ForgottenRow(SQLModel, table=True):
    """One row, if any: of the events up to this one, notifications that were read may be gone."""

    __tablename__ = "notifications_forgotten"

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    event_seq: int = Field(sa_type=BigInteger)
