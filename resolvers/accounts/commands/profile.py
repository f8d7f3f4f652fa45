import asyncio
import functools
import zoneinfo
from dataclasses import replace

from infrastructure.rows import values
from models.accounts import User
from models.enums import ApiScope, EventType
from models.errors import missing
from models.people import PreferenceChanges, ProfileChanges, check_preferences, checked_profile
from resolvers.accounts.commands.users import USERS, change_user, locked_account
from resolvers.context import Context
from resolvers.scopes import needs


@needs(ApiScope.ADMIN)
async def update_profile(ctx: Context, given: ProfileChanges) -> User:
    """Change what is given of the caller's profile; raises `Refused` with every fault."""
    return await _update(ctx, checked_profile(given), EventType.USER_PROFILE_UPDATED)


@needs(ApiScope.ADMIN)
async def update_preferences(ctx: Context, given: PreferenceChanges) -> User:
    """Change what is given of the caller's preferences; raises `Refused` with every fault."""
    if given.timezone is not None:
        # The first time it reads some 600 files.
        check_preferences(given, await asyncio.to_thread(_timezones))
    else:
        check_preferences(given, frozenset())
    return await _update(ctx, given, EventType.USER_PREFERENCES_UPDATED)


async def _update(ctx: Context, given: ProfileChanges | PreferenceChanges, kind: EventType) -> User:
    changes = {name: value for name, value in values(given).items() if value is not None}
    user_id = ctx.owner_id
    async with ctx.services.database.write() as tx:
        account = await locked_account(tx, USERS.c.id == user_id)
        if account is None:
            raise missing("user")
        after = replace(account.user, **changes)
        if after == account.user:
            return after
        return await change_user(tx, after, kind, user_id, ctx.now)


@functools.cache
def _timezones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())
