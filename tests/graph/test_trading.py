"""A trader's day as the API shows it: what the fields say, to the last digit."""

from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from resolvers.context import Context
from tests.support.market import Market, Trader, statements
from tests.support.people import ADDRESS
from tests.support.wire import executed

PREVIEW = """query ($input: PlaceOrderInput!) { previewOrder(input: $input) {
  preview {
    estimatedPrice estimatedNotional estimatedCommission cashAfter buyingPowerAfter positionAfter
    largestAcceptableQuantity accepted checks { kind passed }
  }
  errors { __typename code path }
} }"""
PORTFOLIO = """query ($id: ID!) { portfolio(id: $id) {
  name baseCurrency cash reservedCash buyingPower owner { email }
  valuation {
    cash marketValue totalValue unrealizedPnl realizedPnl dayPnl stale unpriced { symbol } portfolio { name }
  }
  positions { edges { node {
    side quantity averagePrice marketPrice marketValue costBasis unrealizedPnl unrealizedPnlPercent dayPnl weight
    realizedPnl closedAt instrument { symbol assetClass tickSize quote { bid ask ageMs stale change changePercent } }
  } } }
  orders(filter: { statuses: [OPEN] }) { totalCount edges { node { side type limitPrice remainingQuantity } } }
  fills { edges { node { quantity price commission order { status } } } pageInfo { hasNextPage } }
  transactions(first: 3) {
    edges { node { kind amount balanceAfter fill { price } } }
    pageInfo { hasNextPage hasPreviousPage }
  }
  riskLimits { kind threshold current utilization severity portfolio { name } }
  tradingStatus { state reason }
} }"""


@pytest.fixture
async def market(services: Services) -> Market:
    return await Market.open(services)


@pytest.fixture
async def trader(services: Services, market: Market) -> Trader:
    await market.quote("AAPL", "109.99", "110.01", last="110", previous="100")
    return await Trader.with_cash(services)


def fresh(ctx: Context) -> Context:
    """Another operation of the same caller."""
    return Context(ctx.services, ctx.viewer, ADDRESS, ctx.services.relay.position)


async def data(ctx: Context, query: str, variables: dict[str, Any] | None = None) -> Any:
    result = await executed(fresh(ctx), query, variables)
    assert not result.errors
    assert result.data is not None
    return result.data


def asked(trader: Trader, **changes: Any) -> dict[str, Any]:
    portfolio_id = global_id("Portfolio", trader.portfolio_id)
    given = {"portfolioId": portfolio_id, "symbol": "AAPL", "side": "BUY", "type": "MARKET", "quantity": "10"}
    return {"input": {**given, **changes}}


async def test_preview_when_the_order_fits_then_it_says_what_it_would_do_and_nothing_is_written(
    trader: Trader,
) -> None:
    found = (await data(trader.ctx, PREVIEW, asked(trader)))["previewOrder"]
    assert found["errors"] == []
    checks = found["preview"].pop("checks")
    assert [check["kind"] for check in checks if not check["passed"]] == []
    assert found["preview"] == {
        "estimatedPrice": "110.01",
        "estimatedNotional": "1100.1",
        "estimatedCommission": "1.1001",
        "cashAfter": "98898.7999",
        "buyingPowerAfter": "98898.7999",
        "positionAfter": "10",
        "largestAcceptableQuantity": "10",
        "accepted": True,
    }
    assert (await data(trader.ctx, "{ orders { totalCount } }"))["orders"]["totalCount"] == 0


async def test_preview_when_the_order_is_too_large_then_it_says_how_much_would_fit(trader: Trader) -> None:
    found = (await data(trader.ctx, PREVIEW, asked(trader, quantity="1000")))["previewOrder"]["preview"]
    assert found["accepted"] is False
    # 881 x 110.01 x 1.03 x 1.001 is 99,925.5 and 882 are 100,038.9.
    assert found["largestAcceptableQuantity"] == "881"
    assert [check["kind"] for check in found["checks"] if not check["passed"]] == ["BUYING_POWER"]


async def test_preview_when_the_input_is_wrong_then_the_payload_leads_to_it(trader: Trader) -> None:
    found = (await data(trader.ctx, PREVIEW, asked(trader, quantity="0")))["previewOrder"]
    assert found == {
        "preview": None,
        "errors": [{"__typename": "InputError", "code": "INVALID_INPUT", "path": ["input", "quantity"]}],
    }


VALUATION = {
    "cash": "99418.58",
    "marketValue": "660",
    "totalValue": "100078.58",
    "unrealizedPnl": "60",
    "realizedPnl": "20",
    "dayPnl": "80",
    "stale": False,
    "unpriced": [],
    "portfolio": {"name": "Main"},
}
QUOTE = {"bid": "109.99", "ask": "110.01", "ageMs": 0, "stale": False, "change": "10", "changePercent": 10.0}
POSITION = {
    "side": "LONG",
    "quantity": "6",
    "averagePrice": "100",
    "marketPrice": "110",
    "marketValue": "660",
    "costBasis": "600",
    "unrealizedPnl": "60",
    "unrealizedPnlPercent": 10.0,
    "dayPnl": "80",
    "realizedPnl": "20",
    "closedAt": None,
    "instrument": {"symbol": "AAPL", "assetClass": "EQUITY", "tickSize": "0.01", "quote": QUOTE},
}
FILLS = [
    {"quantity": "4", "price": "105", "commission": "0.42", "order": {"status": "FILLED"}},
    {"quantity": "10", "price": "100", "commission": "1", "order": {"status": "FILLED"}},
]
OPEN = {"side": "BUY", "type": "LIMIT", "limitPrice": "90", "remainingQuantity": "2"}
OF_MAIN = {"severity": "WARNING", "portfolio": {"name": "Main"}}
LIMITS = [
    {"kind": "MAX_OPEN_ORDERS", "threshold": "4", "current": "1", "utilization": 0.25, **OF_MAIN},
    {"kind": "MAX_POSITION_NOTIONAL", "threshold": "1000", "current": "660", "utilization": 0.66, **OF_MAIN},
]
THE_REST = {
    "name": "Main",
    "baseCurrency": "USD",
    "cash": "99418.58",
    "reservedCash": "180.18",
    "buyingPower": "99238.4",
    "owner": {"email": "ada@example.com"},
    "tradingStatus": {"state": "ACTIVE", "reason": None},
}


def items(connection: Any) -> list[Any]:
    return [edge["node"] for edge in connection["edges"]]


async def test_portfolio_when_it_has_traded_then_every_figure_is_right(trader: Trader) -> None:
    await trader.trade("BUY", "10", "100")
    await trader.trade("SELL", "4", "105")
    await trader.place("BUY", "2", limit="90")
    limit = "mutation ($input: SetRiskLimitInput!) { setRiskLimit(input: $input) { errors { message } } }"
    portfolio_id = global_id("Portfolio", trader.portfolio_id)
    for kind, threshold in (("MAX_OPEN_ORDERS", "4"), ("MAX_POSITION_NOTIONAL", "1000")):
        await data(trader.ctx, limit, {"input": {"portfolioId": portfolio_id, "kind": kind, "threshold": threshold}})
    found = (await data(trader.ctx, PORTFOLIO, {"id": portfolio_id}))["portfolio"]
    assert found.pop("valuation") == VALUATION
    [position] = items(found.pop("positions"))
    assert position.pop("weight") == pytest.approx(660 / 100078.58, abs=1e-8)
    assert position == POSITION
    orders, fills, transactions = (found.pop(name) for name in ("orders", "fills", "transactions"))
    assert (orders["totalCount"], items(orders)) == (1, [OPEN])
    assert (items(fills), fills["pageInfo"]) == (FILLS, {"hasNextPage": False})
    assert [row["amount"] for row in items(transactions)] == ["-0.42", "420", "-1"]
    assert items(transactions)[0]["fill"] == {"price": "105"}
    assert transactions["pageInfo"] == {"hasNextPage": True, "hasPreviousPage": False}
    assert found.pop("riskLimits") == LIMITS
    assert found == THE_REST


async def test_orders_when_many_are_asked_for_with_what_belongs_to_them_then_the_statements_are_few(
    trader: Trader, services: Services
) -> None:
    for _ in range(5):
        await trader.trade("BUY", "1", "100")
    query = """{ orders { totalCount edges { node {
      portfolio { owner { email } valuation { totalValue } } instrument { name } fills { edges { node { price } } }
      events { edges { node { type } } }
    } } } }"""
    with statements(services) as seen:
        found = (await data(trader.ctx, query))["orders"]
    assert found["totalCount"] == 5
    assert [len(edge["node"]["events"]["edges"]) for edge in found["edges"]] == [2] * 5
    # Orders, their number, portfolios, what they hold, their owners, instruments, fills, events: one each. (The relay
    # reads the log meanwhile.)
    mine = [statement for statement in seen if "events.seq >" not in statement]
    assert len(mine) == 8, "\n\n".join(mine)


async def test_cancel_when_the_order_works_then_it_is_cancelled_and_only_once(trader: Trader) -> None:
    order = (await trader.place("BUY", "1", limit="90")).value
    cancel = """mutation ($input: CancelOrderInput!) { cancelOrder(input: $input) {
      order { status cancelReason version closedAt } cursor errors { __typename code }
    } }"""
    given = {"input": {"orderId": global_id("Order", order.id), "reason": "Changed my mind"}}
    first = (await data(trader.ctx, cancel, given))["cancelOrder"]
    second = (await data(trader.ctx, cancel, given))["cancelOrder"]
    assert first["order"] == {
        "status": "CANCELLED",
        "cancelReason": "Changed my mind",
        "version": 2,
        "closedAt": "2026-01-05T14:30:00.000000Z",
    }
    assert first["errors"] == []
    assert second == {
        "order": None,
        "cursor": None,
        "errors": [{"__typename": "RequestError", "code": "ORDER_NOT_OPEN"}],
    }
