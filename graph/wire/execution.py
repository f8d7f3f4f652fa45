"""graphql-core's executor as operations here need it: no incremental delivery, and nothing looked for twice."""

from collections.abc import Mapping
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
from graphql.execution.values import VariableValues
from strawberry.execution.is_awaitable import optimized_is_awaitable
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext

from graph.wire.documents import Document
from graph.wire.explaining import of_variables
from resolvers.context import Context

VARIABLE_ERRORS_MAX = 20


class Execution(Executor[Any]):
    """One operation's; resolvers get the `info` that Strawberry gives them."""

    operation_extensions: Mapping[str, Any] | None = None

    build_resolve_info = StrawberryGraphQLCoreExecutionContext.build_resolve_info


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
    return Execution(
        schema,
        cast("dict[str, FragmentDefinitionNode]", document.fragments),
        {name: FragmentDetails(fragment) for name, fragment in document.fragments.items()},
        None,
        ctx,
        operation,
        values,
        default_field_resolver,
        default_type_resolver,
        default_field_resolver,
        is_awaitable=cast("Any", optimized_is_awaitable),
        hide_suggestions=not suggests,
    )
