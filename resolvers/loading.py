"""Loading by id: the same for everything that has an owner."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import select
from sqlmodel import SQLModel

from infrastructure.rows import columns, read_all, table
from resolvers.context import Context

T = TypeVar("T")


def mine_by_id(row: type[SQLModel], kind: type[T]) -> Callable[[Context, Sequence[UUID]], Awaitable[list[T | None]]]:
    """A loader's batch: the viewer's own, in the order of the ids; none where it is somebody else's, or nothing."""
    stored: Any = table(row)

    async def by_id(ctx: Context, ids: Sequence[UUID]) -> list[T | None]:
        statement = select(*columns(row, kind)).where(stored.c.id.in_(ids), stored.c.owner_id == ctx.owner_id)
        async with ctx.services.database.read() as connection:
            found: dict[UUID, T] = {item.id: item for item in await read_all(connection, kind, statement)}  # type: ignore[attr-defined]  # reason: all have one
        return [found.get(key) for key in ids]

    return by_id
