"""What can be asked of API keys: each user has their own, and nobody else's."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from infrastructure.rows import columns, read_all, table
from models.keys import ApiKey, ApiKeyRow
from resolvers.context import Context

KEYS = table(ApiKeyRow)
SHOWN_MAX = 100
"""Keys in a user's list; those that are not revoked are always in it."""


async def keys_by_id(ctx: Context, ids: Sequence[UUID]) -> list[ApiKey | None]:
    """A loader's batch: the viewer's keys."""
    mine = select(*columns(ApiKeyRow, ApiKey)).where(KEYS.c.id.in_(ids), KEYS.c.user_id == ctx.owner_id)
    async with ctx.services.database.read() as connection:
        found = {key.id: key for key in await read_all(connection, ApiKey, mine)}
    return [found.get(key_id) for key_id in ids]


async def keys_by_user(ctx: Context, ids: Sequence[UUID]) -> list[list[ApiKey]]:
    """A loader's batch: the viewer's keys where it is the viewer who is asked about, else none."""
    mine = (
        select(*columns(ApiKeyRow, ApiKey))
        .where(KEYS.c.user_id == ctx.owner_id)
        .order_by(KEYS.c.revoked_at.is_not(None), KEYS.c.created_at.desc(), KEYS.c.id.desc())
        .limit(SHOWN_MAX)
    )
    async with ctx.services.database.read() as connection:
        found = await read_all(connection, ApiKey, mine)
    return [found if user_id == ctx.owner_id else [] for user_id in ids]


async def api_key(ctx: Context, key_id: UUID) -> ApiKey | None:
    """A key of the viewer's; none for anybody else's."""
    return None if ctx.viewer is None else await ctx.load(keys_by_id, key_id)


async def api_keys(ctx: Context, user_id: UUID) -> list[ApiKey]:
    """A user's keys, those that are revoked last, the newest first: the viewer's own, and none of anybody else."""
    return await ctx.load(keys_by_user, user_id)
