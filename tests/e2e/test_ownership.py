"""Someone else's object answers, byte for byte, like one that does not exist: wherever an id can be given."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import pytest

from graph.app import create_app
from graph.base import global_id
from graph.process import Process
from infrastructure.services import Services
from models.cursors import Cursor
from models.enums import ApiScope, MarketAlertKind, RiskLimitKind
from models.orders import Fill, FillRow
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.accounts.commands import create_api_key
from resolvers.alerts.market_alerts import create_market_alert
from resolvers.portfolios.commands import create_portfolio
from resolvers.registry import bus_of
from resolvers.risk.commands import remove_risk_limit, set_risk_limit
from tests.e2e.places import (
    ANY_NODE,
    EVERYBODYS,
    EVERYBODYS_NODES,
    NODES_WITH_OWNER,
    OWN,
    PLACES,
    SILENT,
    id_places,
    node_types,
    queries_without_id,
)
from tests.support.handlers import drain, told
from tests.support.market import Market, Trader, row_counts, stored
from tests.support.people import context_of, signed_up
from tests.support.wire import Client, Socket, client_of, server_of, socket_to

NOT_FOUND_YET = UUID("01890000-0000-7000-8000-000000000000")
MISSING = {kind: str(global_id(kind, 10**12 if kind == "Event" else NOT_FOUND_YET)) for kind in NODES_WITH_OWNER}
"""A well-formed id of each type, of what there is not."""

FOLLOW_ALL = "subscription ($after: String) { events(after: $after) { cursor } }"


@dataclass
class World:
    """Ada has one of everything, Bob has a portfolio with other things in it, and somebody is not signed in."""

    services: Services
    client: Client
    server: str
    ids: dict[str, str]
    ada: str
    bob: str

    def token(self, who: str) -> str | None:
        """Of Ada, of Bob, or of nobody."""
        return {"ada": self.ada, "bob": self.bob, "anonymous": None}[who]

    async def ask(self, operation: str, given: str, who: str) -> tuple[int, str]:
        """The status and the whole body of the answer, without the id that was given."""
        response = await self.client.post(operation, {"id": given}, self.token(who))
        return response.status_code, response.text.replace(given, "…")

    async def differences(self, who: str) -> dict[str, tuple[str, str]]:
        """Where Ada's id is answered otherwise than one of nothing: both answers."""
        found = {}
        for place, kind, operation in operations():
            own, missing = [await self.ask(operation, given, who) for given in (self.ids[kind], MISSING[kind])]
            if own != missing:
                found[place] = (own[1], missing[1])
        return found


def operations() -> list[tuple[str, str, str]]:
    """Every place but those of subscriptions, with the type of its id and an operation."""
    asked = [(place, *case) for place, case in PLACES.items() if not place.startswith("Subscription.")]
    nodes = [(f"{place} of {kind}", kind, ANY_NODE[place]) for place in ANY_NODE for kind in sorted(NODES_WITH_OWNER)]
    return nodes + asked


@pytest.fixture
async def world(services: Services) -> AsyncIterator[World]:
    market = await Market.open(services)
    await market.quote("AAPL", "99.90", "100.10")
    await bus_of(services).register()
    ids, ada = await _with_everything(services)
    bob = await signed_up(services, "bob@example.com")
    ctx = await context_of(services, bob)
    portfolio = (await create_portfolio(ctx, "Bob's", None, Decimal(10_000))).value
    await Trader(ctx, portfolio.id).trade("BUY", "3", "100.00")
    app = create_app(services.settings)
    app.state.process = Process(services, works=[])
    async with client_of(app) as client, server_of(app) as server:
        yield World(services, client, server, ids, ada, bob.access_token)


async def _with_everything(services: Services) -> tuple[dict[str, str], str]:
    ada = await signed_up(services)
    ctx = await context_of(services, ada)
    portfolio = (await create_portfolio(ctx, "Ada's", None, Decimal(10_000))).value
    trader = Trader(ctx, portfolio.id)
    await trader.trade("BUY", "5", "100.00")
    order = (await trader.place("BUY", "1", limit="90.00")).value
    limit = (await set_risk_limit(ctx, portfolio.id, RiskLimitKind.MAX_OPEN_ORDERS, Decimal(5))).value
    key = await create_api_key(ctx, "Robot", [ApiScope.READ])
    await set_risk_limit(ctx, portfolio.id, RiskLimitKind.MAX_POSITION_NOTIONAL, Decimal(5))
    market_alert = (await create_market_alert(ctx, "AAPL", MarketAlertKind.PRICE_ABOVE, Decimal(200))).value
    await drain(services)
    (risk_alert,) = await stored(services, RiskAlertRow, RiskAlert)
    await remove_risk_limit(ctx, portfolio.id, RiskLimitKind.MAX_POSITION_NOTIONAL)
    (fill,) = await stored(services, FillRow, Fill)
    keys = {
        "ApiKey": key.key.id,
        "Event": 1,
        "Fill": fill.id,
        "MarketAlert": market_alert.id,
        "Notification": (await told(services, owner_id=ctx.owner_id))[0].id,
        "Order": order.id,
        "Portfolio": portfolio.id,
        "Position": (await trader.positions())[0].id,
        "RiskAlert": risk_alert.id,
        "RiskLimit": limit.id,
        "Transaction": (await trader.ledger())[0].id,
        "User": ada.user.id,
    }
    return {kind: str(global_id(kind, key)) for kind, key in keys.items()}, ada.access_token


def test_places_when_compared_with_the_schema_then_none_is_forgotten() -> None:
    assert set(PLACES) | set(ANY_NODE) == id_places()
    assert node_types() == NODES_WITH_OWNER | EVERYBODYS_NODES
    assert set(OWN) | EVERYBODYS == queries_without_id()


@pytest.mark.parametrize("who", ["bob", "anonymous"])
async def test_id_when_given_by_another_then_it_answers_like_a_missing_one_and_nothing_is_written(
    world: World, who: str
) -> None:
    before = await row_counts(world.services)
    assert await world.differences(who) == {}
    assert await row_counts(world.services) == before


async def test_id_when_given_by_its_owner_then_it_answers_otherwise_everywhere(world: World) -> None:
    found = await world.differences("ada")
    assert list(found) == [place for place, _, _ in operations()]
    assert [place for place, (own, _) in found.items() if '"errors":[{' in own] == []


@pytest.mark.parametrize("question", OWN)
async def test_question_when_it_is_about_oneself_then_nothing_of_anybody_else_is_in_it(
    world: World, question: str
) -> None:
    adas, bobs, nobodys = [
        (await world.client.post(OWN[question], token=world.token(who))).text for who in ("ada", "bob", "anonymous")
    ]
    seen = [given for given in world.ids.values() if f'"{given}"' in adas]
    assert len(seen) >= 3
    assert [given for given in world.ids.values() if f'"{given}"' in bobs + nobodys] == []
    if question == "viewer":
        assert nobodys == '{"data":{"viewer":null}}'
    else:
        assert '"code":"UNAUTHENTICATED"' in nobodys
        assert '"edges":[{' in bobs


# ---------------------------------------------------------------- streams

STREAMS = [place for place in PLACES if place.startswith("Subscription.")]


async def begin(socket: Socket, world: World, place: str) -> tuple[str, str]:
    """Follow, from the log's beginning, Ada's and what there is not; gives the names of both operations."""
    kind, operation = PLACES[place]
    after = str(Cursor(world.services.relay.epoch, 0))
    for name, given in (("adas", world.ids[kind]), ("missing", MISSING[kind])):
        await socket.start(name, operation, {"id": given, "after": after})
    return "adas", "missing"


@pytest.mark.parametrize("place", STREAMS)
async def test_stream_when_followed_by_its_owner_then_there_is_something_in_it(world: World, place: str) -> None:
    async with socket_to(world.server) as socket:
        await socket.init(world.ada)
        adas, _ = await begin(socket, world, place)
        assert await socket.data(adas)


@pytest.mark.parametrize("who", ["bob", "anonymous"])
@pytest.mark.parametrize("place", STREAMS)
async def test_stream_when_followed_by_another_then_it_answers_like_a_missing_one(
    world: World, place: str, who: str
) -> None:
    async with socket_to(world.server) as socket:
        await socket.init(world.token(who))
        adas, missing = await begin(socket, world, place)
        if who == "bob" and place in SILENT:
            await all_seen(socket, world)
            assert socket._frames[adas].empty()
            assert socket._frames[missing].empty()
            return
        own, none = await socket.next(adas), await socket.next(missing)
        assert own["type"] == none["type"]
        assert own["type"] != "next" or "errors" in own["payload"]
        assert str(own["payload"]) == str(none["payload"])


async def all_seen(socket: Socket, world: World) -> None:
    """Wait until a stream of all that Bob may see has come to its end: one that leaked would have leaked by then."""
    await socket.start("all", FOLLOW_ALL, {"after": str(Cursor(world.services.relay.epoch, 0))})
    last = (await world.client.data("{ events(last: 1) { edges { cursor } } }", token=world.bob))["events"]["edges"][0]
    while (await socket.data("all"))["events"] != last:
        pass
