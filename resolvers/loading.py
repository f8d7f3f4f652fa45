"""Loading by id: the same for everything that has an owner."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Optional, TypeVar
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlmodel import SQLModel

from infrastructure.cache import Kind, Tag
from infrastructure.rows import columns, table
from infrastructure.statements import Among, Row, Statement
from resolvers.caching import TTL_S, cached
from resolvers.changes import OWNER
from resolvers.context import Context

T = TypeVar("T")


ById = Callable[[Context, Sequence[UUID]], Awaitable[list[T | None]]]


def mine_now_by_id(row: type[SQLModel], kind: type[T]) -> ById[T]:
    """A loader's batch, as `mine_by_id` makes one, of what changes without an event that names it: it is never kept."""
    statement = _mine(row, kind)

    async def by_id(ctx: Context, ids: Sequence[UUID]) -> list[T | None]:
        return _in_order(kind, await ctx.rows_now(statement, ids=ids, owner=ctx.owner_id), ids)

    return by_id


def mine_by_id(
    row: type[SQLModel], kind: type[T], changed_by: str | None = None, *, keep: Callable[[T], bool] = lambda _item: True
) -> ById[T]:
    """A loader's batch: the viewer's own, in the order of the ids; none where it is somebody else's, or nothing.

    `changed_by` is the tag that goes with such an id; without it, whatever happens to the owner changes it.
    """
    statement = _mine(row, kind)

    def tags(owner: Any, key: UUID) -> list[Tag]:
        return [(OWNER, owner[0]) if changed_by is None else (changed_by, key)]

    @cached(
        Kind(
            f"{table(row).name} by id",
            Optional[kind],  # noqa: UP045 - reason: the type is known when it runs
            TTL_S,
            tags,
            keep=lambda item: item is None or keep(item),
        )
    )
    async def by_id(ctx: Context, ids: Sequence[UUID]) -> list[T | None]:
        return _in_order(kind, await ctx.rows(statement, ids=ids, owner=ctx.owner_id), ids)

    return by_id


def _mine(row: type[SQLModel], kind: type[Any]) -> Statement:
    stored: Any = table(row)
    mine = Among(stored.c.id, "ids"), stored.c.owner_id == bindparam("owner")
    return Statement(select(*columns(row, kind)).where(*mine))


def _in_order(kind: type[T], rows: Sequence[Row], ids: Sequence[UUID]) -> list[T | None]:
    items = [kind(*row) for row in rows]
    found: dict[UUID, T] = {item.id: item for item in items}  # type: ignore[attr-defined]  # reason: all have one
    return [found.get(key) for key in ids]
