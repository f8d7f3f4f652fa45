"""Where an id may be given in the schema, and an operation that gives one there."""

from collections.abc import Iterator

from graphql import (
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    build_schema,
    get_named_type,
    is_required_argument,
)

from graph.schema import printed

SCHEMA: GraphQLSchema = build_schema(printed())


def node_types() -> set[str]:
    """The names of all types that `node` may answer with."""
    node = SCHEMA.type_map["Node"]
    assert isinstance(node, GraphQLInterfaceType)
    return {kind.name for kind in SCHEMA.get_possible_types(node)}


def id_places() -> set[str]:
    """Every argument of every field, and every field of every input in one, that takes an id: `Query.node.id`."""
    found = set()
    for kind in SCHEMA.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                for argument, given in field.args.items():
                    found |= {f"{kind.name}.{name}.{path}" for path in _paths(given.type, argument)}
    return found


def queries_without_id() -> set[str]:
    """The questions that may be asked without an id."""
    assert SCHEMA.query_type is not None
    return {
        name
        for name, field in SCHEMA.query_type.fields.items()
        if not any(is_required_argument(given) and [*_paths(given.type, "")] for given in field.args.values())
    }


def _paths(given: GraphQLInputType, path: str) -> Iterator[str]:
    kind = get_named_type(given)
    if kind.name == "ID":
        yield path
    if isinstance(kind, GraphQLInputObjectType):
        for name, field in kind.fields.items():
            yield from _paths(field.type, f"{path}.{name}")


# ---------------------------------------------------------------- what is asked there

EVERYBODYS_NODES = {"Instrument"}
NODES_WITH_OWNER = {
    "ApiKey", "Event", "Fill", "MarketAlert", "Notification", "Order", "Portfolio", "Position", "RiskAlert",
    "RiskLimit", "Transaction", "User",
}  # fmt: skip

ERRORS = "errors { __typename code message path }"
ORDER = 'symbol: "AAPL" side: BUY type: LIMIT quantity: "1" limitPrice: "90"'
# Each with the type of the id and an operation; mutations stand in an order in which the owner can do them all.
PLACES: dict[str, tuple[str, str]] = {
    "Query.user.id": ("User", "query ($id: ID!) { user(id: $id) { id email } }"),
    "Query.portfolio.id": ("Portfolio", "query ($id: ID!) { portfolio(id: $id) { id cash } }"),
    "Query.order.id": ("Order", "query ($id: ID!) { order(id: $id) { id status } }"),
    "Query.position.id": ("Position", "query ($id: ID!) { position(id: $id) { id quantity } }"),
    "Query.orders.filter.portfolioId": (
        "Portfolio",
        "query ($id: ID!) { orders(filter: { portfolioId: $id }) { totalCount edges { node { id } } } }",
    ),
    "User.orders.filter.portfolioId": (
        "Portfolio",
        "query ($id: ID!) { viewer { orders(filter: { portfolioId: $id }) { totalCount edges { node { id } } } } }",
    ),
    "Portfolio.orders.filter.portfolioId": (
        "Portfolio",
        """query ($id: ID!) { viewer { portfolios { edges { node {
            orders(filter: { portfolioId: $id }) { totalCount edges { node { id } } }
        } } } } }""",
    ),
    "Query.events.filter.portfolioId": (
        "Portfolio",
        "query ($id: ID!) { events(filter: { portfolioId: $id }) { edges { node { id } } } }",
    ),
    "Query.events.filter.aggregateId": (
        "Order",
        "query ($id: ID!) { events(filter: { aggregateId: $id }) { edges { node { id } } } }",
    ),
    "Query.previewOrder.input.portfolioId": (
        "Portfolio",
        f"""query ($id: ID!) {{ previewOrder(input: {{ portfolioId: $id {ORDER} }})
            {{ preview {{ accepted }} {ERRORS} }} }}""",
    ),
    "Mutation.updatePortfolio.input.portfolioId": (
        "Portfolio",
        f'mutation ($id: ID!) {{ updatePortfolio(input: {{ portfolioId: $id name: "Mine" }}) {{ cursor {ERRORS} }} }}',
    ),
    "Mutation.depositCash.input.portfolioId": (
        "Portfolio",
        f'mutation ($id: ID!) {{ depositCash(input: {{ portfolioId: $id amount: "1" }}) {{ cursor {ERRORS} }} }}',
    ),
    "Mutation.withdrawCash.input.portfolioId": (
        "Portfolio",
        f'mutation ($id: ID!) {{ withdrawCash(input: {{ portfolioId: $id amount: "1" }}) {{ cursor {ERRORS} }} }}',
    ),
    "Mutation.placeOrder.input.portfolioId": (
        "Portfolio",
        f"mutation ($id: ID!) {{ placeOrder(input: {{ portfolioId: $id {ORDER} }}) {{ cursor {ERRORS} }} }}",
    ),
    "Mutation.replaceOrder.input.orderId": (
        "Order",
        f'mutation ($id: ID!) {{ replaceOrder(input: {{ orderId: $id limitPrice: "91" }}) {{ cursor {ERRORS} }} }}',
    ),
    "Mutation.closePosition.input.positionId": (
        "Position",
        f"mutation ($id: ID!) {{ closePosition(input: {{ positionId: $id }}) {{ cursor {ERRORS} }} }}",
    ),
    "Mutation.cancelOrder.input.orderId": (
        "Order",
        f"mutation ($id: ID!) {{ cancelOrder(input: {{ orderId: $id }}) {{ cursor {ERRORS} }} }}",
    ),
    "Mutation.cancelAllOrders.input.portfolioId": (
        "Portfolio",
        f"mutation ($id: ID!) {{ cancelAllOrders(input: {{ portfolioId: $id }}) {{ orders {{ id }} {ERRORS} }} }}",
    ),
    "Mutation.setTargetAllocations.input.portfolioId": (
        "Portfolio",
        f"""mutation ($id: ID!) {{ setTargetAllocations(input: {{ portfolioId: $id allocations: [] }})
        {{ portfolio {{ id }} {ERRORS} }} }}""",
    ),
    "Mutation.setRiskLimit.input.portfolioId": (
        "Portfolio",
        f"""mutation ($id: ID!) {{ setRiskLimit(input: {{ portfolioId: $id kind: MAX_OPEN_ORDERS threshold: "9" }})
            {{ riskLimit {{ id }} {ERRORS} }} }}""",
    ),
    "Mutation.removeRiskLimit.input.portfolioId": (
        "Portfolio",
        f"""mutation ($id: ID!) {{ removeRiskLimit(input: {{ portfolioId: $id kind: MAX_OPEN_ORDERS }})
            {{ cursor {ERRORS} }} }}""",
    ),
    "Mutation.pauseTrading.input.portfolioId": (
        "Portfolio",
        f"""mutation ($id: ID!) {{ pauseTrading(input: {{ portfolioId: $id reason: "Lunch" }})
            {{ tradingStatus {{ state }} {ERRORS} }} }}""",
    ),
    "Mutation.resumeTrading.input.portfolioId": (
        "Portfolio",
        f"""mutation ($id: ID!) {{ resumeTrading(input: {{ portfolioId: $id }})
            {{ tradingStatus {{ state }} {ERRORS} }} }}""",
    ),
    "Mutation.acknowledgeRiskAlert.input.alertId": (
        "RiskAlert",
        f"""mutation ($id: ID!) {{ acknowledgeRiskAlert(input: {{ alertId: $id }})
            {{ riskAlert {{ id }} {ERRORS} }} }}""",
    ),
    "Mutation.deleteMarketAlert.input.alertId": (
        "MarketAlert",
        f"""mutation ($id: ID!) {{ deleteMarketAlert(input: {{ alertId: $id }})
            {{ marketAlert {{ id }} {ERRORS} }} }}""",
    ),
    "Mutation.markNotificationsRead.input.ids": (
        "Notification",
        f"""mutation ($id: ID!) {{ markNotificationsRead(input: {{ ids: [$id] }})
            {{ notifications {{ id }} {ERRORS} }} }}""",
    ),
    "Mutation.revokeApiKey.input.apiKeyId": (
        "ApiKey",
        f"mutation ($id: ID!) {{ revokeApiKey(input: {{ apiKeyId: $id }}) {{ apiKey {{ revokedAt }} {ERRORS} }} }}",
    ),
    "Subscription.positions.portfolioId": (
        "Portfolio",
        """subscription ($id: ID!, $after: String) { positions(portfolioId: $id, after: $after) {
            ... on PositionSnapshot { positions { id } } ... on PositionEvent { position { id } }
        } }""",
    ),
    "Subscription.valuations.portfolioId": (
        "Portfolio",
        "subscription ($id: ID!) { valuations(portfolioId: $id) { totalValue } }",
    ),
    "Subscription.positionEvents.portfolioId": (
        "Portfolio",
        "subscription ($id: ID!, $after: String) { positionEvents(portfolioId: $id, after: $after) { cursor } }",
    ),
    "Subscription.orderEvents.portfolioId": (
        "Portfolio",
        "subscription ($id: ID!, $after: String) { orderEvents(portfolioId: $id, after: $after) { cursor } }",
    ),
    "Subscription.riskEvents.portfolioId": (
        "Portfolio",
        "subscription ($id: ID!, $after: String) { riskEvents(portfolioId: $id, after: $after) { cursor } }",
    ),
    "Subscription.events.filter.portfolioId": (
        "Portfolio",
        "subscription ($id: ID!, $after: String) { events(filter: { portfolioId: $id }, after: $after) { cursor } }",
    ),
    "Subscription.events.filter.aggregateId": (
        "Order",
        "subscription ($id: ID!, $after: String) { events(filter: { aggregateId: $id }, after: $after) { cursor } }",
    ),
}
ANY_NODE = {
    "Query.node.id": "query ($id: ID!) { node(id: $id) { __typename id } }",
    "Query.nodes.ids": "query ($id: ID!) { nodes(ids: [$id]) { __typename id } }",
}
SILENT = {"Subscription.events.filter.portfolioId", "Subscription.events.filter.aggregateId"}
"""Streams that say nothing of what there is not, nor that it is not there."""

# What can be asked without an id is one's own, or everybody's.
OWN = {
    "viewer": """{ viewer { id email apiKeys { id } marketAlerts { id }
        notifications { edges { node { id subject { id } } } }
        portfolios { edges { node { id
        positions { edges { node { id } } } orders { edges { node { id fills { edges { node { id } } } } } }
        transactions { edges { node { id } } } riskLimits { id }
        riskAlerts { edges { node { id } } } } } } orders { edges { node { id } } } } }""",
    "orders": """{ orders { edges { node {
        id portfolio { id owner { id } } events { edges { node { payload } } } } } } }""",
    "events": "{ events { edges { node { id aggregateId payload } } } }",
}
EVERYBODYS = {
    "instrument",
    "rateLimit",
    "instruments",
    "tradingStatus",
    "marketClock",
    "streamCursor",
    "cacheStatistics",
}
