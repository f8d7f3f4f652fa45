"""The first rows of each of many lists, in one statement that reads no more than these.

A window function would number every row of every list first.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Column, ColumnElement, Select, bindparam, column, func, select, true
from sqlalchemy.types import TypeEngine

from infrastructure.statements import Several


def pages_of(
    dialect: str,
    page: Select[Any],
    parent: Column[Any],
    keys: Sequence[Column[Any]],
    *,
    down: bool,
    behind: Column[Any] | None = None,
) -> Select[Any]:
    """What `page` selects of one list, of each of the parents (the parameter `parents`), with it behind its columns.

    With `behind`, only what has more of it than the list's parent has in the parameter `behind`, in the parents' order.
    `page` is ordered by `keys`, the last of which is unique in the list, and limited; whose list it is `parent` says.
    What comes of each parent is in the same order.
    """
    parents = bindparam("parents", type_=Several(parent.type))
    named = {"id": parents}
    if behind is not None:
        named["behind"] = bindparam("behind", type_=Several(behind.type))
    given = (_unnested if dialect == "postgresql" else _of_json)(named)
    mine = page.where(parent == given.c.id, *(() if behind is None else (behind > given.c.behind,))).correlate(given)
    if dialect == "postgresql":
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


def _unnested(given: Mapping[str, BindParameter[Any]]) -> Any:
    named = (column(name, _item(each)) for name, each in given.items())
    return func.unnest(*given.values()).table_valued(*named).render_derived(name="given")


def _of_json(given: Mapping[str, BindParameter[Any]]) -> Any:
    lists = [
        func.json_each(each).table_valued("key", column("value", _item(each)), name=f"the_{name}")
        for name, each in given.items()
    ]
    alike = (each.c.key == lists[0].c.key for each in lists[1:])
    return (
        select(*(each.c.value.label(name) for name, each in zip(given, lists, strict=True)))
        .where(*alike)
        .subquery("given")
    )


def _item(given: BindParameter[Any]) -> TypeEngine[Any]:
    several: Any = given.type
    found: TypeEngine[Any] = several.item
    return found
