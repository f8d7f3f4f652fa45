"""The first rows of each of many lists, in one statement that reads no more than these.

A window function would number every row of every list first.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, Dialect, Select, bindparam, column, func, select, true

from infrastructure.statements import Several


def pages_of(
    dialect: Dialect,
    page: Select[Any],
    parent: Column[Any],
    keys: Sequence[Column[Any]],
    *,
    down: bool,
) -> Select[Any]:
    """What `page` selects of one list, of each of the parents (the parameter `parents`), with it behind its columns.

    `page` is ordered by `keys`, the last of which is unique in the list, and limited; whose list it is `parent` says.
    What comes of each parent is in the same order.
    """
    parents = bindparam("parents", type_=Several(parent.type))
    given = (_unnested if dialect.name == "postgresql" else _of_json)(parent, parents)
    mine = page.where(parent == given.c.id).correlate(given)
    if dialect.name == "postgresql":
        each = mine.add_columns(parent.label("parent")).lateral("page")
        order = ordered([each.c[key.name] for key in keys], down=down)
        return select(each).select_from(given.join(each, true())).order_by(*order)
    # There is no LATERAL: the rows are found by the primary key of those that the page has.
    rows, [key] = parent.table.alias("page"), parent.table.primary_key
    chosen = rows.c[key.name].in_(mine.with_only_columns(key))
    wanted = [rows.c[each.name] for each in page.selected_columns]
    found = select(*wanted, rows.c[parent.name].label("parent")).select_from(given.join(rows, chosen))
    return found.order_by(*ordered([rows.c[key.name] for key in keys], down=down))


def ordered(keys: Sequence[ColumnElement[Any]], *, down: bool) -> list[ColumnElement[Any]]:
    """All of the keys one way."""
    return [key.desc() if down else key.asc() for key in keys]


def _unnested(parent: Column[Any], parents: BindParameter[Any]) -> Any:
    return func.unnest(parents).table_valued(column("id", parent.type)).render_derived(name="given")


def _of_json(parent: Column[Any], parents: BindParameter[Any]) -> Any:
    value = func.json_each(parents).table_valued(column("value", parent.type)).c.value
    return select(value.label("id")).subquery("given")
