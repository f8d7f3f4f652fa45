"""What can be asked of API keys: each user has their own, and nobody else's."""

from collections.abc import Awaitable, Sequence
from uuid import UUID

from sqlalchemy import bindparam, select

from infrastructure.rows import columns, table
from infrastructure.statements import Among, Statement
from models.keys import ApiKey, ApiKeyRow
from resolvers.context import Context

KEYS = table(ApiKeyRow)
SHOWN_MAX = 100
"""Keys in a user's list; those that are not revoked are always in it."""
_MINE = select(*columns(ApiKeyRow, ApiKey)).where(KEYS.c.user_id == bindparam("me"))
_BY_ID = Statement(_MINE.where(Among(KEYS.c.id, "ids")))
_SHOWN = Statement(
    _MINE.order_by(KEYS.c.revoked_at.is_not(None), KEYS.c.created_at.desc(), KEYS.c.id.desc()).limit(SHOWN_MAX)
)


async def keys_by_id(ctx: Context, ids: Sequence[UUID]) -> list[ApiKey | None]:
    """A loader's batch: the viewer's keys."""
    found = {key.id: key for key in [ApiKey(*row) for row in await ctx.rows_now(_BY_ID, ids=ids, me=ctx.owner_id)]}
    return [found.get(key_id) for key_id in ids]


async def keys_by_user(ctx: Context, ids: Sequence[UUID]) -> list[list[ApiKey]]:
    """A loader's batch: the viewer's keys where it is the viewer who is asked about, else none."""
    found = [ApiKey(*row) for row in await ctx.rows_now(_SHOWN, me=ctx.owner_id)]
    return [found if user_id == ctx.owner_id else [] for user_id in ids]


def api_key(ctx: Context, key_id: UUID) -> Awaitable[ApiKey | None]:
    """A key of the viewer's; none for anybody else's."""
    return ctx.load_own(keys_by_id, key_id)


def api_keys(ctx: Context, user_id: UUID) -> Awaitable[list[ApiKey]]:
    """A user's keys, those that are revoked last, the newest first: the viewer's own, and none of anybody else."""
    return ctx.load(keys_by_user, user_id)
