"""What graphql-transport-ws asks of a server, rule by rule."""

import asyncio
from typing import Any

import orjson
import pytest
import websockets
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from graph.wire.sockets import frames
from infrastructure.services import Services
from models.enums import ApiScope, Role
from resolvers.accounts.commands import create_api_key, grant_role, login
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.people import PASSWORD, anonymous, context_of, signed_up
from tests.support.wait import until
from tests.support.wire import SUBPROTOCOL, WAIT_S_MAX, Socket, server_of, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

EVENTS = "subscription { events { type } }"
VIEWER = "{ viewer { email } }"


def app_with(services: Services, **settings: Any) -> Starlette:
    """The application with other settings."""
    app = create_app(services.settings.model_copy(update=settings))
    app.state.process = Process(services, works=[])
    return app


async def said(opened: Socket) -> Any:
    """What comes next, of whatever operation."""
    async with asyncio.timeout(WAIT_S_MAX):
        return orjson.loads(await opened.connection.recv())


async def test_socket_when_nobody_says_who_it_is_then_it_is_closed_after_the_wait(services: Services) -> None:
    app = app_with(services, socket_init_ms=50)
    async with server_of(app) as server, socket_to(server) as opened:
        assert await opened.closed() == (4408, "Connection initialisation timeout")


async def test_socket_when_it_says_twice_who_it_is_then_it_is_closed(server: str) -> None:
    async with socket_to(server) as opened:
        await opened.init()
        await opened.send({"type": "connection_init"})
        assert await opened.closed() == (4429, "Too many initialisation requests")


async def test_socket_when_an_id_is_in_use_then_it_is_closed(server: str, services: Services) -> None:
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        await opened.start("one", EVENTS)
        await opened.start("one", EVENTS)
        assert await opened.closed() == (4409, "Subscriber for one already exists")


async def test_socket_when_an_id_was_completed_then_it_can_be_used_again(server: str, services: Services) -> None:
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        for _ in range(3):
            await opened.start("one", EVENTS)
            await opened.send({"type": "complete", "id": "one"})
        assert await opened.execute(VIEWER) == {"data": {"viewer": {"email": "ada@example.com"}}}
        await opened.execute(VIEWER)


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{", None, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", None, "GRAPHQL_VALIDATION_FAILED"),
        ("subscription { events { type } quotes(symbols: []) { bid } }", None, "GRAPHQL_VALIDATION_FAILED"),
        ('{ node(id: "\\u0000") { id } }', None, "BAD_USER_INPUT"),
        ("query ($s: String!) { instrument(symbol: $s) { name } }", {"s": "\0"}, "BAD_USER_INPUT"),
        ("query A { streamCursor } query B { streamCursor }", None, "UNKNOWN_OPERATION"),
        ('subscription { events(after: "x") { type } }', None, "BAD_USER_INPUT"),
        ("subscription { quotes(symbols: []) { bid } }", None, "BAD_USER_INPUT"),
    ],
)
async def test_operation_when_it_fails_then_that_one_ends_with_an_error_and_the_others_go_on(
    server: str, services: Services, query: str, variables: dict[str, Any] | None, code: str
) -> None:
    token = (await signed_up(services)).access_token
    await services.relay.reached(len(await whole_log(services.database)))
    async with socket_to(server) as opened:
        await opened.init(token)
        await opened.start("follows", EVENTS)
        await opened.start("fails", query, variables)
        frame = await opened.next("fails")
        assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", code)
        await login(anonymous(services), "ada@example.com", PASSWORD)
        assert (await opened.data("follows"))["events"]["type"] == "SESSION_STARTED"
        assert opened.connection.state is websockets.State.OPEN


DEEP = "[" * 100 + "]" * 100
ASKS = '{"query": "{ viewer { email } }", '
UNASKABLE = [
    ASKS + f'"variables": {{"deep": {DEEP}}}}}',
    ASKS + '"query": "{ streamCursor }"}',
    ASKS + '"variables": {"a": "\\u0000"}}',
    ASKS + '"extensions": {"persistedQuery": 1}}',
    ASKS + '"extensions": {"persistedQuery": {"version": 2}}}',
    ASKS + '"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "x"}}}',
]
"""Payloads that the protocol lets through."""


async def subscribed(opened: Socket, name: str, payload: str) -> None:
    """Begin an operation, in these very words."""
    await opened.connection.send(f'{{"id": "{name}", "type": "subscribe", "payload": {payload}}}')


@pytest.mark.parametrize("payload", UNASKABLE)
async def test_operation_when_it_can_not_be_asked_for_then_it_alone_is_refused(server: str, payload: str) -> None:
    async with socket_to(server) as opened:
        await opened.init()
        await subscribed(opened, "bad", payload)
        # Its reader keeps what comes for ids that it does not know.
        await until(lambda: "bad" in opened._frames)
        frame = await opened.next("bad")
        assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", "BAD_USER_INPUT")
        assert await opened.execute(VIEWER) == {"data": {"viewer": None}}


@pytest.mark.parametrize("payload", UNASKABLE)
async def test_operation_when_it_can_not_be_asked_for_under_an_id_in_use_then_the_socket_is_closed(
    server: str, services: Services, payload: str
) -> None:
    async with socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        await opened.start("one", EVENTS)
        await subscribed(opened, "one", payload)
        assert await opened.closed() == (4409, "Subscriber for one already exists")
        assert opened._frames["one"].empty()


async def test_operations_when_there_are_more_than_a_socket_may_have_then_the_next_is_refused(
    services: Services,
) -> None:
    app = app_with(services, socket_operations_max=2)
    async with server_of(app) as server, socket_to(server) as opened:
        await opened.init((await signed_up(services)).access_token)
        await opened.start("one", EVENTS)
        await opened.start("two", EVENTS)
        await opened.start("three", EVENTS)
        assert (await opened.next("three"))["payload"][0]["extensions"]["code"] == "THROTTLED"
        await opened.send({"type": "complete", "id": "one"})
        assert await opened.execute(VIEWER) == {"data": {"viewer": {"email": "ada@example.com"}}}


async def test_ping_when_it_comes_then_a_pong_goes_and_a_pong_is_taken_without_a_word(server: str) -> None:
    async with socket_to(server) as opened:
        await opened.send({"type": "pong", "payload": {"x": 1}})
        await opened.send({"type": "ping", "payload": {"x": 1}})
        assert await said(opened) == {"type": "pong"}


@pytest.mark.parametrize(
    ("offered", "reason"),
    [
        (["graphql-ws"], "The old protocol `graphql-ws`"),
        (["chat"], "The subprotocol has to be"),
        (None, "The subprotocol has to be"),
    ],
)
async def test_socket_when_it_speaks_something_else_then_it_is_told_what_is_spoken(
    server: str, offered: list[Any] | None, reason: str
) -> None:
    async with websockets.connect(f"ws://{server}/graphql", subprotocols=offered) as connection:
        await connection.wait_closed()
        assert connection.close_code == frames.NO_SUBPROTOCOL
        assert (connection.close_reason or "").startswith(reason)


@pytest.mark.parametrize(
    ("origin", "allowed", "welcome"),
    [
        (None, (), True),
        ("http://{server}", (), True),
        ("https://evil.example", (), False),
        ("https://{server}", (), True),
        ("ftp://{server}", (), False),
        ("http://{server}.evil.example", (), False),
        ("http://[", (), False),
        ("null", (), False),
        ("https://desk.example", ("https://desk.example",), True),
        ("https://evil.example", ("https://desk.example",), False),
        ("https://evil.example", ("*",), True),
    ],
)
async def test_socket_when_a_page_opens_it_then_its_origin_has_to_be_allowed(
    services: Services, origin: str | None, allowed: tuple[str, ...], *, welcome: bool
) -> None:
    async with server_of(app_with(services, cors_origins=allowed)) as server:
        given: Any = None if origin is None else origin.format(server=server)
        address = f"ws://{server}/graphql"
        async with websockets.connect(address, subprotocols=[SUBPROTOCOL], origin=given) as connection:
            opened = Socket(connection)
            if welcome:
                await opened.send({"type": "ping"})
                assert await said(opened) == {"type": "pong"}
            else:
                code, reason = await opened.closed()
                assert (code, (reason or "").split(":")[0]) == (4403, "ORIGIN")


async def test_sockets_when_an_address_has_its_number_then_the_next_is_told_to_try_again(services: Services) -> None:
    app = app_with(services, sockets_per_address=2)
    async with server_of(app) as server:
        async with socket_to(server) as one, socket_to(server) as two:
            await one.init()
            await two.init()
            async with socket_to(server) as three:
                code, reason = await three.closed()
                assert (code, reason) == (1013, "There are 2 connections from this address already: close one first.")
            assert app.state.seats.open == 2
        await until(lambda: app.state.seats.open == 0)
        async with socket_to(server) as again:
            await again.init()


async def test_sockets_when_a_user_has_their_number_then_the_next_is_told_to_try_again(services: Services) -> None:
    ada = (await signed_up(services)).access_token
    bob = (await signed_up(services, email="bob@example.com")).access_token
    app = app_with(services, sockets_per_user=1)
    async with server_of(app) as server, socket_to(server) as one, socket_to(server) as two, socket_to(server) as three:
        await one.init(ada)
        await two.init(bob)
        await three.send({"type": "connection_init", "payload": {"Authorization": f"Bearer {ada}"}})
        code, reason = await three.closed()
        assert (code, reason) == (1013, "There are 1 connections of this user already: close one first.")


async def test_socket_when_the_token_ends_then_it_is_closed_with_why(services: Services) -> None:
    short = services.tokens
    short._access_s = 1
    token = (await signed_up(services)).access_token
    async with server_of(app_with(services)) as server, socket_to(server) as opened:
        await opened.init(token)
        await opened.start("all", EVENTS)
        assert await opened.closed() == (4401, "EXPIRED: The access token has expired.")


async def renewed(opened: Socket, token: str) -> Any:
    """What a `ping` with this token is answered with."""
    await opened.send({"type": "ping", "payload": {"Authorization": f"Bearer {token}"}})
    return await said(opened)


async def test_socket_when_it_is_renewed_with_a_ping_then_it_lives_as_long_as_the_new_token(
    services: Services, clock: ManualClock
) -> None:
    services.tokens._access_s = 1
    old = (await signed_up(services)).access_token
    services.tokens._access_s = 3600
    fresh = await login(anonymous(services), "ada@example.com", PASSWORD)
    async with server_of(app_with(services)) as server, socket_to(server) as opened, socket_to(server) as other:
        for each in (opened, other):
            await each.send({"type": "connection_init", "payload": {"authorization": f"Bearer {old}"}})
            assert await said(each) == {"type": "connection_ack"}
        pong = await renewed(opened, fresh.access_token)
        assert (pong["type"], list(pong["payload"])) == ("pong", ["expiresAt"])
        assert await other.closed() == (4401, "EXPIRED: The access token has expired.")
        clock.advance(seconds=10)
        await opened.send({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
        assert (await said(opened))["payload"] == {"data": {"viewer": {"email": "ada@example.com"}}}


@pytest.mark.parametrize(("whose", "reason"), [("bob", "OTHER_USER"), ("x", "INVALID"), ("nobody", "OTHER_USER")])
async def test_socket_when_it_is_renewed_with_what_is_not_good_then_it_is_closed(
    server: str, services: Services, whose: str, reason: str
) -> None:
    ada = (await signed_up(services)).access_token
    bob = (await signed_up(services, email="bob@example.com")).access_token
    async with socket_to(server) as opened:
        first = {} if whose == "nobody" else {"authorization": f"Bearer {ada}"}
        await opened.send({"type": "connection_init", "payload": first})
        assert await said(opened) == {"type": "connection_ack"}
        given = {"bob": bob, "x": "x", "nobody": ada}[whose]
        await opened.send({"type": "ping", "payload": {"authorization": f"Bearer {given}"}})
        code, said_why = await opened.closed()
        assert (code, (said_why or "").split(":")[0]) == (4403, reason)


@pytest.mark.parametrize(("first", "then"), [("token", "key"), ("key", "token")])
async def test_socket_when_it_is_renewed_with_other_scopes_then_it_is_closed(
    server: str, services: Services, first: str, then: str
) -> None:
    """The streams of an ADMIN show everybody's events; with a key that only reads they would not."""
    await signed_up(services)
    await grant_role(services, "ada@example.com", Role.ADMIN)
    token = (signed_in := await login(anonymous(services), "ada@example.com", PASSWORD)).access_token
    made = await create_api_key(await context_of(services, signed_in), "reads", [ApiScope.READ])
    given = {"token": token, "key": made.secret}
    await services.relay.reached(len(await whole_log(services.database)))
    async with socket_to(server) as opened:
        await opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {given[first]}"}})
        assert await said(opened) == {"type": "connection_ack"}
        await opened.send({"id": "all", "type": "subscribe", "payload": {"query": EVENTS}})
        await opened.send({"type": "ping", "payload": {"authorization": f"Bearer {given[then]}"}})
        assert await opened.closed() == (
            4403,
            "OTHER_RIGHTS: a socket keeps the role and the scopes that it began with: open another.",
        )


async def test_socket_when_it_is_renewed_after_the_role_changed_then_it_is_closed_though_nothing_was_heard_of_that(
    server: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_up(services)
    await grant_role(services, "ada@example.com", Role.ADMIN)
    token = (await login(anonymous(services), "ada@example.com", PASSWORD)).access_token
    monkeypatch.setattr(services.relay, "listen", lambda *_: lambda: None)
    async with socket_to(server) as opened:
        await opened.send({"type": "connection_init", "payload": {"authorization": f"Bearer {token}"}})
        assert await said(opened) == {"type": "connection_ack"}
        await grant_role(services, "ada@example.com", Role.TRADER)
        await services.relay.reached(len(await whole_log(services.database)))
        # An operation learns of it, and takes nothing away from those that go on.
        await opened.send({"id": "1", "type": "subscribe", "payload": {"query": VIEWER}})
        assert [(await said(opened))["type"] for _ in range(2)] == ["next", "complete"]
        await opened.send({"type": "ping", "payload": {"authorization": f"Bearer {token}"}})
        code, reason = await opened.closed()
        assert (code, (reason or "").split(":")[0]) == (4403, "OTHER_RIGHTS")


async def test_socket_when_the_server_stops_then_it_is_told_to_come_back(app: Starlette) -> None:
    async with server_of(app) as server, socket_to(server) as opened:
        await opened.init()
        app.state.seats.stop()
        assert await opened.closed() == (1012, "The server stops: come back.")


@pytest.mark.parametrize("size", [70_000, 3_000_000])
async def test_socket_when_a_frame_is_far_too_large_then_it_is_still_told_why(server: str, size: int) -> None:
    async with socket_to(server) as opened:
        await opened.init()
        await opened.connection.send("x" * size)
        assert (await opened.closed())[0] == 1009


async def test_socket_when_it_closes_then_nothing_of_it_is_left(app: Starlette, services: Services) -> None:
    token = (await signed_up(services)).access_token
    async with server_of(app) as server:
        before = asyncio.all_tasks()
        async with socket_to(server) as opened:
            await opened.init(token)
            for name in "abc":
                await opened.start(name, EVENTS)
            await opened.execute(VIEWER)
            assert app.state.fanout.subscriptions == 3
        await until(lambda: asyncio.all_tasks() <= before)
        assert (app.state.seats.open, app.state.fanout.subscriptions, len(app.state.fanout)) == (0, 0, 0)
    assert not services.relay._owned
    assert not services.relay._followers
