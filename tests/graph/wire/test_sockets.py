import asyncio
from decimal import Decimal
from typing import Any

import orjson
import pytest
import websockets
from starlette.applications import Starlette

from graph.base import global_id
from graph.wire.sockets import frames
from infrastructure.services import Services
from resolvers.accounts.commands import logout_everywhere
from resolvers.portfolios import commands
from tests.support.clock import ManualClock
from tests.support.market import Market, Trader
from tests.support.people import PASSWORD, context_of, signed_up
from tests.support.wire import server_of, socket_to

VIEWER = "{ viewer { email } }"
EVENTS = "subscription { events { type } }"
CREATE = "mutation ($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { name } } }"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def test_socket_when_it_says_who_it_is_then_each_operation_knows(server: str, services: Services) -> None:
    token = (await signed_up(services)).access_token
    async with socket_to(server) as one, socket_to(server) as nobody:
        await one.init(token)
        await nobody.init()
        assert await one.execute(VIEWER) == {"data": {"viewer": {"email": "ada@example.com"}}}
        assert await nobody.execute(VIEWER) == {"data": {"viewer": None}}


@pytest.mark.parametrize("token", ["x", "expired", "revoked"])
async def test_socket_when_the_token_is_not_good_then_it_is_closed_with_why(
    server: str, services: Services, clock: ManualClock, token: str
) -> None:
    if token != "x":
        signed_in = await signed_up(services)
        if token == "revoked":
            await logout_everywhere(await context_of(services, signed_in))
        else:
            clock.advance(seconds=services.settings.access_token_s + 1)
        token, reason = signed_in.access_token, token.upper()
    else:
        reason = "INVALID"
    async with socket_to(server) as opened:
        await opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        code, said = await opened.closed()
        assert code == frames.FORBIDDEN
        assert (said or "").startswith(f"{reason}: ")


async def test_socket_when_the_session_ends_then_it_is_closed(server: str, services: Services) -> None:
    signed_in = await signed_up(services)
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        await opened.start("all", EVENTS)
        await opened.execute(VIEWER)
        await logout_everywhere(await context_of(services, signed_in))
        code, said = await opened.closed()
        assert code == frames.UNAUTHORIZED
        assert (said or "").startswith("REVOKED: ")


async def test_socket_when_another_session_of_the_user_ends_then_it_stays(server: str, services: Services) -> None:
    login = "mutation ($input: LoginInput!) { login(input: $input) { accessToken refreshToken } }"
    logout = "mutation ($input: LogoutInput!) { logout(input: $input) { errors { code } } }"
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        given = {"email": "ada@example.com", "password": PASSWORD}
        other = (await opened.execute(login, {"input": given}))["data"]["login"]
        done = await opened.execute(logout, {"input": {"refreshToken": other["refreshToken"]}})
        assert done == {"data": {"logout": {"errors": []}}}
        assert await opened.execute(VIEWER) == {"data": {"viewer": {"email": "ada@example.com"}}}


async def test_operation_on_a_socket_when_data_changed_since_the_last_then_it_reads_it_anew(
    server: str, services: Services
) -> None:
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio = (await commands.create_portfolio(ctx, "Mine")).value
    cash = f'{{ portfolio(id: "{global_id("Portfolio", portfolio.id)}") {{ cash }} streamCursor }}'
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        before = await opened.execute(cash)
        done = await commands.deposit_cash(ctx, portfolio.id, Decimal("12.50"))
        await services.relay.reached(done.position)
        after = await opened.execute(cash)
    assert before["data"]["portfolio"] == {"cash": "0"}
    assert after["data"]["portfolio"] == {"cash": "12.5"}
    assert before["data"]["streamCursor"] != after["data"]["streamCursor"]


async def test_operation_on_a_socket_when_the_caller_changed_then_they_are_seen_as_they_are_now(
    server: str, services: Services
) -> None:
    rename = "mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { errors { code } } }"
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        assert await opened.execute(rename, {"input": {"firstName": "Augusta"}}) == {
            "data": {"updateProfile": {"errors": []}}
        }
        assert await opened.execute("{ viewer { firstName } }") == {"data": {"viewer": {"firstName": "Augusta"}}}


async def test_operation_on_a_socket_when_the_token_has_expired_then_it_is_refused_with_why(
    server: str, services: Services, clock: ManualClock
) -> None:
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        clock.advance(seconds=services.settings.access_token_s + 1)
        [error] = await opened.execute(VIEWER)
    assert error["extensions"] == {"code": "UNAUTHENTICATED", "reason": "EXPIRED"}


async def test_mutation_on_a_socket_when_the_client_leaves_then_it_is_done_all_the_same(
    server: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()
    whole = commands.create_portfolio

    async def slow(*args: Any) -> Any:
        begun.set()
        await go_on.wait()
        answer = await whole(*args)
        done.set()
        return answer

    monkeypatch.setattr("resolvers.portfolios.commands.create_portfolio", slow)
    signed_in = await signed_up(services)
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        await opened.start("create", CREATE, {"input": {"name": "Kept"}})
        await begun.wait()
    go_on.set()
    async with asyncio.timeout(10):
        await done.wait()
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        found = await opened.execute("{ viewer { portfolios { edges { node { name } } } } }")
    assert found["data"]["viewer"]["portfolios"]["edges"] == [{"node": {"name": "Kept"}}]


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("subscription { nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        (EVENTS, None, "UNAUTHENTICATED"),
        ('subscription { events(after: "x") { type } }', None, "UNAUTHENTICATED"),
        ('subscription { positionEvents(portfolioId: "x") { cursor } }', None, "BAD_USER_INPUT"),
        ("{ orders { totalCount } }", None, "UNAUTHENTICATED"),
        ("query ($id: ID!) { order(id: $id) { id } }", {}, "BAD_USER_INPUT"),
    ],
)
async def test_operation_on_a_socket_when_it_is_refused_then_the_client_is_told_the_code_not_just_that_it_ended(
    server: str, query: str, variables: dict[str, Any] | None, code: str
) -> None:
    async with socket_to(server) as opened:
        await opened.init()
        answer = await opened.execute(query, variables)
    [error] = answer if isinstance(answer, list) else answer["errors"]
    assert error["extensions"]["code"] == code


@pytest.mark.parametrize(
    "frame",
    [
        *("", "{", "[]", "1", '"x"', "null", "{}", '{"type": "horse"}', '{"type": "subscribe"}', "[" * 1000),
        *('{"type": "subscribe", "id": []}', '{"type": "subscribe", "id": "1", "payload": []}'),
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ x }", "variables": []}}',
        '{"type": "complete", "id": {}}',
    ],
)
async def test_socket_when_a_frame_is_malformed_then_it_is_closed_as_the_protocol_asks(server: str, frame: str) -> None:
    async with socket_to(server) as opened:
        await opened.connection.send(frame)
        assert (await opened.closed())[0] == 4400


async def test_socket_when_it_begins_before_saying_who_it_is_then_it_is_closed(server: str) -> None:
    async with socket_to(server) as opened:
        await opened.start("early", VIEWER)
        assert (await opened.closed())[0] == 4401


async def test_socket_when_it_speaks_the_legacy_protocol_then_it_is_closed(server: str) -> None:
    legacy = websockets.Subprotocol("graphql-ws")
    async with websockets.connect(f"ws://{server}/graphql", subprotocols=[legacy]) as connection:
        await connection.wait_closed()
        assert connection.close_code == 4406


async def test_socket_when_a_frame_is_too_large_then_it_is_closed(app: Starlette) -> None:
    async with server_of(app, ws_max_size=64 * 1024) as server, socket_to(server) as opened:
        await opened.init()
        await opened.connection.send(orjson.dumps({"type": "ping", "payload": {"x": "x" * 70_000}}).decode())
        assert (await opened.closed())[0] == 1009


async def test_socket_when_it_is_pinged_then_it_answers(server: str) -> None:
    async with socket_to(server) as opened:
        await opened.send({"type": "ping"})
        assert orjson.loads(await opened.connection.recv()) == {"type": "pong"}


async def test_position_events_when_an_order_is_filled_then_a_subscriber_sees_the_position(
    server: str, services: Services
) -> None:
    await Market.open(services)
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio_id = (await commands.create_portfolio(ctx, "Main", None, Decimal(100_000))).value.id
    follow = """subscription ($portfolioId: ID!, $after: String!) {
      positionEvents(portfolioId: $portfolioId, after: $after) {
        cursor previousCursor type position { quantity portfolio { cash } instrument { symbol } } fill { price }
      }
    }"""
    trader = Trader(ctx, portfolio_id)
    async with socket_to(server) as opened:
        await opened.init(signed_in.access_token)
        here = (await opened.execute("{ streamCursor }"))["data"]["streamCursor"]
        await opened.start("p", follow, {"portfolioId": global_id("Portfolio", portfolio_id), "after": here})
        await trader.trade("BUY", "10", "100")
        await trader.trade("SELL", "10", "110")
        first, second = [(await opened.data("p"))["positionEvents"] for _ in range(2)]
    assert (first["type"], first["previousCursor"]) == ("POSITION_OPENED", None)
    assert first["fill"] == {"price": "100"}
    assert first["position"]["quantity"] == "10"
    assert first["position"]["instrument"] == {"symbol": "AAPL"}
    assert (second["type"], second["previousCursor"]) == ("POSITION_CLOSED", first["cursor"])
    # 100,000 - 1,000 - 1 + 1,100 - 1.10: the portfolio is as it is now, read anew for this event.
    assert second["position"]["portfolio"] == {"cash": "100097.9"}
