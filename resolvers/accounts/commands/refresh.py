from datetime import datetime

from sqlalchemy import select, update

from infrastructure.database import Transaction
from infrastructure.rows import columns
from infrastructure.services import Services
from models.accounts import Session, User, UserRow
from models.enums import ApiScope, ErrorCode
from models.errors import Fault, Refused
from resolvers.accounts.commands.sessions import (
    REFRESH_TOKENS,
    SESSIONS,
    EndReason,
    SignedIn,
    end_sessions,
    fingerprint,
    let_in,
    locked_sessions,
    session_of,
)
from resolvers.accounts.commands.users import USERS
from resolvers.context import Context
from resolvers.scopes import needs

NOT_VALID = Fault(
    ErrorCode.UNAUTHENTICATED, "The refresh token is not valid: sign in again.", ("input", "refreshToken")
)


@needs(ApiScope.ADMIN, anonymous=True)
async def refresh_token(ctx: Context, token: str) -> SignedIn:
    """The next pair of tokens for one that has not been used.

    One that has been used is in two hands: its session ends, for both. Raises `Refused`, the same in every case.
    """
    session_id = await session_of(ctx.services, token)
    if session_id is None:
        raise Refused(NOT_VALID)
    async with ctx.services.database.write() as tx:
        sessions = await locked_sessions(tx, SESSIONS.c.id == session_id)
        rotated = await _rotated(tx, ctx.services, sessions[0], fingerprint(token), ctx.now)
    if rotated is None:  # only now: the end of the session had to be committed
        raise Refused(NOT_VALID)
    return rotated


async def _rotated(
    tx: Transaction, services: Services, session: Session, token_hash: str, now: datetime
) -> SignedIn | None:
    if session.revoked_at is not None:
        return None
    # Read behind the session's lock: of two with the same token, the second sees that it has been used.
    this = REFRESH_TOKENS.c.token_hash == token_hash
    stored = (await tx.execute(select(REFRESH_TOKENS.c.used_at, REFRESH_TOKENS.c.expires_at).where(this))).one()
    if stored.used_at is not None:
        await end_sessions(tx, [session], EndReason.REUSE, None, now)
        return None
    if stored.expires_at <= now:
        return None
    await tx.execute(update(REFRESH_TOKENS).where(this).values(used_at=now))
    # Not locked: who locks both takes the user first, so that nobody waits for each other.
    user = (await tx.execute(select(*columns(UserRow, User)).where(USERS.c.id == session.user_id))).one()
    return await let_in(tx, services, User(*tuple(user)), session.id, now)
