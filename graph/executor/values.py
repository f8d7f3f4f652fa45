"""How values are completed: for each position, by its type, a function that makes of a resolver's value what is said.

They do what graphql-core's `complete_value` does, in its order: null is null or an error, an exception is raised, a
list is completed item by item, a leaf is serialised, an abstract type is told apart, an object's fields are resolved.
"""

from collections.abc import Callable
from typing import Any, cast

from graphql import (
    GraphQLAbstractType,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    Undefined,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
)
from graphql.execution import Executor
from graphql.execution.executor import invalid_return_type_error

from graph.executor.awaitables import MAY_BE_AWAITED
from graph.executor.infos import RawInfo
from graph.executor.lists import ListValue
from graph.executor.positions import At, Position
from graph.executor.runs import Complete, Run

Fields = Callable[["Values", Position, GraphQLObjectType, Executor[Any]], Complete]
"""Compiles the selection of an object type at a position; of the execution it keeps nothing."""


class Values:
    """Makes the functions of one plan."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields

    def taking(self, position: Position) -> Complete:
        """What completes a value that may have to be awaited first."""
        complete = self.completing(position)

        def take(run: Run, value: Any, at: At) -> Any:
            if MAY_BE_AWAITED[value.__class__] and run.is_awaitable(value):
                return run.wait(value, position, at, complete)
            return complete(run, value, at)

        return take

    def completing(self, position: Position) -> Complete:
        """What completes a value that is there."""
        type_: GraphQLOutputType = position.type
        if is_non_null_type(type_):
            type_ = type_.of_type
        if is_leaf_type(type_):
            return _leaf(position, type_)
        if is_list_type(type_):
            item = position.item(type_.of_type)
            return ListValue(position, item, self.taking(item)).complete
        if is_object_type(type_):
            return self._object(position, type_)
        return self._abstract(position, cast("GraphQLAbstractType", type_))

    def _object(self, position: Position, type_: GraphQLObjectType) -> Complete:
        resolve_fields: Complete | None = None
        is_type_of, whole = type_.is_type_of, position.of_field()

        def complete(run: Run, value: Any, at: At) -> Any:
            if value is None or value is Undefined:
                return position.absent()
            if isinstance(value, Exception):
                raise value
            if is_type_of is not None:
                told = is_type_of(value, RawInfo(run, whole, at))  # type: ignore[arg-type]  # reason: it is one, later
                if told is not True and run.is_awaitable(told):
                    return run.wait(told, position, at, lambda run, told, at: as_told(run, told, value, at))
                if not told:
                    return as_told(run, told, value, at)
            return (resolve_fields or compiled(run))(run, value, at)

        def as_told(run: Run, told: Any, value: Any, at: At) -> Any:
            if not told:
                raise invalid_return_type_error(type_, value, position.field.details)
            return (resolve_fields or compiled(run))(run, value, at)

        def compiled(run: Run) -> Complete:
            nonlocal resolve_fields
            resolve_fields = self._fields(self, position, type_, run.executor)
            return resolve_fields

        return complete

    def _abstract(self, position: Position, type_: GraphQLAbstractType) -> Complete:
        variants: dict[str, Complete] = {}
        whole = position.of_field()

        def complete(run: Run, value: Any, at: At) -> Any:
            if value is None or value is Undefined:
                return position.absent()
            if isinstance(value, Exception):
                raise value
            info = RawInfo(run, whole, at)
            told = (type_.resolve_type or run.executor.type_resolver)(value, info, type_)  # type: ignore[arg-type]
            if told.__class__ is not str and run.is_awaitable(told):
                return run.wait(told, position, at, lambda run, told, at: as_told(run, told, value, at))
            return as_told(run, told, value, at)

        def as_told(run: Run, name: Any, value: Any, at: At) -> Any:
            variant = variants.get(name) if isinstance(name, str) else None
            if variant is None:
                info: Any = RawInfo(run, whole, at)
                details = position.field.details
                found = run.executor.ensure_valid_runtime_type(name, type_, details, info, value)
                variant = variants[name] = self._object(position, found)
            return variant(run, value, at)

        return complete


def _leaf(position: Position, type_: GraphQLLeafType) -> Complete:
    complete_leaf = Executor.complete_leaf_value

    def complete(_run: Run, value: Any, _at: At) -> Any:
        if value is None or value is Undefined:
            return position.absent()
        if isinstance(value, Exception):
            raise value
        return complete_leaf(type_, value)

    return complete
