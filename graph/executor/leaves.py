"""The quick ways of leaves: what is said of a value of just the class that a type's values have."""

import functools
import sys
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from graphql import (
    GraphQLBoolean,
    GraphQLFloat,
    GraphQLID,
    GraphQLInt,
    GraphQLNonNull,
    GraphQLOutputType,
    GraphQLString,
    Undefined,
    is_scalar_type,
)
from graphql.execution import Executor
from graphql.type import GRAPHQL_MAX_INT, GRAPHQL_MIN_INT
from strawberry.schema.schema_converter import CustomGraphQLEnumType

PLAIN = frozenset({str, int, float, bool, bytes, Decimal, date, datetime, UUID})
"""Classes of values that are no null, no error, and not to be awaited."""
_AS_THEY_ARE = {
    GraphQLString: "v.__class__ is str",
    GraphQLID: "v.__class__ is str",
    GraphQLBoolean: "v.__class__ is bool",
    GraphQLInt: f"v.__class__ is int and {GRAPHQL_MIN_INT} <= v <= {GRAPHQL_MAX_INT}",
    GraphQLFloat: f"v.__class__ is float and {-sys.float_info.max!r} <= v <= {sys.float_info.max!r}",
}


ENUMS_MAX = 256


def shortcut(type_: GraphQLOutputType, names: dict[str, Any], number: int) -> tuple[str, str] | None:
    """For a value `v`: what is said, and the condition under which that is said at once; none if there is no such way.

    What both name is added, each name with the field's number.
    """
    bare: Any = type_.of_type if isinstance(type_, GraphQLNonNull) else type_
    if bare in _AS_THEY_ARE:
        return "v", _AS_THEY_ARE[bare]
    if isinstance(bare, CustomGraphQLEnumType):
        names[f"kind{number}"] = bare.wrapped_cls
        names[f"said{number}"] = _names(bare)
        return f"said{number}[v]", f"v.__class__ is kind{number}"
    if is_scalar_type(bare):
        names["plain"], names[f"said{number}"] = PLAIN, _said(bare.coerce_output_value, bare)
        return f"said{number}(v)", "v.__class__ in plain"
    return None


class _Names(dict[Any, str]):
    """What is said of each member."""

    def __init__(self, type_: CustomGraphQLEnumType) -> None:
        members: Iterable[Any] = type_.wrapped_cls
        super().__init__({member: type_.coerce_output_value(member) for member in members})
        self._type = type_

    def __missing__(self, value: Any) -> Any:
        # Flags can be composed: those are of the class, and no members.
        return Executor.complete_leaf_value(self._type, value)


_names = functools.lru_cache(ENUMS_MAX)(_Names)


def _said(coerce: Callable[[Any], Any], type_: Any) -> Callable[[Any], Any]:
    def said(value: Any) -> Any:
        made = coerce(value)
        if made is None or made is Undefined:
            return Executor.complete_leaf_value(type_, value)  # which says what is wrong
        return made

    return said
