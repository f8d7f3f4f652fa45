from models.accounts import User
from models.enums import ApiScope, EventType
from models.errors import Refused, invalid, refuse_if
from models.people import password_faults
from resolvers.accounts.commands.sessions import SESSIONS, EndReason, end_sessions, locked_sessions
from resolvers.accounts.commands.users import USERS, account_by, change_user, locked_account
from resolvers.context import Context
from resolvers.scopes import needs

WRONG = invalid("The current password is wrong.", "currentPassword")


@needs(ApiScope.ADMIN)
async def change_password(ctx: Context, current: str, new: str) -> User:
    """Give the caller another password and end all their other sign-ins.

    Raises `Refused` with every fault; `Throttled`, as for a login.
    """
    services, now, viewer = ctx.services, ctx.now, ctx.signed_in()
    mine = USERS.c.id == viewer.user.id
    await services.throttle.login(viewer.user.email, ctx.address)
    known = await account_by(services.database, mine)
    right = await services.passwords.verify(known.password_hash if known else None, current)
    refuse_if(
        [*([] if right else [WRONG]), *password_faults(new, services.settings.password_length_min, "newPassword")]
    )
    password_hash = await services.passwords.hash(new)
    async with services.database.write() as tx:
        account = await locked_account(tx, mine)
        if account is None or known is None or account.password_hash != known.password_hash:  # changed meanwhile
            raise Refused(WRONG)
        kind = EventType.USER_PASSWORD_CHANGED
        user = await change_user(tx, account.user, kind, viewer.user.id, now, password_hash=password_hash)
        others = await locked_sessions(
            tx,
            SESSIONS.c.user_id == user.id,
            SESSIONS.c.id != viewer.session_id,
            SESSIONS.c.revoked_at.is_(None),
        )
        await end_sessions(tx, others, EndReason.PASSWORD_CHANGED, user.id, now)
        return user
