"""Alerts and sentiment as the API shows them."""

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import RiskLimitKind, Role
from resolvers.accounts.commands import grant_role
from resolvers.alerts.market_alerts import every_market_alert, trigger_market_alert
from resolvers.registry import bus_of
from resolvers.risk.commands import set_risk_limit
from tests.graph.test_trading import data
from tests.support.handlers import drain
from tests.support.market import D, Market, Trader
from tests.support.people import context_of, signed_up

CREATE = """mutation ($input: CreateMarketAlertInput!) { createMarketAlert(input: $input) {
  marketAlert { id kind threshold armed triggeredAt instrument { name } } errors { code path }
} }"""
DELETE = """mutation ($id: ID!) { deleteMarketAlert(input: { alertId: $id }) {
  marketAlert { id armed triggeredAt } errors { code path }
} }"""
RECORD = """mutation ($input: RecordSentimentInput!) { recordSentiment(input: $input) {
  instrument { symbol sentiment { score confidence label source analyzedAt signal } } errors { code path }
} }"""
ALERTS = """query ($id: ID!, $open: Boolean) { portfolio(id: $id) { riskAlerts(first: 5, unacknowledgedOnly: $open) {
  edges { node { id kind severity message threshold current raisedAt acknowledgedAt portfolio { name } } }
} } }"""
ACKNOWLEDGE = """mutation ($id: ID!) { acknowledgeRiskAlert(input: { alertId: $id }) {
  riskAlert { acknowledgedAt } errors { code path }
} }"""


@pytest.fixture
async def trader(services: Services) -> Trader:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    trader = await Trader.with_cash(services)
    await bus_of(services).register()
    return trader


async def test_market_alert_when_made_then_it_is_listed_until_it_is_deleted(services: Services, trader: Trader) -> None:
    given = {"input": {"symbol": "AAPL", "kind": "PRICE_ABOVE", "threshold": "110.50"}}
    made = (await data(trader.ctx, CREATE, given))["createMarketAlert"]
    alert_id = made["marketAlert"].pop("id")
    assert made == {
        "marketAlert": {
            "kind": "PRICE_ABOVE",
            "threshold": "110.5",
            "armed": True,
            "triggeredAt": None,
            "instrument": {"name": "Apple Inc."},
        },
        "errors": [],
    }
    [listed] = (await data(trader.ctx, "{ viewer { marketAlerts { id } } }"))["viewer"]["marketAlerts"]
    assert listed["id"] == alert_id
    [stored] = await every_market_alert(services)
    await trigger_market_alert(services, stored.id, D(111))
    gone = (await data(trader.ctx, DELETE, {"id": alert_id}))["deleteMarketAlert"]
    assert gone["marketAlert"] == {"id": alert_id, "armed": False, "triggeredAt": "2026-01-05T14:30:00.000000Z"}
    assert await data(trader.ctx, "{ viewer { marketAlerts { id } } }") == {"viewer": {"marketAlerts": []}}
    again = (await data(trader.ctx, DELETE, {"id": alert_id}))["deleteMarketAlert"]
    assert again == {"marketAlert": None, "errors": [{"code": "NOT_FOUND", "path": ["input", "alertId"]}]}


async def test_sentiment_when_recorded_then_the_answer_shows_it_and_its_signal_later(services: Services) -> None:
    await Market.open(services)
    signed_in = await signed_up(services, "analyst@example.com")
    await grant_role(services, "analyst@example.com", Role.ANALYST)
    ctx = await context_of(services, signed_in)
    await bus_of(services).register()
    given = {"input": {"symbol": "AAPL", "score": 0.75, "confidence": 1, "source": "newswire"}}
    shown = {
        "score": 0.75,
        "confidence": 1.0,
        "label": "POSITIVE",
        "source": "newswire",
        "analyzedAt": "2026-01-05T14:30:00.000000Z",
        "signal": None,
    }
    assert (await data(ctx, RECORD, given))["recordSentiment"] == {
        "instrument": {"symbol": "AAPL", "sentiment": shown},
        "errors": [],
    }
    await drain(services)
    found = await data(ctx, '{ instrument(symbol: "AAPL") { sentiment { signal } } }')
    assert found == {"instrument": {"sentiment": {"signal": "BULLISH"}}}


async def test_risk_alert_when_a_limit_is_breached_then_it_is_listed_and_can_be_acknowledged(
    services: Services, trader: Trader
) -> None:
    await trader.trade("BUY", "9", "100")
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, D(800))
    await drain(services)
    asked = {"id": global_id("Portfolio", trader.portfolio_id), "open": True}
    [edge] = (await data(trader.ctx, ALERTS, asked))["portfolio"]["riskAlerts"]["edges"]
    alert_id = edge["node"].pop("id")
    assert edge["node"] == {
        "kind": "MAX_POSITION_NOTIONAL",
        "severity": "WARNING",
        "message": "MAX_POSITION_NOTIONAL is 900, at most 800 is allowed.",
        "threshold": "800",
        "current": "900",
        "raisedAt": "2026-01-05T14:30:00.000000Z",
        "acknowledgedAt": None,
        "portfolio": {"name": "Main"},
    }
    done = (await data(trader.ctx, ACKNOWLEDGE, {"id": alert_id}))["acknowledgeRiskAlert"]
    assert done == {"riskAlert": {"acknowledgedAt": "2026-01-05T14:30:00.000000Z"}, "errors": []}
    assert (await data(trader.ctx, ALERTS, asked))["portfolio"]["riskAlerts"]["edges"] == []
    assert len((await data(trader.ctx, ALERTS, asked | {"open": False}))["portfolio"]["riskAlerts"]["edges"]) == 1
