from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select, true

from infrastructure.cache import Kind
from infrastructure.rows import columns, table
from models.accounts import User, UserRow
from models.enums import AggregateType
from resolvers.caching import TTL_S, cached
from resolvers.context import Context

USERS = table(UserRow)


@cached(Kind("users by id", User | None, TTL_S, lambda _owner, key: [(AggregateType.USER, key)]))
async def users_by_id(ctx: Context, ids: Sequence[UUID]) -> list[User | None]:
    """The users with these ids that the caller may see (themselves; an ADMIN: everybody), None for the others."""
    if ctx.viewer is None:
        return [None] * len(ids)
    mine = true() if ctx.viewer.is_admin else USERS.c.id == ctx.viewer.user.id
    async with ctx.services.database.read() as connection:
        rows = await connection.execute(select(*columns(UserRow, User)).where(USERS.c.id.in_(ids), mine))
    found = {user.id: user for user in (User(*row) for row in rows)}
    return [found.get(user_id) for user_id in ids]
