"""What is followed over a websocket: quotes, valuations and positions as they are, orders as they change."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import OrderType
from resolvers.events.queries import cursor_of
from resolvers.orders.commands import ReplaceOrder, replace_order, trigger_order
from resolvers.portfolios.commands import create_portfolio
from tests.support.floor import Floor
from tests.support.market import D, Market, Trader
from tests.support.people import context_of, signed_up
from tests.support.wire import Socket, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

QUOTES = """subscription ($symbols: [String!]!, $every: Int) { quotes(symbols: $symbols, everyMs: $every) {
  symbol bid ask stale instrument { name }
} }"""
VALUATIONS = """subscription ($id: ID!, $every: Int) { valuations(portfolioId: $id, everyMs: $every) {
  cash marketValue totalValue unpriced { symbol } portfolio { name }
} }"""
POSITIONS = """subscription ($id: ID!, $after: String, $beat: Int) {
  positions(portfolioId: $id, after: $after, heartbeatSeconds: $beat) {
    __typename
    ... on PositionSnapshot { cursor positions { quantity averagePrice instrument { symbol } } }
    ... on PositionEvent { cursor previousCursor type position { quantity realizedPnl closedAt } fill { price } }
    ... on StreamHeartbeat { cursor at }
  }
}"""
ORDERS = """subscription ($after: String!) { orderEvents(after: $after) {
  cursor type order { type status stopPrice triggeredAt version } fill { price }
} }"""


class Screen:
    """A socket of a signed-in trader."""

    def __init__(self, socket: Socket, trader: Trader, market: Market) -> None:
        self.socket, self.trader, self.market = socket, trader, market
        self.portfolio_id = global_id("Portfolio", trader.portfolio_id)

    async def next(self, name: str) -> Any:
        """What comes next of the only field of an operation."""
        [found] = (await self.socket.data(name)).values()
        return found


@pytest.fixture
async def screen(server: str, services: Services) -> AsyncIterator[Screen]:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.01", last="100")
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio = (await create_portfolio(ctx, "Main", None, D(100_000))).value
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        yield Screen(opened, Trader(ctx, portfolio.id), market)


async def test_quotes_when_followed_then_the_latest_comes_at_once_and_then_each_move(screen: Screen) -> None:
    await screen.socket.start("quotes", QUOTES, {"symbols": ["AAPL", "MSFT"], "every": 100})
    first = await screen.next("quotes")
    assert first == {
        "symbol": "AAPL",
        "bid": "99.99",
        "ask": "100.01",
        "stale": False,
        "instrument": {"name": "Apple Inc."},
    }
    await screen.market.quote("MSFT", "400", "400.02")
    assert (await screen.next("quotes"))["symbol"] == "MSFT"
    for bid in ("101", "102", "103"):
        await screen.market.quote("AAPL", bid, "104")
    seen = (await screen.next("quotes"))["bid"]
    while seen != "103":
        seen = (await screen.next("quotes"))["bid"]


@pytest.mark.parametrize(
    ("query", "variables", "said"),
    [
        (QUOTES, {"symbols": ["NOPE"]}, "There is no instrument 'NOPE'."),
        (QUOTES, {"symbols": []}, "`symbols` has 0: it has to have 1 to 100."),
        (QUOTES, {"symbols": ["AAPL"], "every": 1}, "`everyMs` is 1: it has to be between 100 and 60000."),
        (VALUATIONS, {"every": 60001}, "`everyMs` is 60001: it has to be between 100 and 60000."),
        (VALUATIONS, {"id": global_id("Portfolio", "019b8e90-0000-7000-8000-000000000000")}, "No such portfolio."),
        (POSITIONS, {"id": global_id("Portfolio", "019b8e90-0000-7000-8000-000000000000")}, "No such portfolio."),
        (POSITIONS, {"beat": 0}, "`heartbeatSeconds` is 0: it has to be between 1 and 300."),
    ],
)
async def test_stream_when_an_argument_is_wrong_then_it_ends_with_an_error_that_says_so(
    screen: Screen, query: str, variables: dict[str, Any], said: str
) -> None:
    given = variables if "symbols" in variables else {"id": screen.portfolio_id, **variables}
    await screen.socket.start("wrong", query, given)
    frame = await screen.socket.next("wrong")
    errors = frame["payload"] if frame["type"] == "error" else frame["payload"]["errors"]
    assert [(error["message"], error["extensions"]["code"]) for error in errors] == [(said, "BAD_USER_INPUT")]


async def test_valuations_when_prices_and_trades_change_it_then_each_is_shown_and_nothing_twice(screen: Screen) -> None:
    await screen.trader.trade("BUY", "10", "100")
    await screen.socket.start("worth", VALUATIONS, {"id": screen.portfolio_id, "every": 100})
    first = await screen.next("worth")
    assert first == {
        "cash": "98999",
        "marketValue": "1000",
        "totalValue": "99999",
        "unpriced": [],
        "portfolio": {"name": "Main"},
    }
    await screen.market.quote("AAPL", "100", "100.02", last="100")
    await screen.market.quote("AAPL", "109.99", "110.01", last="110")
    assert (await screen.next("worth"))["totalValue"] == "100099"
    await screen.trader.trade("SELL", "10", "110")
    seen = await screen.next("worth")
    assert (seen["cash"], seen["marketValue"]) == ("100097.9", "0")


async def test_positions_when_followed_then_there_is_a_snapshot_and_each_change_hangs_on_the_one_before(
    screen: Screen,
) -> None:
    await screen.trader.trade("BUY", "10", "100")
    await screen.socket.start("held", POSITIONS, {"id": screen.portfolio_id})
    snapshot = await screen.next("held")
    held = {"quantity": "10", "averagePrice": "100", "instrument": {"symbol": "AAPL"}}
    assert (snapshot["__typename"], snapshot["positions"]) == ("PositionSnapshot", [held])
    await screen.trader.trade("BUY", "5", "100")
    await screen.trader.trade("SELL", "15", "102")
    changed, closed = [await screen.next("held") for _ in range(2)]
    assert (changed["type"], changed["position"]["quantity"], changed["fill"]) == (
        "POSITION_CHANGED",
        "15",
        {"price": "100"},
    )
    assert (closed["type"], closed["position"]["realizedPnl"], closed["previousCursor"]) == (
        "POSITION_CLOSED",
        "30",
        changed["cursor"],
    )
    await screen.socket.start("again", POSITIONS, {"id": screen.portfolio_id, "after": changed["cursor"]})
    assert await screen.next("again") == closed


async def test_positions_when_nothing_happens_then_a_heartbeat_says_up_to_where(
    screen: Screen, services: Services
) -> None:
    await screen.socket.start("held", POSITIONS, {"id": screen.portfolio_id, "beat": 1})
    assert (await screen.next("held"))["positions"] == []
    done = await screen.trader.place("BUY", "1", limit="90")
    await services.relay.reached(done.position)
    beat = await screen.next("held")
    while beat["cursor"] != cursor_of(screen.trader.ctx, done.position):
        beat = await screen.next("held")
    assert (beat["__typename"], beat["at"]) == ("StreamHeartbeat", "2026-01-05T14:30:00.000000Z")


async def test_positions_when_the_cursor_is_of_another_log_then_a_new_snapshot_takes_its_place(
    screen: Screen, services: Services
) -> None:
    await screen.trader.trade("BUY", "10", "100")
    cursor = cursor_of(screen.trader.ctx, 1)
    services.relay.epoch = "restored"
    await screen.socket.start("held", POSITIONS, {"id": screen.portfolio_id, "after": cursor})
    snapshot = await screen.next("held")
    assert (snapshot["__typename"], [each["quantity"] for each in snapshot["positions"]]) == (
        "PositionSnapshot",
        ["10"],
    )


async def test_order_events_when_a_stop_is_replaced_and_triggers_then_each_step_is_told(
    screen: Screen, services: Services
) -> None:
    floor = Floor(screen.market, screen.trader)
    await screen.socket.start("orders", ORDERS, {"after": cursor_of(screen.trader.ctx, services.relay.position)})
    order = await floor.place("BUY", OrderType.STOP, stop_price="105")
    after = (await replace_order(screen.trader.ctx, ReplaceOrder(order.id, stop_price=D("104.5")))).value
    await trigger_order(services, after.id, after.version)
    told = [await screen.next("orders") for _ in range(3)]
    assert [(each["type"], each["order"]["status"], each["order"]["stopPrice"]) for each in told] == [
        ("ORDER_PLACED", "PENDING", "105"),
        ("ORDER_REPLACED", "PENDING", "104.5"),
        ("ORDER_TRIGGERED", "OPEN", "104.5"),
    ]
    assert told[-1]["order"]["triggeredAt"] == "2026-01-05T14:30:00.000000Z"
