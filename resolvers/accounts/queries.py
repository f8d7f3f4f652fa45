"""Who is asking, and who users are."""

from collections.abc import Awaitable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import ColumnElement, bindparam, func, select

from infrastructure.log import EVENTS
from infrastructure.rows import columns, table
from infrastructure.services import Services
from infrastructure.statements import Statement
from infrastructure.tokens import Claims
from models.accounts import SessionRow, User, UserRow
from models.errors import Unauthenticated
from models.facts import MARKET_ID
from models.keys import EVERY_SCOPE, MARK, fingerprint, granted, is_key
from resolvers.accounts.keys import KEYS
from resolvers.accounts.loaders import users_by_id
from resolvers.context import Context, Viewer

USERS, SESSIONS = table(UserRow), table(SessionRow)


def _last(which: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(select(func.max(EVENTS.c.seq)).where(which).scalar_subquery(), 0)


_SEEN = _last(EVENTS.c.owner_id == USERS.c.id), _last(EVENTS.c.aggregate_id == MARKET_ID)
"""The places of the user's last event, and of the last of everybody's trading: it may be them who paused it."""
_SIGNED_IN = Statement(
    select(*columns(UserRow, User), *_SEEN)
    .join(SESSIONS, SESSIONS.c.user_id == USERS.c.id)
    .where(SESSIONS.c.id == bindparam("session"), SESSIONS.c.revoked_at.is_(None), USERS.c.id == bindparam("user"))
)
_KEY = Statement(
    select(*columns(UserRow, User), KEYS.c.id, KEYS.c.scopes, KEYS.c.last_used_at, KEYS.c.revoked_at, *_SEEN)
    .join(KEYS, KEYS.c.user_id == USERS.c.id)
    .where(KEYS.c.secret_hash == bindparam("secret_hash"))
)


async def authorization(services: Services, header: str | None, api_key: str | None = None) -> Viewer | None:
    """The caller behind `Bearer <access token or API key>`, or behind a key by itself; None without either.

    HTTP and websocket both ask here. Raises `Unauthenticated` with its reason for anything else: a request is never
    answered as half a caller's.
    """
    if api_key is not None:
        if header is not None:
            raise Unauthenticated("Send `Authorization` or `X-API-Key`, not both.", "INVALID")
        return await _by_key(services, api_key.strip())
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Send an access token or an API key as `Authorization: Bearer …`.", "INVALID")
    return await authenticate(services, token.strip())


async def authenticate(services: Services, token: str) -> Viewer:
    """The caller that an access token or an API key stands for, as they are now, in one statement at most.

    Raises `Unauthenticated` with its reason.
    """
    if token.startswith(MARK):
        return await _by_key(services, token)
    claims = services.tokens.read(token, services.clock.now())
    # By the text, which is compared faster than what it says.
    found: Viewer = await services.known.of(token, partial(_by_session, services, claims))
    return found


async def _by_session(services: Services, claims: Claims) -> Viewer:
    rows = await services.database.rows(_SIGNED_IN, session=claims.session_id, user=claims.user_id)
    if not rows:
        raise Unauthenticated("This sign-in has ended: sign in again.", "REVOKED")
    *user, own, everybodys = rows[0]
    return Viewer(User(*user), claims.session_id, claims.expires_at, EVERY_SCOPE, seen=max(own, everybodys))


async def _by_key(services: Services, secret: str) -> Viewer:
    found: _KnownKey
    if not is_key(secret):
        raise _no_key()
    secret_hash = fingerprint(secret)
    found = await services.known.of(secret_hash, partial(_key, services, secret_hash))
    services.key_uses.note(found.key_id, found.last_used_at, services.clock.now())
    return found.viewer


@dataclass(frozen=True, slots=True)
class _KnownKey:
    """Who a key stands for, and when it was used last."""

    viewer: Viewer
    key_id: UUID
    last_used_at: datetime | None

    @property
    def user_id(self) -> UUID:
        return self.viewer.user.id

    @property
    def seen(self) -> int:
        return self.viewer.seen


async def _key(services: Services, secret_hash: str) -> _KnownKey:
    rows = await services.database.rows(_KEY, secret_hash=secret_hash)
    if not rows:
        raise _no_key()
    *user, key_id, scopes, last_used_at, revoked_at, own, everybodys = rows[0]
    if revoked_at is not None:
        raise Unauthenticated("The API key has been revoked.", "REVOKED")
    viewer = Viewer(User(*user), None, None, granted(scopes), key_id, max(own, everybodys))
    return _KnownKey(viewer, key_id, last_used_at)


def _no_key() -> Unauthenticated:
    return Unauthenticated("The API key is not valid.", "INVALID")


def viewer(ctx: Context) -> User | None:
    """The caller; None for an anonymous one."""
    return None if ctx.viewer is None else ctx.viewer.user


def user_by_id(ctx: Context, user_id: UUID) -> Awaitable[User | None]:
    """A user that the caller may see; one that they may not see is None like one that there is not."""
    return ctx.load(users_by_id, user_id)
