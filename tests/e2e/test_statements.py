"""How many SQL statements a question costs through the whole HTTP path: as many for fifty things as for one."""

import dataclasses
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.catalogue import CATALOGUE
from models.enums import MarketAlertKind, RiskLimitKind, Role
from models.people import PreferenceChanges
from resolvers.accounts.commands import update_preferences
from resolvers.alerts.market_alerts import create_market_alert
from resolvers.context import Context
from resolvers.marketdata.sentiment import record_sentiment
from resolvers.portfolios.commands import create_portfolio
from resolvers.risk.commands import remove_risk_limit, set_risk_limit
from tests.support.handlers import drain, from_the_beginning
from tests.support.market import Market, Trader, statements
from tests.support.people import context_of, signed_up
from tests.support.wire import Client

SYMBOLS = [listing.symbol for listing in CATALOGUE if listing.lot_size == 1][:20]

# Each with the number of its statements, the first of which is the authentication of the caller.
QUESTIONS = {
    "the viewer": ("{ viewer { id email preferences { timezone } } }", 1),
    "a user by id": ("query ($user: ID!) { user(id: $user) { id email } }", 2),
    "an instrument with its quote": ('{ instrument(symbol: "AAPL") { name quote { last ageMs } } }', 2),
    "a portfolio with its worth and its positions": (
        """query ($portfolio: ID!) { portfolio(id: $portfolio) {
            name cash buyingPower valuation { totalValue unrealizedPnl dayPnl stale unpriced { symbol } }
            positions(first: 50) { edges { node {
                instrument { symbol quote { last } } quantity averagePrice marketValue unrealizedPnl dayPnl weight
            } } }
        } }""",
        5,
    ),
    "orders with their portfolios, owners, instruments and fills": (
        """{ orders(first: 50) { totalCount edges { node {
            id status portfolio { name owner { email } } instrument { name }
            fills(first: 10) { edges { node { price } } }
        } } } }""",
        7,
    ),
    "orders with their events": (
        "{ orders(first: 50) { edges { node { id events(first: 10) { edges { node { type payload } } } } } } }",
        3,
    ),
    "portfolios with the marks of their positions": (
        """{ viewer { portfolios(first: 50) { edges { node {
            name valuation { totalValue portfolio { name } } tradingStatus { state } riskLimits { kind current }
            positions(first: 50) { edges { node { portfolio { name } instrument { symbol } marketValue weight } } }
        } } } } }""",
        8,
    ),
    "portfolios with their ledgers, fills and orders": (
        """{ viewer { portfolios(first: 50) { edges { node {
            transactions(first: 20) { edges { node { amount fill { price } } } }
            fills(first: 20) { edges { node { order { id } } } }
            orders(first: 20) { totalCount edges { node { id } } }
        } } } } }""",
        8,
    ),
    "the audit trail": ("{ events(first: 50) { edges { cursor node { type aggregateId payload } } } streamCursor }", 2),
    "notifications with what they are about": (
        """{ viewer { notifications(first: 50, unreadOnly: true) { edges { node {
            title subject {
                ... on Order { status portfolio { name } } ... on Position { tradeSummary { heldSeconds } }
            }
        } } } } }""",
        4,
    ),
    "what is watched and what is felt": (
        "{ viewer { marketAlerts { kind instrument { name sentiment { score signal } } } } }",
        4,
    ),
    "portfolios with their risk alerts": (
        """{ viewer { portfolios(first: 50) { edges { node {
            riskAlerts(first: 20) { edges { node { kind portfolio { name } } } }
        } } } } }""",
        4,
    ),
    "portfolios as they stood": (
        """query ($then: DateTime!) { viewer { portfolios(first: 50) { edges { node { history(at: $then) {
            cash positions { quantity instrument { symbol } } valuation { totalValue unpriced { symbol } }
        } } } } } }""",
        8,
    ),
    "nodes by their ids": (
        "query ($user: ID!, $portfolio: ID!) { nodes(ids: [$user, $portfolio, $portfolio]) { id __typename } }",
        3,
    ),
}
"""What is asked of each kind of thing."""

PLACE = """
mutation ($portfolio: ID!) {
  placeOrder(input: { portfolioId: $portfolio, symbol: "AAPL", side: BUY, type: LIMIT, quantity: "1", limitPrice: "90",
                      clientOrderId: "k" }) { order { id portfolio { name } instrument { name } } errors { message } }
}
"""
PLACED = {"sqlite": 18, "postgresql": 14}
"""SQLite says BEGIN, and appends to the log in four statements instead of one."""


@dataclass
class World:
    """One user with some portfolios and orders, all filled."""

    services: Services
    token: str
    variables: dict[str, Any]


async def world(services: Services, orders: int, portfolios: int) -> World:
    """So many orders, spread over so many portfolios; the first of them holds what it may of twenty instruments."""
    market = await Market.open(services)
    for symbol in SYMBOLS:
        await market.quote(symbol, "99.90", "100.10", last="100.00")
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    made = [(await create_portfolio(ctx, f"No. {number}", None, Decimal(10**9))).value for number in range(portfolios)]
    for number in range(orders):
        portfolio = made[0] if number < len(SYMBOLS) else made[number % portfolios]
        await Trader(ctx, portfolio.id).trade("BUY", "10", "100.00", SYMBOLS[number % len(SYMBOLS)])
    for number in range(orders):
        await create_market_alert(ctx, SYMBOLS[number % len(SYMBOLS)], MarketAlertKind.PRICE_ABOVE, Decimal(500))
        await record_sentiment(as_analyst(ctx), SYMBOLS[number % len(SYMBOLS)], Decimal("0.5"), Decimal(1), "newswire")
    for portfolio in made:
        await set_risk_limit(ctx, portfolio.id, RiskLimitKind.MAX_POSITION_NOTIONAL, Decimal(5))
    # Of orders alone, so that a page of notifications is about the same kinds of things however many there are.
    await update_preferences(ctx, PreferenceChanges(notify_on_risk_breach=False, notify_on_market_alert=False))
    await from_the_beginning(services)
    await drain(services)
    for portfolio in made:
        await remove_risk_limit(ctx, portfolio.id, RiskLimitKind.MAX_POSITION_NOTIONAL)
    # It reads on its own account, which is nobody's question.
    await services.relay.reached(await position(services))
    await services.relay.stop()
    user, portfolio_id = global_id("User", signed_in.user.id), global_id("Portfolio", made[0].id)
    variables = {"user": user, "portfolio": portfolio_id, "then": services.clock.now().isoformat()}
    return World(services, signed_in.access_token, variables)


def as_analyst(ctx: Context) -> Context:
    """The caller in the role of an analyst."""
    viewer = ctx.signed_in()
    user = dataclasses.replace(viewer.user, role=Role.ANALYST)
    return dataclasses.replace(ctx, viewer=dataclasses.replace(viewer, user=user))


async def position(services: Services) -> int:
    """Where the log stands."""
    async with services.database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT seq FROM log_head")).scalar_one())


async def cost(client: Client, world: World, question: str) -> list[str]:
    """The SQL that answers it, when nothing is known from the question before."""
    services = world.services
    services.known._clear()
    await services.cache.begin(services.relay.epoch, services.relay.position)
    used = {name: value for name, value in world.variables.items() if f"${name}:" in question}
    with statements(world.services) as seen:
        await client.data(question, used, world.token)
    return [" ".join(statement.split()) for statement in seen]


@pytest.mark.parametrize(("orders", "portfolios"), [(1, 1), (50, 5)])
async def test_question_when_asked_then_its_statements_are_as_many_for_one_as_for_fifty(
    services: Services, client: Client, orders: int, portfolios: int
) -> None:
    asked = await world(services, orders, portfolios)
    costs = {name: await cost(client, asked, question) for name, (question, _) in QUESTIONS.items()}
    assert {name: len(seen) for name, seen in costs.items()} == {name: most for name, (_, most) in QUESTIONS.items()}


@pytest.mark.parametrize("orders", [1, 20])
async def test_order_when_placed_then_its_statements_are_as_many_whatever_is_held(
    services: Services, client: Client, backend: str, orders: int
) -> None:
    asked = await world(services, orders, portfolios=1)
    assert len(await cost(client, asked, PLACE)) == PLACED[backend]
