"""Who is asking, and who users are."""

from collections.abc import Awaitable
from uuid import UUID

from sqlalchemy import select

from infrastructure.rows import columns, table
from infrastructure.services import Services
from models.accounts import SessionRow, User, UserRow
from models.errors import Unauthenticated
from resolvers.accounts.loaders import users_by_id
from resolvers.context import Context, Viewer

USERS, SESSIONS = table(UserRow), table(SessionRow)


async def authorization(services: Services, header: str | None) -> Viewer | None:
    """The caller behind `Bearer <access token>`; None without a header. HTTP and websocket both ask here.

    Raises `Unauthenticated` with its reason for anything else: a request is never answered as half a caller's.
    """
    if header is None:
        return None
    scheme, _, token = header.strip().partition(" ")
    if scheme.lower() != "bearer":
        raise Unauthenticated("Send an access token as `Authorization: Bearer …`.", "INVALID")
    return await authenticate(services, token.strip())


async def authenticate(services: Services, token: str) -> Viewer:
    """The caller that an access token stands for, as they are now; raises `Unauthenticated` with its reason."""
    claims = services.tokens.read(token, services.clock.now())
    signed_in = (
        select(*columns(UserRow, User))
        .join(SESSIONS, SESSIONS.c.user_id == USERS.c.id)
        .where(
            SESSIONS.c.id == claims.session_id,
            SESSIONS.c.revoked_at.is_(None),
            USERS.c.id == claims.user_id,
        )
    )
    async with services.database.read() as connection:
        row = (await connection.execute(signed_in)).one_or_none()
    if row is None:
        raise Unauthenticated("This sign-in has ended: sign in again.", "REVOKED")
    return Viewer(User(*row), claims.session_id, claims.expires_at)


def viewer(ctx: Context) -> User | None:
    """The caller; None for an anonymous one."""
    return None if ctx.viewer is None else ctx.viewer.user


def user_by_id(ctx: Context, user_id: UUID) -> Awaitable[User | None]:
    """A user that the caller may see; one that they may not see is None like one that there is not."""
    return ctx.load(users_by_id, user_id)
