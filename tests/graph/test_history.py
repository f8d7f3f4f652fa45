"""A portfolio's history over the wire."""

from datetime import timedelta
from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from resolvers.portfolios.commands import create_portfolio
from tests.support.clock import START, ManualClock
from tests.support.market import D, Market, Trader
from tests.support.people import context_of, signed_up
from tests.support.wire import Client

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

HISTORY = """query ($id: ID!, $at: DateTime!) { portfolio(id: $id) { cash history(at: $at) {
  at cursor cash
  positions { instrument { symbol name } quantity averagePrice realizedPnl }
  valuation { asOf cash marketValue totalValue stale unpriced { symbol } portfolio { name cash } }
} } }"""
EVENTS = "query ($after: String) { events(first: 9, after: $after) { edges { node { type } } } }"


async def test_history_when_asked_for_then_it_shows_the_portfolio_of_then_and_its_cursor_starts_a_query(
    client: Client, services: Services, clock: ManualClock
) -> None:
    market = await Market.open(services)
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    trader = Trader(ctx, (await create_portfolio(ctx, "Main", None, D(100_000))).value.id)
    await market.quote("AAPL", "99.99", "100.01")
    await trader.trade("BUY", "10", "100")
    clock.advance(seconds=5)
    await trader.trade("SELL", "10", "101")
    variables: dict[str, Any] = {"id": global_id("Portfolio", trader.portfolio_id), "at": START.isoformat()}

    found = (await client.data(HISTORY, variables, signed_in.access_token))["portfolio"]

    then = found["history"]
    assert found["cash"] == "100007.99"
    assert (then["at"], then["cash"]) == ("2026-01-05T14:30:00.000000Z", "98999")
    assert then["positions"] == [
        {
            "instrument": {"symbol": "AAPL", "name": "Apple Inc."},
            "quantity": "10",
            "averagePrice": "100",
            "realizedPnl": "0",
        }
    ]
    assert then["valuation"] == {
        "asOf": "2026-01-05T14:30:00.000000Z",
        "cash": "98999",
        "marketValue": None,
        "totalValue": None,
        "stale": False,
        "unpriced": [{"symbol": "AAPL"}],
        "portfolio": {"name": "Main", "cash": "100007.99"},
    }
    rest = await client.data(EVENTS, {"after": then["cursor"]}, signed_in.access_token)
    assert [edge["node"]["type"] for edge in rest["events"]["edges"]] == [
        "ORDER_PLACED",
        "ORDER_EXECUTED",
        "POSITION_CLOSED",
        "CASH_MOVED",
    ]
    variables["at"] = (START - timedelta(days=1)).isoformat()
    refused = await client.execute(HISTORY, variables, signed_in.access_token)
    assert [(error["extensions"]["code"], error["path"]) for error in refused["errors"]] == [
        ("BAD_USER_INPUT", ["portfolio", "history"])
    ]
