from models.enums import ApiScope
from resolvers.accounts.commands.sessions import (
    SESSIONS,
    EndReason,
    end_sessions,
    locked_sessions,
    session_of,
)
from resolvers.context import Context
from resolvers.scopes import needs


@needs(ApiScope.ADMIN, anonymous=True)
async def logout(ctx: Context, refresh_token: str) -> None:
    """End the sign-in that the token belongs to. One that is unknown or has ended is no error to learn from."""
    session_id = await session_of(ctx.services, refresh_token)
    if session_id is None:
        return
    async with ctx.services.database.write() as tx:
        sessions = await locked_sessions(tx, SESSIONS.c.id == session_id)
        await end_sessions(tx, sessions, EndReason.LOGOUT, sessions[0].user_id, ctx.now)


@needs(ApiScope.ADMIN)
async def logout_everywhere(ctx: Context) -> None:
    """End every sign-in of the caller, this one too."""
    user_id = ctx.owner_id
    async with ctx.services.database.write() as tx:
        sessions = await locked_sessions(tx, SESSIONS.c.user_id == user_id, SESSIONS.c.revoked_at.is_(None))
        await end_sessions(tx, sessions, EndReason.LOGOUT_EVERYWHERE, user_id, ctx.now)
