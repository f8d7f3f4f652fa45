from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import bindparam, select

from infrastructure.cache import Kind
from infrastructure.rows import columns, table
from infrastructure.statements import Among, Statement
from models.accounts import User, UserRow
from models.enums import AggregateType
from resolvers.caching import TTL_S, cached
from resolvers.context import Context

USERS = table(UserRow)
_ANYBODY = select(*columns(UserRow, User)).where(Among(USERS.c.id, "ids"))
_USERS, _MYSELF = Statement(_ANYBODY), Statement(_ANYBODY.where(USERS.c.id == bindparam("me")))


@cached(Kind("users by id", User | None, TTL_S, lambda _owner, key: [(AggregateType.USER, key)]))
async def users_by_id(ctx: Context, ids: Sequence[UUID]) -> list[User | None]:
    """The users with these ids that the caller may see (themselves; an ADMIN: everybody), None for the others."""
    if ctx.viewer is None:
        return [None] * len(ids)
    seen = ctx.rows(_USERS, ids=ids) if ctx.viewer.is_admin else ctx.rows(_MYSELF, ids=ids, me=ctx.viewer.user.id)
    found = {user.id: user for user in (User(*row) for row in await seen)}
    return [found.get(user_id) for user_id in ids]
