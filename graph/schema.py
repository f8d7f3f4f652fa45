"""The schema: every domain's questions, commands and streams put together."""

from typing import Any

import strawberry
from strawberry.schema.config import StrawberryConfig

from graph.accounts import AccountMutations, AccountQueries
from graph.allocations import AllocationMutations
from graph.caching import CacheQueries
from graph.errors import ERROR_TYPES
from graph.events import EventQueries, EventSubscriptions
from graph.keys import KeyMutations
from graph.limits import LimitQueries
from graph.market_alerts import MarketAlertMutations
from graph.marketdata import MarketQueries, MarketSubscriptions
from graph.nodes import NodeQueries
from graph.notifications import NotificationMutations, NotificationSubscriptions
from graph.orders import OrderQueries
from graph.portfolios import PortfolioMutations, PortfolioQueries, PortfolioSubscriptions
from graph.positions import PositionQueries
from graph.risk import RiskMutations, RiskQueries
from graph.risk_alerts import RiskAlertMutations, RiskAlertSubscriptions
from graph.scalars import SCALARS
from graph.scopes import describe_scopes
from graph.trading import TradingMutations, TradingQueries


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
    LimitQueries,
    CacheQueries,
):
    """The questions of every domain."""


@strawberry.type(description="What can be done. Several in one document are done in order, each by itself.")
class Mutation(
    AccountMutations,
    KeyMutations,
    PortfolioMutations,
    AllocationMutations,
    TradingMutations,
    RiskMutations,
    NotificationMutations,
    RiskAlertMutations,
    MarketAlertMutations,
):
    """The commands of every domain."""


@strawberry.type(description="What can be followed, over a websocket that speaks graphql-transport-ws.")
class Subscription(
    EventSubscriptions, MarketSubscriptions, PortfolioSubscriptions, NotificationSubscriptions, RiskAlertSubscriptions
):
    """The streams of every domain."""


class Schema(strawberry.Schema):
    """Strawberry's. `needed` says which scope each operation needs (`Mutation.placeOrder`)."""

    def __init__(self, **parts: Any) -> None:
        super().__init__(**parts)
        self.needed = describe_scopes(self._schema)


def build_schema() -> Schema:
    """The whole schema; raises if a part of it does not fit."""
    return Schema(
        query=Query,
        mutation=Mutation,
        subscription=Subscription,
        types=ERROR_TYPES,
        config=StrawberryConfig(auto_camel_case=True, scalar_map=SCALARS),
    )


def printed() -> str:
    """What `schema.graphql` holds."""
    return build_schema().as_str() + "\n"
