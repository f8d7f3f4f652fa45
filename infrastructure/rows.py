"""Between frozen dataclasses and rows: `Kind(*row)` of a select of `columns`, `values` inserted, `saving` to update."""

import functools
from collections.abc import Hashable
from typing import Any, TypeVar, cast

from sqlalchemy import Column, Select, Table, Update, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

T = TypeVar("T")


def table(table_class: type[SQLModel]) -> Table:
    """The table behind a class with `table=True`."""
    found: Table = table_class.__table__  # type: ignore[attr-defined]  # reason: SQLModel sets it on table classes
    return found


def columns(table_class: type[SQLModel], kind: type[Any]) -> list[Column[Any]]:
    """The table's columns for the fields of the dataclass `kind`, in their order: `kind(*row)` takes a row of them."""
    return list(_columns(cast("Hashable", table_class), cast("Hashable", kind)))


def values(entity: Any) -> dict[str, Any]:
    """A dataclass's fields as column values; it is not looked into deeper."""
    return {name: getattr(entity, name) for name in type(entity).__dataclass_fields__}


def saving(stored: Table, entity: Any) -> Update:
    """The update that makes an entity's row what the entity is.

    The `id` is not set, though to the same: SQLite looks through every table that refers to a row whose key is set.
    """
    changed = {name: value for name, value in values(entity).items() if name != "id"}
    return update(stored).where(stored.c.id == entity.id).values(changed)


@functools.cache
def _columns(table_class: Hashable, kind: Hashable) -> tuple[Column[Any], ...]:
    own = table(cast("type[SQLModel]", table_class)).c
    return tuple(own[name] for name in cast("Any", kind).__dataclass_fields__)


async def read_all(connection: AsyncConnection, kind: type[T], statement: Select[Any]) -> list[T]:
    """Every row of a select of `columns`, as `kind`."""
    return [kind(*row) for row in (await connection.execute(statement)).all()]


async def read_one(connection: AsyncConnection, kind: type[T], statement: Select[Any]) -> T | None:
    """The one row there is, as `kind`; none if there is none."""
    row = (await connection.execute(statement)).one_or_none()
    return None if row is None else kind(*row)
