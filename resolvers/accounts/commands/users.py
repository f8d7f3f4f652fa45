"""Users' rows and their events, inside a command's transaction."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.exc import IntegrityError

from infrastructure.database import Database, Transaction
from infrastructure.rows import columns, saving, table, values
from models.accounts import User, UserRow
from models.enums import AggregateType, ErrorCode, EventType
from models.errors import Fault, Refused
from models.events import Event, payload

USERS = table(UserRow)
_KNOWN = select(*columns(UserRow, User), USERS.c.password_hash)


@dataclass(frozen=True, slots=True)
class Account:
    """A user with the hash of their password."""

    user: User
    password_hash: str = field(repr=False)


async def account_by(database: Database, condition: ColumnElement[bool]) -> Account | None:
    """The one account that the condition chooses, as it is now."""
    async with database.read() as connection:
        row = (await connection.execute(_KNOWN.where(condition))).one_or_none()
    return None if row is None else _account(row)


async def locked_account(tx: Transaction, condition: ColumnElement[bool]) -> Account | None:
    """The one account that the condition chooses, locked until the transaction's end."""
    row = (await tx.execute(_KNOWN.where(condition).with_for_update(key_share=True))).one_or_none()
    return None if row is None else _account(row)


def _account(row: Iterable[Any]) -> Account:
    *fields, password_hash = row
    return Account(User(*fields), password_hash)


async def create_user(tx: Transaction, user: User, password_hash: str) -> None:
    """Store a new user; refused where the email is another's."""
    try:
        await tx.execute(insert(USERS).values(values(user) | {"password_hash": password_hash}))
    except IntegrityError:
        taken = Fault(ErrorCode.CONFLICT, "This email is registered already.", ("input", "email"))
        raise Refused(taken) from None
    tx.record(_event(EventType.USER_CREATED, user, actor_id=user.id, now=user.created_at))


async def change_user(
    tx: Transaction, after: User, kind: EventType, actor_id: UUID | None, now: datetime, **more: Any
) -> User:
    """Store a locked user with its changes as the next version, and `more` columns. Answers with that version."""
    user = replace(after, version=after.version + 1)
    await tx.execute(saving(USERS, user).values(more))
    tx.record(_event(kind, user, actor_id=actor_id, now=now))
    return user


def _event(kind: EventType, user: User, *, actor_id: UUID | None, now: datetime) -> Event:
    return Event(
        type=kind,
        aggregate_type=AggregateType.USER,
        aggregate_id=user.id,
        version=user.version,
        owner_id=user.id,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(user=user),
    )
