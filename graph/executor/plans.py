"""The plan of an operation: what is run instead of interpreting it. Made once, kept beside the document, bounded."""

import functools
from collections.abc import Awaitable
from typing import Any, cast

import structlog
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
from graph.executor.room import FIELDS_MAX, Plan, Room
from graph.executor.runs import Complete, Part, Run
from graph.executor.values import Values

PLANS_MAX = 16
"""Of one operation: one for each way in which its `@skip` and `@include` come out."""
ABSENT = object()

Truths = tuple[Any, ...]

logger = structlog.get_logger(__name__)


class Plans:
    """The plans of one document's operations; what they take of the room they give back when the document goes."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self._own = Room(FIELDS_MAX)
        self._looks: dict[int, _Look | None] = {}
        """For each operation what was seen of it; none for one that can't be compiled."""

    def __del__(self) -> None:
        self._own.clear()

    def of(self, executor: Executor[Any]) -> tuple[Part, ...] | None:
        """The executor's operation as functions, one after the other; none if it can't be compiled."""
        operation = id(executor.operation)
        if operation not in self._looks:
            self._looks[operation] = _looked_at(executor)
        look = self._looks[operation]
        if look is None:
            return None
        truths: Truths = ()
        if look.conditions:
            values = executor.variable_values.coerced
            truths = tuple(values.get(name, ABSENT) for name in look.conditions)
        found = look.plans.pop(truths, None)
        if found is None or not (found.is_kept or found.is_hopeless):
            if len(look.plans) == PLANS_MAX:
                look.plans.pop(next(iter(look.plans))).end()
            found = plan(executor, self._own, self._room)
        if found.is_hopeless:
            self._looks[operation] = None
            return None
        look.plans[truths] = found
        found.used()
        return found.parts


def executed(plans: Plans, executor: Executor[Any]) -> ExecutionResult | Awaitable[ExecutionResult] | None:
    """The answer by the operation's plan; none if it has none: then nothing was resolved."""
    if not _can_run(executor):
        return None
    parts = plans.of(executor)
    return None if parts is None else Run(executor).execute(parts)


def plan(executor: Executor[Any], *rooms: Room) -> Plan:
    """An operation as functions of its root: one for a query, one for each field of a mutation, which are in series."""
    made = Plan(*rooms)
    made.used()
    schema, operation = executor.schema, executor.operation
    values = Values(functools.partial(_fields, made))
    try:
        root = cast("GraphQLObjectType", schema.get_root_type(operation.operation))
        selected = collect_fields(
            schema, executor.fragments, executor.variable_values, root, operation, executor.hide_suggestions
        ).grouped_field_set
        made.grow(len(selected))
        serial = operation.operation is OperationType.MUTATION
        parts = [{key: details} for key, details in selected.items()] if serial else [selected]
        made.parts = tuple(cast("Part", object_function(values, None, root, part, executor)) for part in parts)
    except GraphQLError:
        pass  # of its variables: the interpreter says it
    except Exception as error:  # noqa: BLE001 - reason: whatever it is, there is another way
        _give_up(made, error)
    return made


def _fields(
    made: Plan, values: Values, position: Position, type_: GraphQLObjectType, executor: Executor[Any]
) -> Complete:
    try:
        selected = collect_subfields(
            executor.schema,
            executor.fragments,
            executor.variable_values,
            executor.operation,
            type_,
            position.field.details,
            executor.hide_suggestions,
        ).grouped_field_set
        made.grow(len(selected))
        return object_function(values, position, type_, selected, executor)
    except GraphQLError:
        raise
    except Exception as error:
        _give_up(made, error)
        raise


def _give_up(made: Plan, error: Exception) -> None:
    """What can't be compiled that should: its operation is interpreted from now on, so this is said once."""
    made.give_up()
    logger.error("an operation can't be compiled", exc_info=error)


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
        self.plans: dict[Truths, Plan] = {}
        """By what the conditions are, in the order of their last use."""
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
