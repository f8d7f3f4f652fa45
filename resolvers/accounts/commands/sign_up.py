from models.accounts import User
from models.enums import ApiScope, Role
from models.money import CURRENCY
from models.people import Registration, checked_registration
from resolvers.accounts.commands.sessions import SignedIn, start_session
from resolvers.accounts.commands.users import create_user
from resolvers.context import Context
from resolvers.scopes import needs


@needs(ApiScope.ADMIN, anonymous=True)
async def register(ctx: Context, given: Registration) -> SignedIn:
    """A new TRADER, signed in.

    Raises `Refused` with every fault of the input, or CONFLICT where the email is registered already; `Throttled`.
    """
    services, now = ctx.services, ctx.now
    registration = checked_registration(given, services.settings.password_length_min)
    await services.throttle.register(ctx.address)
    password_hash = await services.passwords.hash(registration.password)
    user = User(
        id=services.ids.new(),
        email=registration.email,
        first_name=registration.first_name,
        last_name=registration.last_name,
        role=Role.TRADER,
        risk_tolerance=registration.risk_tolerance,
        investment_goal=registration.investment_goal,
        base_currency=CURRENCY,
        timezone="UTC",
        notify_on_fill=True,
        notify_on_risk_breach=True,
        notify_on_market_alert=True,
        version=1,
        created_at=now,
    )
    async with services.database.write() as tx:
        await create_user(tx, user, password_hash)
        return await start_session(tx, ctx, user, now)
