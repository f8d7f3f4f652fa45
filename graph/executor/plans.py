"""The plan of an operation: what is run instead of interpreting it. Made once, kept beside the document, bounded."""

from collections.abc import Awaitable
from typing import Any, cast

from graphql import (
    DirectiveNode,
    ExecutionResult,
    FieldNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLObjectType,
    InlineFragmentNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import collect_fields, collect_subfields

from graph.executor.emission import object_function
from graph.executor.positions import Position
from graph.executor.runs import Complete, Part, Run
from graph.executor.values import Values

PLANS_MAX = 16
"""Of one document: one for each way in which an operation's `@skip` and `@include` come out."""
FIELDS_MAX = 2_000
"""Of one operation, each as often as a fragment brings it in."""
FIELDS_KEPT_MAX = 50_000
"""Of all plans of a process: each takes one or two kilobytes."""
ABSENT = object()

Truths = tuple[Any, ...]


class Room:
    """What the plans of a process may take together."""

    def __init__(self, fields: int = FIELDS_KEPT_MAX) -> None:
        self.fields = fields
        """Left of it."""


class Plans:
    """The plans of one document's operations; what they take of the room they give back when the document goes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._taken = 0
        self._plans: dict[tuple[int, Truths], tuple[Part, ...] | None] = {}
        self._looks: dict[int, _Look | None] = {}
        """For each operation what was seen of it; none for one that can't be compiled."""

    def __del__(self) -> None:
        self._room.fields += self._taken

    def of(self, executor: Executor[Any]) -> tuple[Part, ...] | None:
        """The executor's operation as functions, one after the other; none if it can't be compiled."""
        operation = id(executor.operation)
        if operation not in self._looks:
            self._looks[operation] = _looked_at(executor)
        look = self._looks[operation]
        if look is None:
            return None
        values = executor.variable_values.coerced
        key = operation, tuple(values.get(name, ABSENT) for name in look.conditions)
        if key not in self._plans and len(self._plans) < PLANS_MAX and look.size <= self._room.fields:
            self._taken += look.size
            self._room.fields -= look.size
            self._plans[key] = plan(executor)
        return self._plans.get(key)


def executed(plans: Plans, executor: Executor[Any]) -> ExecutionResult | Awaitable[ExecutionResult] | None:
    """The answer by the operation's plan; none if it has none: then nothing was resolved."""
    if not _can_run(executor):
        return None
    parts = plans.of(executor)
    return None if parts is None else Run(executor).execute(parts)


def plan(executor: Executor[Any]) -> tuple[Part, ...] | None:
    """An operation as functions of its root: one for a query, one for each field of a mutation, which are in series."""
    schema, operation = executor.schema, executor.operation
    root = schema.get_root_type(operation.operation)
    if root is None:
        return None
    values = Values(_fields)
    try:
        selected = collect_fields(
            schema, executor.fragments, executor.variable_values, root, operation, executor.hide_suggestions
        ).grouped_field_set
        serial = operation.operation is OperationType.MUTATION
        parts = [{key: details} for key, details in selected.items()] if serial else [selected]
        return tuple(cast("Part", object_function(values, None, root, part, executor)) for part in parts)
    except (GraphQLError, RecursionError):
        return None


def _fields(values: Values, position: Position, type_: GraphQLObjectType, executor: Executor[Any]) -> Complete:
    selected = collect_subfields(
        executor.schema,
        executor.fragments,
        executor.variable_values,
        executor.operation,
        type_,
        position.field.details,
        executor.hide_suggestions,
    ).grouped_field_set
    return object_function(values, position, type_, selected, executor)


def _can_run(executor: Executor[Any]) -> bool:
    return (
        executor.abort_signal is None
        and executor.hooks is None
        and executor.middleware_manager is None
        and executor.error_propagation
    )


# ---------------------------------------------------------------- what is looked at before anything is compiled


class _CannotBeCompiled(Exception):  # noqa: N818 - reason: it is no error, there is another way
    pass


def _looked_at(executor: Executor[Any]) -> "_Look | None":
    try:
        return _Look(executor)
    except (_CannotBeCompiled, RecursionError):
        return None


class _Look:
    """Counts an operation's fields, and collects what its `@skip` and `@include` depend on."""

    def __init__(self, executor: Executor[Any]) -> None:
        self.conditions: dict[str, None] = {}
        self._fragments = executor.fragments
        self._sizes: dict[str, int | None] = {}
        """Of fragments; none of one that is being counted."""
        self.size = self.selection(executor.operation.selection_set)

    def selection(self, selections: SelectionSetNode | None) -> int:
        """How many fields it has, with all that is in them; raises for what is too many, or not known here."""
        size = 0
        for selection in () if selections is None else selections.selections:
            for directive in selection.directives or ():
                self._directive(directive)
            if isinstance(selection, FragmentSpreadNode):
                size += self._fragment(selection.name.value)
            else:
                inner: FieldNode | InlineFragmentNode = cast("Any", selection)
                size += isinstance(inner, FieldNode) + self.selection(inner.selection_set)
            if size > FIELDS_MAX:
                raise _CannotBeCompiled
        return size

    def _fragment(self, name: str) -> int:
        found = self._fragments.get(name)
        if found is None:
            return 0
        if name not in self._sizes:
            if found.variable_signatures:
                raise _CannotBeCompiled
            self._sizes[name] = None
            self._sizes[name] = self.selection(found.definition.selection_set)
        size = self._sizes[name]
        if size is None:
            raise _CannotBeCompiled  # it is in itself
        return size

    def _directive(self, directive: DirectiveNode) -> None:
        if directive.name.value not in ("skip", "include"):
            if directive.name.value in ("defer", "stream"):
                raise _CannotBeCompiled
            return
        for argument in directive.arguments or ():
            if isinstance(argument.value, VariableNode):
                self.conditions[argument.value.name.value] = None
