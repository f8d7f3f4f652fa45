"""What users are told, as the API shows it."""

from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import EventType
from resolvers.registry import bus_of
from tests.graph.test_trading import data
from tests.support.clock import ManualClock
from tests.support.handlers import drain, head, told
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader
from tests.support.wire import socket_to

LIST = """query ($first: Int, $after: String, $unread: Boolean) { viewer {
  notifications(first: $first, after: $after, unreadOnly: $unread) {
    edges { cursor node { id severity title body createdAt readAt subject { __typename id } } }
    pageInfo { hasNextPage endCursor }
  }
} }"""
READ = """mutation ($ids: [ID!]!) { markNotificationsRead(input: { ids: $ids }) {
  notifications { id title readAt } errors { __typename code message path }
} }"""
SUMMARY = """query ($id: ID!) { position(id: $id) { tradeSummary {
  quantity entryPrice exitPrice realizedPnl commission returnPercent heldSeconds
} } }"""


@pytest.fixture
async def trader(services: Services) -> Trader:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    trader = await Trader.with_cash(services)
    await bus_of(services).register()
    return trader


async def listed(trader: Trader, **asked: Any) -> Any:
    return (await data(trader.ctx, LIST, asked))["viewer"]["notifications"]


def titles(page: Any) -> list[str]:
    return [edge["node"]["title"] for edge in page["edges"]]


async def test_notifications_when_asked_for_then_they_come_newest_first_by_pages_with_what_they_are_about(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    order = await trader.trade("BUY", "1", "100")
    await drain(services)
    clock.advance(seconds=1)
    await trader.trade("SELL", "1", "101")
    await drain(services)
    [position] = await trader.positions()
    page = await listed(trader, first=3)
    assert len(titles(page)) == 3
    assert page["pageInfo"]["hasNextPage"]
    rest = await listed(trader, first=3, after=page["pageInfo"]["endCursor"])
    assert set(titles(page)) == {
        "Order accepted: sell 1 AAPL", "Sold 1 AAPL at 101", "AAPL position closed: +1 USD",
    }  # fmt: skip
    assert set(titles(rest)) == {"Order accepted: buy 1 AAPL", "Bought 1 AAPL at 100"}
    subjects = {edge["node"]["title"]: edge["node"]["subject"] for edge in page["edges"] + rest["edges"]}
    assert subjects["AAPL position closed: +1 USD"] == {
        "__typename": "Position",
        "id": global_id("Position", position.id),
    }
    assert subjects["Bought 1 AAPL at 100"] == {"__typename": "Order", "id": global_id("Order", order.id)}


async def test_notifications_when_marked_as_read_then_they_are_and_stay_so(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await trader.trade("BUY", "1", "100")
    await drain(services)
    ids = [edge["node"]["id"] for edge in (await listed(trader))["edges"]]
    clock.advance(minutes=1)
    marked = (await data(trader.ctx, READ, {"ids": ids[:1] * 2}))["markNotificationsRead"]
    assert marked["errors"] == []
    assert [each["id"] for each in marked["notifications"]] == ids[:1] * 2
    assert {each["readAt"] for each in marked["notifications"]} == {"2026-01-05T14:31:00.000000Z"}
    clock.advance(minutes=1)
    again = (await data(trader.ctx, READ, {"ids": ids}))["markNotificationsRead"]["notifications"]
    assert [each["readAt"] for each in again] == ["2026-01-05T14:31:00.000000Z", "2026-01-05T14:32:00.000000Z"]
    assert (await listed(trader, unread=True))["edges"] == []
    assert len((await listed(trader))["edges"]) == 2
    read = [event for event in await whole_log(services.database) if event.type is EventType.NOTIFICATION_READ]
    assert [(event.version, event.actor_id) for event in read] == [(2, trader.ctx.owner_id)] * 2


async def test_notifications_when_one_of_those_to_mark_is_not_there_then_none_is_marked(
    services: Services, trader: Trader
) -> None:
    other = await Trader.with_cash(services, email="bob@example.com")
    await trader.trade("BUY", "1", "100")
    await other.trade("BUY", "1", "100")
    await drain(services)
    [mine, *_] = await told(services, owner_id=trader.ctx.owner_id)
    [theirs, *_] = await told(services, owner_id=other.ctx.owner_id)
    before = await head(services)
    ids = [global_id("Notification", each.id) for each in (mine, theirs)]
    for given, code in (
        (ids, "NOT_FOUND"),
        ([global_id("Order", mine.id)], "INVALID_INPUT"),
        (ids * 51, "INVALID_INPUT"),
    ):
        answer = (await data(trader.ctx, READ, {"ids": given}))["markNotificationsRead"]
        assert answer["notifications"] == []
        assert [(error["code"], error["path"]) for error in answer["errors"]] == [(code, ["input", "ids"])]
    assert await head(services) == before
    assert [each.read_at for each in await told(services)] == [None] * 4


async def test_position_when_closed_then_it_shows_its_summary_and_before_that_none(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await trader.trade("BUY", "2", "100")
    [position] = await trader.positions()
    asked = {"id": global_id("Position", position.id)}
    await drain(services)
    assert await data(trader.ctx, SUMMARY, asked) == {"position": {"tradeSummary": None}}
    clock.advance(minutes=2)
    await trader.trade("SELL", "2", "101")
    await drain(services)
    assert (await data(trader.ctx, SUMMARY, asked))["position"]["tradeSummary"] == {
        "quantity": "2",
        "entryPrice": "100",
        "exitPrice": "101",
        "realizedPnl": "2",
        "commission": "0.402",
        "returnPercent": 1.0,
        "heldSeconds": 120,
    }


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_notifications_when_followed_then_each_comes_to_its_owner_and_to_nobody_else(
    services: Services, server: str
) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    await bus_of(services).register()
    trader, other = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    session_id = trader.ctx.signed_in().session_id
    assert session_id is not None
    token, _ = services.tokens.issue(trader.ctx.owner_id, session_id, services.clock.now())
    async with socket_to(server) as socket:
        await socket.init(token)
        await socket.start("told", "subscription { notifications { title subject { __typename } } }")
        await socket.execute("{ streamCursor }")
        await other.trade("BUY", "1", "100")
        await trader.trade("BUY", "2", "100")
        await drain(services)
        seen = [(await socket.data("told"))["notifications"] for _ in range(2)]
    assert seen == [
        {"title": "Order accepted: buy 2 AAPL", "subject": {"__typename": "Order"}},
        {"title": "Bought 2 AAPL at 100", "subject": {"__typename": "Order"}},
    ]
