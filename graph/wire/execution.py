"""graphql-core's executor as operations here need it: no incremental delivery, and nothing looked for twice."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from graphql import (
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    default_field_resolver,
    default_type_resolver,
    get_variable_values,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FragmentDetails
from graphql.execution.executor import CollectedErrors
from graphql.execution.values import VariableValues
from graphql.pyutils.ref_map import RefMap
from graphql.type.definition import GraphQLResolveInfoHelpers
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.wire.documents import Document
from graph.wire.explaining import of_variables
from resolvers.context import Context

VARIABLE_ERRORS_MAX = 20


class Execution(Executor[Any]):
    """One operation's; resolvers get the `info` that Strawberry gives them.

    Most of what an executor has is the same whenever the operation is executed (`Common`), and most of the rest is for
    interpreting alone: that is made when it is asked for.
    """

    operation_extensions: Mapping[str, Any] | None = None

    build_resolve_info = StrawberryGraphQLCoreExecutionContext.build_resolve_info

    def __init__(self, common: "Common", ctx: Context | None, values: VariableValues) -> None:
        self.__dict__ = own = common.copy()
        own["context_value"], own["variable_values"] = ctx, values

    def build_per_event_executor(self, payload: Any) -> "Execution":
        """The same operation's, of an event: as graphql-core does, without the general way of copying."""
        told: Execution = object.__new__(type(self))
        told.__dict__ |= self.__dict__
        told.root_value = payload
        told.collected_errors = CollectedErrors()
        return told

    def __getattr__(self, name: str) -> Any:
        # Only for what is not there: helpers that refer to their executor, which must not refer to them: such circles
        # are garbage for the collector alone. Or something that starts empty.
        if name == "async_helpers":
            return GraphQLResolveInfoHelpers(gather=self.gather_async_work, track=self.track_async_work)
        if name not in _EMPTY:
            raise AttributeError(name)
        made = self.__dict__[name] = _EMPTY[name]()
        return made


Common = dict[str, Any]
"""What the executions of an operation have in common, by the names that `Executor` has for it."""
COMMON = "execution"
"""The note of a document that has it for its operations."""
_EMPTY: dict[str, Callable[[], Any]] = {
    "collected_errors": CollectedErrors,
    "pending_incremental_futures": set,
    "background_futures": set,
    "_relevant_sub_fields": dict,
    "_stream_usages": RefMap,
}
_OWN = {"context_value", "variable_values", "async_helpers", *_EMPTY}


def execution_of(
    schema: GraphQLSchema,
    document: Document,
    operation: OperationDefinitionNode,
    variables: Mapping[str, Any] | None,
    ctx: Context,
    *,
    suggests: bool,
) -> Execution | list[GraphQLError]:
    """What executes it, or what is wrong with the variables."""
    values = VariableValues({}, {})
    if operation.variable_definitions:
        given, definitions = dict(variables or {}), operation.variable_definitions
        found = get_variable_values(schema, definitions, given, VARIABLE_ERRORS_MAX, hide_suggestions=not suggests)
        if isinstance(found, list):
            return [of_variables(error, schema, suggests=suggests) for error in found]
        values = found
    return Execution(common_of(schema, document, operation, suggests=suggests), ctx, values)


def common_of(
    schema: GraphQLSchema, document: Document, operation: OperationDefinitionNode, *, suggests: bool
) -> Common:
    """What the executions of this operation have in common, kept with its document."""
    kept: dict[int, Common] | None = document.notes.get(COMMON)
    if kept is None:
        kept = document.notes[COMMON] = {}
    common = kept.get(id(operation))
    if common is None:
        made = Executor[Any](
            schema,
            cast("dict[str, FragmentDefinitionNode]", document.fragments),
            {name: FragmentDetails(fragment) for name, fragment in document.fragments.items()},
            None,
            None,
            operation,
            VariableValues({}, {}),
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=cast("Any", optimized_is_awaitable),
            hide_suggestions=not suggests,
        )
        common = kept[id(operation)] = {name: value for name, value in vars(made).items() if name not in _OWN}
    return common
