"""Writes the function that resolves an object's fields, and makes it.

For `{ symbol quote { last } }` of an instrument it is

    def fields(run, o, at):
     r = {}
     try:
      v = o.symbol
      r['symbol'] = v if v.__class__ is str else take0(run, v, at)
     except Exception as error:
      r['symbol'] = run.failed(place0, error, at)
     try:
      v = call1(parent=o, info=Info(run, place1, at))
      r['quote'] = take1(run, v, at)
     except Exception as error:
      r['quote'] = run.failed(place1, error, at)
     return r

`take0` is for what is not a text at once (null, something to be awaited, what has to be an error); `run.failed` answers
with null where a null may stand, and raises where it goes on to what the object is in. In Python a `try` in which
nothing fails costs nothing.
"""

import functools
from collections.abc import Mapping
from types import CodeType
from typing import Any

from graphql import GraphQLObjectType, TypeNameMetaFieldDef
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetailsList

from graph.executor.leaves import shortcut
from graph.executor.positions import Field, Position
from graph.executor.resolving import expression
from graph.executor.runs import Complete
from graph.executor.values import Values

TEXTS_MAX = 512
"""Texts that are kept compiled: selections that differ in nothing but arguments have the same."""


def object_function(
    values: Values,
    parent: Position | None,
    type_: GraphQLObjectType,
    selected: Mapping[str, FieldDetailsList],
    executor: Executor[Any],
) -> Complete:
    """The function for a selection of this type."""
    lines = ["def fields(run, o, at):", " r = {}"]
    names: dict[str, Any] = {}
    for number, (key, details) in enumerate(selected.items()):
        definition = executor.schema.get_field(type_, details[0].node.name.value)
        if definition is TypeNameMetaFieldDef:
            lines.append(f" r[{key!r}] = {type_.name!r}")
        elif definition is not None:
            position = Position(Field(type_, definition, details, key), parent, definition.type, is_item=False)
            lines += _field(position, values, names, number, executor)
    lines.append(" return r")
    exec(_compiled("\n".join(lines)), names)  # noqa: S102 - reason: nothing but names of the schema and the document is in it
    made: Complete = names.pop(
        "fields"
    )  # a function that its own globals name would be garbage for the collector alone
    return made


def _field(
    position: Position, values: Values, names: dict[str, Any], number: int, executor: Executor[Any]
) -> list[str]:
    key = repr(position.field.response_name)
    value = expression(position, executor.schema, names, number)
    names[f"take{number}"], names[f"place{number}"] = values.taking(position), position
    taken = f"take{number}(run, v, at)"
    if (quick := shortcut(position.type, names, number)) is not None:
        said, condition = quick
        taken = f"{said} if {condition} else {taken}"
    return [
        " try:",
        f"  v = {value}",
        f"  r[{key}] = {taken}",
        " except Exception as error:",
        f"  r[{key}] = run.failed(place{number}, error, at)",
    ]


@functools.lru_cache(TEXTS_MAX)
def _compiled(text: str) -> CodeType:
    return compile(text, "<executor>", "exec")
