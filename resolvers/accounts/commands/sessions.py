"""Sign-ins and their families of refresh tokens, inside a command's transaction."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select, update

from infrastructure.database import Transaction
from infrastructure.ids import new_secret
from infrastructure.rows import columns, table, values
from infrastructure.services import Services
from models.accounts import RefreshTokenRow, Session, SessionRow, User
from models.enums import AggregateType, EventType
from models.events import Event, payload
from resolvers.context import Context

SESSIONS = table(SessionRow)
REFRESH_TOKENS = table(RefreshTokenRow)


class EndReason(StrEnum):
    """Why a sign-in ended."""

    LOGOUT = "LOGOUT"
    LOGOUT_EVERYWHERE = "LOGOUT_EVERYWHERE"
    PASSWORD_CHANGED = "PASSWORD_CHANGED"  # noqa: S105 - reason: a reason's name, not a password
    REUSE = "REUSE"


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A user and what lets them in: `access_token` until `expires_at`, `refresh_token` once, for the next pair."""

    user: User
    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)
    expires_at: datetime


async def start_session(tx: Transaction, ctx: Context, user: User, now: datetime) -> SignedIn:
    """Begin a sign-in of the user; its event says where from."""
    services = ctx.services
    session = Session(id=services.ids.new(), user_id=user.id, created_at=now, revoked_at=None, revoke_reason=None)
    await tx.execute(insert(SESSIONS).values(values(session)))
    where = {"address": ctx.address, "client": ctx.client}
    tx.record(_event(EventType.SESSION_STARTED, session, version=1, actor_id=user.id, now=now, **where))
    return await let_in(tx, services, user, session.id, now)


async def let_in(tx: Transaction, services: Services, user: User, session_id: UUID, now: datetime) -> SignedIn:
    """The next pair of tokens of a sign-in."""
    secret = new_secret()
    row = RefreshTokenRow(
        token_hash=fingerprint(secret),
        session_id=session_id,
        issued_at=now,
        expires_at=now + timedelta(seconds=services.settings.refresh_token_s),
    )
    await tx.execute(insert(REFRESH_TOKENS).values(row.model_dump()))
    access_token, expires_at = services.tokens.issue(user.id, session_id, now)
    return SignedIn(user, access_token, secret, expires_at)


async def session_of(services: Services, refresh_token: str) -> UUID | None:
    """Whose token this is. Asked before a transaction begins: who only guesses does not keep the writers waiting."""
    owner = select(REFRESH_TOKENS.c.session_id).where(REFRESH_TOKENS.c.token_hash == fingerprint(refresh_token))
    async with services.database.read() as connection:
        found: UUID | None = (await connection.execute(owner)).scalar_one_or_none()
    return found


async def locked_sessions(tx: Transaction, *conditions: ColumnElement[bool]) -> list[Session]:
    """The sign-ins that these conditions choose, each locked until the transaction's end."""
    chosen = select(*columns(SessionRow, Session)).where(*conditions)
    rows = await tx.execute(chosen.order_by(SESSIONS.c.id).with_for_update(key_share=True))
    return [Session(*tuple(row)) for row in rows]


async def end_sessions(
    tx: Transaction, sessions: Sequence[Session], reason: EndReason, actor_id: UUID | None, now: datetime
) -> None:
    """End those of these locked sign-ins that have not ended yet."""
    ended = [
        replace(session, revoked_at=now, revoke_reason=reason.value)
        for session in sessions
        if session.revoked_at is None
    ]
    if ended:
        ending = update(SESSIONS).where(SESSIONS.c.id.in_([session.id for session in ended]))
        await tx.execute(ending.values(revoked_at=now, revoke_reason=reason.value))
    for session in ended:
        tx.record(_event(EventType.SESSION_ENDED, session, version=2, actor_id=actor_id, now=now))


def fingerprint(refresh_token: str) -> str:
    """What is stored of a refresh token."""
    return hashlib.sha256(refresh_token.encode("utf-8", "surrogatepass")).hexdigest()


def _event(
    kind: EventType, session: Session, *, version: int, actor_id: UUID | None, now: datetime, **more: str | None
) -> Event:
    return Event(
        type=kind,
        aggregate_type=AggregateType.SESSION,
        aggregate_id=session.id,
        version=version,
        owner_id=session.user_id,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(session=session, **more),
    )
