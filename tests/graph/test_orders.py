"""Orders of every type over HTTP: placed, replaced, closed, cancelled, listed."""

from decimal import Decimal
from typing import Any

import pytest

from graph.base import global_id, local_id
from infrastructure.services import Services
from resolvers.orders.commands import trigger_order
from resolvers.portfolios.commands import create_portfolio
from tests.support.clock import ManualClock
from tests.support.market import Market, Trader
from tests.support.people import context_of, signed_up
from tests.support.wire import Client

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

ERRORS = """errors { __typename code path message ... on ConflictError { order { id version quantity } } }"""
FIELDS = """id clientOrderId type timeInForce status quantity limitPrice stopPrice trailAmount trailPercent expireAt
  triggeredAt version"""
PLACE = f"""mutation ($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{
  order {{ {FIELDS} }} cursor {ERRORS}
}} }}"""
REPLACE = f"""mutation ($input: ReplaceOrderInput!) {{ replaceOrder(input: $input) {{
  order {{ {FIELDS} }} cursor {ERRORS}
}} }}"""
CLOSE = f"""mutation ($input: ClosePositionInput!) {{ closePosition(input: $input) {{
  order {{ id side type quantity status }} cursor {ERRORS}
}} }}"""
CANCEL_ALL = f"""mutation ($input: CancelAllOrdersInput!) {{ cancelAllOrders(input: $input) {{
  orders {{ id status cancelReason }} cursor {ERRORS}
}} }}"""


class Desk:
    """A signed-in client, and the trader behind it."""

    def __init__(self, client: Client, token: str, trader: Trader) -> None:
        self.client, self.token, self.trader = client, token, trader
        self.portfolio_id = global_id("Portfolio", trader.portfolio_id)

    async def do(self, mutation: str, **given: Any) -> Any:
        """The payload of a mutation."""
        [payload] = (await self.client.data(mutation, {"input": given}, self.token)).values()
        return payload

    async def place(self, kind: str, **given: Any) -> Any:
        """Ten AAPL bought, if not said otherwise."""
        asked = {"portfolioId": self.portfolio_id, "symbol": "AAPL", "side": "BUY", "type": kind, "quantity": "10"}
        return await self.do(PLACE, **(asked | given))

    async def ask(self, query: str, **variables: Any) -> Any:
        """The data of a query."""
        return await self.client.data(query, variables, self.token)


@pytest.fixture
async def desk(client: Client, services: Services) -> Desk:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.01", last="100")
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio = (await create_portfolio(ctx, "Main", None, Decimal(100_000))).value
    return Desk(client, signed_in.access_token, Trader(ctx, portfolio.id))


NOTHING = {"limitPrice": None, "stopPrice": None, "trailAmount": None, "trailPercent": None, "expireAt": None}
DATED = {"timeInForce": "GTD", "expireAt": "2026-01-07T10:00:00.000000Z"}


@pytest.mark.parametrize(
    ("kind", "given", "shown"),
    [
        ("STOP", {"stopPrice": "105"}, {"stopPrice": "105"}),
        ("STOP_LIMIT", {"stopPrice": "105", "limitPrice": "106"}, {"stopPrice": "105", "limitPrice": "106"}),
        ("TRAILING_STOP", {"trailAmount": "5"}, {"trailAmount": "5", "stopPrice": "105"}),
        ("TRAILING_STOP", {"trailPercent": "2.5"}, {"trailPercent": "2.5", "stopPrice": "102.5"}),
        ("STOP", {"stopPrice": "105", **DATED}, {"stopPrice": "105", **DATED}),
        ("STOP", {"stopPrice": "105", "timeInForce": "FOK"}, {"stopPrice": "105", "timeInForce": "FOK"}),
    ],
)
async def test_place_order_when_it_has_a_stop_then_it_waits_and_shows_what_was_asked_for(
    desk: Desk, kind: str, given: dict[str, str], shown: dict[str, str]
) -> None:
    payload = await desk.place(kind, **({"timeInForce": "GTC"} | given), clientOrderId="mine")
    assert payload["errors"] == []
    order = payload["order"]
    assert order.pop("id").startswith("T3JkZXI6")
    expected = {"clientOrderId": "mine", "type": kind, "status": "PENDING", "quantity": "10", "triggeredAt": None}
    assert order == expected | {"version": 1, "timeInForce": "GTC"} | NOTHING | shown
    assert payload["cursor"] is not None


async def test_place_order_when_its_prices_do_not_fit_then_every_fault_has_its_path(desk: Desk) -> None:
    payload = await desk.place("TRAILING_STOP", stopPrice="1", trailPercent="100", timeInForce="GTD")
    assert payload["order"] is None
    assert [(error["__typename"], error["path"]) for error in payload["errors"]] == [
        ("InputError", ["input", "stopPrice"]),
        ("InputError", ["input", "trailPercent"]),
        ("InputError", ["input", "expireAt"]),
    ]


async def test_replace_order_when_it_works_then_it_is_the_same_order_with_other_terms(desk: Desk) -> None:
    order = (await desk.place("STOP", stopPrice="105", timeInForce="GTC"))["order"]
    payload = await desk.do(REPLACE, orderId=order["id"], expectedVersion=1, quantity="8", stopPrice="104.5", **DATED)
    assert payload["errors"] == []
    assert payload["order"] == order | {"quantity": "8", "stopPrice": "104.5", "version": 2} | DATED
    conflict = await desk.do(REPLACE, orderId=order["id"], expectedVersion=1, quantity="7")
    assert conflict["order"] is None
    [error] = conflict["errors"]
    assert (error["__typename"], error["code"], error["path"]) == (
        "ConflictError",
        "CONFLICT",
        ["input", "expectedVersion"],
    )
    assert error["order"] == {"id": order["id"], "version": 2, "quantity": "8"}


@pytest.mark.parametrize("given", [{"orderId": "x"}, {"orderId": global_id("Order", "x")}])
async def test_replace_order_when_the_id_is_none_then_the_payload_leads_to_it(
    desk: Desk, given: dict[str, str]
) -> None:
    [error] = (await desk.do(REPLACE, **given))["errors"]
    assert error["path"] == ["input", "orderId"]


async def test_order_when_it_has_triggered_then_it_says_since_when(desk: Desk, clock: ManualClock) -> None:
    order = (await desk.place("STOP", stopPrice="105", timeInForce="GTC"))["order"]
    clock.advance(seconds=1)
    await trigger_order(desk.trader.ctx.services, local_id(order["id"], "Order", "id"), 1)
    query = "query ($id: ID!) { order(id: $id) { status triggeredAt version events { edges { node { type } } } } }"
    found = (await desk.ask(query, id=order["id"]))["order"]
    assert (found["status"], found["triggeredAt"], found["version"]) == ("OPEN", "2026-01-05T14:30:01.000000Z", 2)
    assert [edge["node"]["type"] for edge in found["events"]["edges"]] == ["ORDER_PLACED", "ORDER_TRIGGERED"]


async def test_close_position_when_a_part_is_asked_for_then_that_is_sold_once_for_its_key(desk: Desk) -> None:
    await desk.trader.trade("BUY", "10", "100")
    query = "query ($id: ID!) { portfolio(id: $id) { positions { edges { node { id } } } } }"
    found = await desk.ask(query, id=desk.portfolio_id)
    [edge] = found["portfolio"]["positions"]["edges"]
    given = {"positionId": edge["node"]["id"], "quantity": "4", "clientOrderId": "close"}
    first, again = [await desk.do(CLOSE, **given) for _ in range(2)]
    order = first["order"]
    assert first["errors"] == again["errors"] == []
    assert again["order"] == order
    assert {**order, "id": None} == {"id": None, "side": "SELL", "type": "MARKET", "quantity": "4", "status": "OPEN"}
    [conflict] = (await desk.do(CLOSE, **(given | {"quantity": "5"})))["errors"]
    assert conflict["order"] == {"id": order["id"], "version": 1, "quantity": "4"}
    [error] = (await desk.do(CLOSE, positionId=order["id"]))["errors"]
    assert error["path"] == ["input", "positionId"]


async def test_cancel_all_orders_when_of_one_instrument_then_those_are_answered_with(
    desk: Desk, services: Services, clock: ManualClock
) -> None:
    mine = []
    for stop in ("105", "106"):
        mine.append((await desk.place("STOP", stopPrice=stop))["order"]["id"])
        clock.advance(seconds=1)
    other = (await desk.place("LIMIT", symbol="KO", limitPrice="60"))["order"]["id"]
    payload = await desk.do(CANCEL_ALL, portfolioId=desk.portfolio_id, symbol="AAPL")
    told = {"status": "CANCELLED", "cancelReason": "Cancelled by the caller"}
    assert payload["orders"] == [{"id": each, **told} for each in mine]
    assert payload["errors"] == []
    rest = await desk.do(CANCEL_ALL, portfolioId=desk.portfolio_id)
    assert [each["id"] for each in rest["orders"]] == [other]
    assert (await desk.do(CANCEL_ALL, portfolioId=desk.portfolio_id))["orders"] == []
    missing = await desk.do(CANCEL_ALL, portfolioId=global_id("Portfolio", services.ids.new()))
    assert (missing["orders"], missing["errors"][0]["code"]) == ([], "NOT_FOUND")


@pytest.mark.parametrize("parent", ["viewer { ", "portfolio(id: $id) { ", ""])
async def test_orders_when_sorted_then_pages_both_ways_are_the_same_list(
    desk: Desk, clock: ManualClock, parent: str
) -> None:
    ids = []
    for _ in range(5):
        ids.append((await desk.place("STOP", stopPrice="105"))["order"]["id"])
        clock.advance(seconds=1)
    for each in (ids[1], ids[3], ids[0]):
        await desk.do(REPLACE, orderId=each, quantity="5")
        clock.advance(seconds=1)
    changed = [ids[2], ids[4], ids[1], ids[3], ids[0]]
    end = " }" if parent else ""
    declared = "($id: ID!, " if "$id" in parent else "("
    query = f"""query {declared}$first: Int, $after: String, $last: Int, $before: String, $by: OrderOrder) {{ {parent}
      orders(first: $first, after: $after, last: $last, before: $before, orderBy: $by) {{
        totalCount edges {{ node {{ id }} }} pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }}
      }} }}{end}"""

    async def page(**given: Any) -> Any:
        variables = given | ({"id": desk.portfolio_id} if "$id" in parent else {})
        found = await desk.ask(query, **variables)
        return found["orders"] if not parent else next(iter(found.values()))["orders"]

    for field, listed in (("PLACED_AT", ids), ("UPDATED_AT", changed)):
        for direction, expected in (("ASC", listed), ("DESC", listed[::-1])):
            by = {"field": field, "direction": direction}
            assert await walked(page, by, "first", "after", "endCursor", "hasNextPage") == expected
            assert await walked(page, by, "last", "before", "startCursor", "hasPreviousPage") == expected
    assert [edge["node"]["id"] for edge in (await page())["edges"]] == ids[::-1]


async def walked(page: Any, by: dict[str, str], size: str, edge: str, cursor: str, more: str) -> list[str]:
    """Every id, in pages of two from one end to the other, in the order of the list."""
    found: list[str] = []
    given: dict[str, Any] = {size: 2, "by": by}
    while True:
        answer = await page(**given)
        ids = [each["node"]["id"] for each in answer["edges"]]
        found = found + ids if size == "first" else ids + found
        assert answer["totalCount"] == 5
        if not answer["pageInfo"][more]:
            return found
        given[edge] = answer["pageInfo"][cursor]


async def test_filter_when_a_list_is_long_then_it_counts_each_once_and_too_many_symbols_are_bad_input(
    desk: Desk,
) -> None:
    order = await desk.place("LIMIT", limitPrice="1")
    assert not order["errors"]
    query = """query ($id: ID!, $statuses: [OrderStatus!], $kinds: [TransactionKind!], $symbols: [String!]) {
      portfolio(id: $id) {
        orders(filter: { statuses: $statuses }) { totalCount }
        transactions(filter: { kinds: $kinds }) { edges { node { kind } } }
        positions(filter: { symbols: $symbols }) { edges { node { id } } }
      }
    }"""
    many = 8_000
    asked = {"id": desk.portfolio_id, "statuses": ["OPEN"] * many, "kinds": ["DEPOSIT"] * many}
    found = await desk.ask(query, **asked, symbols=["AAPL"] * many)
    assert found["portfolio"] == {
        "orders": {"totalCount": 1},
        "transactions": {"edges": [{"node": {"kind": "DEPOSIT"}}]},
        "positions": {"edges": []},
    }
    answer = await desk.client.execute(query, asked | {"symbols": [f"S{n}" for n in range(501)]}, desk.token)
    [error] = answer["errors"]
    assert error["message"] == "`symbols` may name 500 at most."
    assert error["extensions"] == {"code": "BAD_USER_INPUT", "argument": "symbols"}
