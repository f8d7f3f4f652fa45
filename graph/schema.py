"""The schema: every domain's questions, commands and streams put together."""

from collections.abc import AsyncGenerator, Iterable
from typing import Any

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext
from strawberry.types.execution import PreExecutionError
from strawberry.types.graphql import OperationType

from graph.accounts import AccountMutations, AccountQueries
from graph.context import Connection
from graph.errors import ERROR_TYPES, Phases, said
from graph.events import EventQueries, EventSubscriptions
from graph.keys import KeyMutations
from graph.marketdata import MarketQueries, MarketSubscriptions
from graph.nodes import NodeQueries
from graph.notifications import NotificationMutations, NotificationSubscriptions
from graph.orders import OrderQueries
from graph.portfolios import PortfolioMutations, PortfolioQueries, PortfolioSubscriptions
from graph.positions import PositionQueries
from graph.risk import RiskMutations, RiskQueries
from graph.scalars import SCALARS
from graph.scopes import describe_scopes
from graph.trading import TradingMutations, TradingQueries
from infrastructure.database import DatabaseUnavailable
from models.errors import Unauthenticated


@strawberry.type(description="What can be asked.")
class Query(
    NodeQueries,
    AccountQueries,
    PortfolioQueries,
    OrderQueries,
    TradingQueries,
    PositionQueries,
    MarketQueries,
    RiskQueries,
    EventQueries,
):
    """The questions of every domain."""


@strawberry.type(description="What can be done. Several in one document are done in order, each by itself.")
class Mutation(
    AccountMutations, KeyMutations, PortfolioMutations, TradingMutations, RiskMutations, NotificationMutations
):
    """The commands of every domain."""


@strawberry.type(description="What can be followed, over a websocket that speaks graphql-transport-ws.")
class Subscription(EventSubscriptions, MarketSubscriptions, PortfolioSubscriptions, NotificationSubscriptions):
    """The streams of every domain."""


class Schema(strawberry.Schema):
    """Strawberry's, with our errors, and a context of its own for each operation on a websocket.

    `needed` says which scope each operation needs (`Mutation.placeOrder`).
    """

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.needed = describe_scopes(self._schema)

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:  # noqa: ARG002 - reason: Strawberry's signature
        """Give each its code, or mask and log it: the one way out for errors of every kind of operation."""
        errors[:] = [said(error) for error in errors]

    async def stream(
        self,
        query: str | None,
        variable_values: dict[str, Any] | None = None,
        context_value: Any | None = None,
        root_value: Any | None = None,
        operation_name: str | None = None,
        operation_extensions: dict[str, Any] | None = None,
        allowed_operation_types: Iterable[OperationType] | None = None,
    ) -> Any:
        """An operation over a websocket."""
        if isinstance(context_value, Connection):
            try:
                context_value = await context_value.operation()
            except (Unauthenticated, DatabaseUnavailable) as error:
                return _refused(error)
        return await super().stream(
            query,
            variable_values,
            context_value,
            root_value,
            operation_name,
            operation_extensions,
            allowed_operation_types,
        )


async def _refused(error: Exception) -> AsyncGenerator[PreExecutionError, None]:
    """An operation that could not begin, as the protocol's `error` for that one."""
    yield PreExecutionError(data=None, errors=[said(GraphQLError(str(error), original_error=error))])


def build_schema() -> Schema:
    """The whole schema; raises if a part of it does not fit."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=ERROR_TYPES,
        extensions=[Phases],
        config=StrawberryConfig(auto_camel_case=True, scalar_map=SCALARS),
    )


def printed() -> str:
    """What `schema.graphql` holds."""
    return build_schema().as_str() + "\n"
