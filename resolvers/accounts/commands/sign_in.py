from models.enums import ApiScope, ErrorCode
from models.errors import Fault, Refused
from models.people import EMAIL_LENGTH_MAX, normal_email
from resolvers.accounts.commands.sessions import SignedIn, start_session
from resolvers.accounts.commands.users import USERS, account_by, locked_account
from resolvers.context import Context
from resolvers.scopes import needs

WRONG = Fault(ErrorCode.UNAUTHENTICATED, "Email or password is wrong.", ("input",))


@needs(ApiScope.ADMIN, anonymous=True)
async def login(ctx: Context, email: str, password: str) -> SignedIn:
    """Sign in.

    Raises `Refused`, the same for an unknown email and a wrong password, after the same work; `Throttled`.
    """
    services = ctx.services
    address = normal_email(email)
    await services.throttle.login(address or email.strip()[:EMAIL_LENGTH_MAX].lower(), ctx.address)
    # What is no address is nobody's, and may hold what a database does not take.
    known = await account_by(services.database, USERS.c.email == address) if address else None
    if not await services.passwords.verify(known.password_hash if known else None, password) or known is None:
        raise Refused(WRONG)
    async with services.database.write() as tx:
        account = await locked_account(tx, USERS.c.id == known.user.id)
        # The password may have been changed since it was checked; then its sessions have ended, and so does this one.
        if account is None or account.password_hash != known.password_hash:
            raise Refused(WRONG)
        return await start_session(tx, ctx, account.user, ctx.now)
