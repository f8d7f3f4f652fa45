import re
from typing import Any
from uuid import uuid4

import pytest

from graph.base import global_id, parsed_id
from graph.events import with_global_ids
from infrastructure.services import Services
from models.enums import RiskLimitKind
from resolvers.orders.commands import cancel_order
from resolvers.risk.commands import pause_trading, set_risk_limit
from tests.graph.test_trading import data
from tests.support.market import D, Market, Trader

RAW_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TRAIL = """query ($first: Int, $after: String, $filter: EventFilter) {
  events(first: $first, after: $after, filter: $filter) {
    edges { cursor node { id cursor type aggregateType aggregateId version payload } }
    pageInfo { hasNextPage endCursor }
  }
}"""


@pytest.fixture
async def trader(services: Services) -> Trader:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "101")
    trader = await Trader.with_cash(services)
    await trader.trade("BUY", "10", "100")
    order = (await trader.place("BUY", "1", limit="90", key="mine")).value
    await cancel_order(trader.ctx, order.id)
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_OPEN_ORDERS, D(5))
    await pause_trading(trader.ctx, trader.portfolio_id, "Holiday", None, reduce_only=False)
    return trader


async def trail(trader: Trader, **asked: Any) -> list[Any]:
    return [edge["node"] for edge in (await data(trader.ctx, TRAIL, asked))["events"]["edges"]]


def test_payload_when_shown_then_its_ids_are_the_apis_and_the_callers_own_key_is_left_alone() -> None:
    one, other = str(uuid4()), str(uuid4())
    shown = with_global_ids(
        {
            "order": {"id": one, "portfolioId": other, "clientOrderId": other, "stopId": None},
            "transactions": [{"id": one}],
        }
    )
    assert shown == {
        "order": {
            "id": global_id("Order", one),
            "portfolioId": global_id("Portfolio", other),
            "clientOrderId": other,
            "stopId": None,
        },
        "transactions": [{"id": global_id("Transaction", one)}],
    }


async def test_trail_when_many_things_happened_then_no_internal_id_is_shown(trader: Trader) -> None:
    for event in await trail(trader):
        shown = str({**event, "payload": _without_own_keys(event["payload"])})
        assert not RAW_ID.search(shown), shown


def _without_own_keys(value: Any) -> Any:
    """Without the client order ids: a made-up one is the order's own id."""
    if isinstance(value, dict):
        return {key: _without_own_keys(item) for key, item in value.items() if key != "clientOrderId"}
    return [_without_own_keys(item) for item in value] if isinstance(value, list) else value


async def test_trail_when_paged_then_it_is_whole_and_each_event_has_the_cursor_of_its_edge(trader: Trader) -> None:
    whole = await trail(trader)
    pages: list[Any] = []
    after = None
    while True:
        page = (await data(trader.ctx, TRAIL, {"first": 2, "after": after}))["events"]
        assert all(edge["cursor"] == edge["node"]["cursor"] for edge in page["edges"])
        pages += [edge["node"] for edge in page["edges"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert pages == whole
    assert [event["type"] for event in whole] == [
        *("USER_CREATED", "SESSION_STARTED", "PORTFOLIO_CREATED", "CASH_MOVED"),
        *("ORDER_PLACED", "ORDER_EXECUTED", "POSITION_OPENED", "CASH_MOVED"),
        *("ORDER_PLACED", "ORDER_CANCELLED", "RISK_LIMIT_CHANGED", "TRADING_PAUSED"),
    ]


async def test_trail_when_filtered_then_only_what_matches_is_there(trader: Trader) -> None:
    portfolio_id = global_id("Portfolio", trader.portfolio_id)
    order_id = (await trail(trader, filter={"types": ["ORDER_CANCELLED"]}))[0]["aggregateId"]
    of_order = await trail(trader, filter={"aggregateId": order_id})
    of_portfolio = await trail(trader, filter={"aggregateType": "Portfolio", "portfolioId": portfolio_id})
    assert [event["type"] for event in of_order] == ["ORDER_PLACED", "ORDER_CANCELLED"]
    assert [event["version"] for event in of_order] == [1, 2]
    assert [event["version"] for event in of_portfolio] == [*range(1, len(of_portfolio) + 1)]
    assert {event["aggregateId"] for event in of_portfolio} == {portfolio_id}
    assert await trail(trader, filter={"to": "2020-01-01T00:00:00Z"}) == []


async def test_nodes_when_asked_by_the_ids_that_were_shown_then_each_is_found_as_what_it_is(trader: Trader) -> None:
    query = """{ viewer { id } instrument(symbol: "AAPL") { id } orders { edges { node {
      id fills { edges { node { id } } }
      portfolio { id riskLimits { id } positions { edges { node { id } } } transactions { edges { node { id } } } }
      events { edges { node { id } } }
    } } } }"""
    ids = re.findall(r"'id': '([\w-]+)'", str(await data(trader.ctx, query)))
    found = await data(trader.ctx, "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }", {"ids": ids})
    parsed = [parsed_id(given) for given in ids]
    assert [(node["__typename"], node["id"]) for node in found["nodes"]] == [
        (known[0], given) for known, given in zip(parsed, ids, strict=True) if known
    ]
    assert {known[0] for known in parsed if known} == {
        *("User", "Instrument", "Order", "Portfolio", "RiskLimit", "Position", "Fill", "Event", "Transaction")
    }


async def test_nodes_when_they_are_someone_elses_then_they_answer_like_missing_ones(
    trader: Trader, services: Services
) -> None:
    other = await Trader.with_cash(services, email="grace@example.com")
    own = [
        global_id("Portfolio", trader.portfolio_id),
        (await trail(trader))[0]["id"],
        *{event["aggregateId"] for event in await trail(trader) if event["aggregateType"] in ("Order", "Position")},
    ]
    missing = [global_id(kind, uuid4()) for kind in ("Portfolio", "Order", "Fill", "RiskLimit", "Position", "User")]
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    assert await data(other.ctx, query, {"ids": own}) == {"nodes": [None] * len(own)}
    assert await data(other.ctx, query, {"ids": missing}) == {"nodes": [None] * len(missing)}
