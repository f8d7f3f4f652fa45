"""Server-sent events: the same pipeline and the same streams, with the cursor as the event's id."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.database import DatabaseUnavailable
from infrastructure.services import Services
from resolvers.accounts.commands import login, logout
from resolvers.events.queries import cursor_of
from resolvers.portfolios.commands import deposit_cash
from tests.graph.wire.conftest import GRAPHQL, JSON
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader
from tests.support.people import PASSWORD, anonymous
from tests.support.wait import until
from tests.support.wire import WAIT_S_MAX, server_of

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

STREAM = "text/event-stream"
EVENTS = "subscription ($after: String) { events(after: $after) { cursor type } }"
VIEWER = "{ viewer { email } }"


@dataclass
class Reader:
    """Reads an event stream as a browser does."""

    response: httpx.Response
    lines: AsyncIterator[str]

    async def next(self) -> dict[str, str]:
        """The fields of the next event; of the response's end none."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S_MAX):
            async for line in self.lines:
                if not line and fields:
                    return fields
                name, _, value = line.partition(":")
                if name:
                    fields[name] = value.removeprefix(" ")
        return fields

    async def data(self) -> Any:
        """The answer in the next event."""
        return orjson.loads((await self.next())["data"])


@asynccontextmanager
async def reading(server: str, query: str, *, get: bool = False, **headers: str) -> AsyncIterator[Reader]:
    given = {"accept": STREAM} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(base_url=f"http://{server}", headers=given) as http:
        asked = {"query": query}
        sending = (
            http.stream("GET", f"/graphql?{urlencode(asked)}") if get else http.stream("POST", "/graphql", json=asked)
        )
        async with sending as response:
            yield Reader(response, response.aiter_lines())


@pytest.fixture
async def trader(services: Services) -> Trader:
    await Market.open(services)
    return await Trader.with_cash(services)


@pytest.fixture
async def bearer(services: Services, trader: Trader) -> str:
    assert trader
    token = (await login(anonymous(services), "ada@example.com", PASSWORD)).access_token
    await services.relay.reached(len(await whole_log(services.database)))
    return f"Bearer {token}"


@pytest.mark.parametrize("get", [False, True])
async def test_stream_when_events_come_then_each_has_its_cursor_as_its_id_and_resumes_from_there(
    server: str, services: Services, trader: Trader, bearer: str, *, get: bool
) -> None:
    async with reading(server, EVENTS, get=get, authorization=bearer) as reader:
        assert reader.response.status_code == 200
        assert reader.response.headers["content-type"] == f"{STREAM}; charset=utf-8"
        await until(lambda: services.relay._followers)
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
        first = await reader.next()
    cursor = orjson.loads(first["data"])["data"]["events"]["cursor"]
    assert (first["event"], first["id"]) == ("next", cursor)
    seq = (await deposit_cash(trader.ctx, trader.portfolio_id, D(2))).position
    async with reading(server, EVENTS, get=get, authorization=bearer, last_event_id=cursor) as reader:
        again = await reader.next()
    assert (again["event"], again["id"]) == ("next", cursor_of(trader.ctx, seq))


@pytest.mark.parametrize("get", [False, True])
async def test_query_when_asked_for_as_events_then_there_is_one_and_the_end(
    services: Services, bearer: str, *, get: bool
) -> None:
    async with (
        server_of(app_with(services, get_queries=get)) as server,
        reading(server, VIEWER, get=get, authorization=bearer) as reader,
    ):
        assert await reader.next() == {"event": "next", "data": '{"data":{"viewer":{"email":"ada@example.com"}}}'}
        assert await reader.next() == {"event": "complete", "data": ""}
        assert await reader.next() == {}


ALL_ALIKE = "application/graphql-response+json, application/graphql+json, application/json, text/event-stream"
"""As urql sends it with every operation that is no subscription."""


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (ALL_ALIKE, GRAPHQL),
        (f"{STREAM}, application/json", JSON),
        (f"{STREAM};q=0.9, application/json", JSON),
        (f"{STREAM}, application/json;q=0.9", STREAM),
        (f"{STREAM}, */*", STREAM),
        ("*/*", JSON),
    ],
)
async def test_query_when_events_are_liked_no_more_than_json_then_it_is_answered_by_json(
    server: str, bearer: str, accept: str, kind: str
) -> None:
    async with reading(server, VIEWER, authorization=bearer, accept=accept) as reader:
        assert (reader.response.status_code, reader.response.headers["content-type"].partition(";")[0]) == (200, kind)


@pytest.mark.parametrize("get", [False, True])
async def test_subscription_when_events_are_liked_as_much_as_json_then_it_is_answered_by_events(
    server: str, bearer: str, *, get: bool
) -> None:
    async with reading(server, EVENTS, get=get, authorization=bearer, accept=ALL_ALIKE) as reader:
        assert reader.response.headers["content-type"] == f"{STREAM}; charset=utf-8"


@pytest.mark.parametrize("accept", [STREAM, ALL_ALIKE, JSON])
async def test_query_by_get_when_the_settings_do_not_let_it_then_it_has_to_come_by_post_whatever_is_liked(
    server: str, accept: str
) -> None:
    async with reading(server, VIEWER, get=True, accept=accept) as reader:
        assert (reader.response.status_code, reader.response.headers["allow"]) == (405, "POST, OPTIONS")


@pytest.mark.parametrize(
    ("origin", "allowed", "status"),
    [
        ("https://evil.example", (), 403),
        ("https://evil.example", ("https://desk.example",), 403),
        ("null", (), 403),
        ("https://desk.example", ("https://desk.example",), 200),
        ("http://{server}", (), 200),
    ],
)
@pytest.mark.parametrize("query", [VIEWER, EVENTS])
async def test_get_when_a_page_sends_it_then_its_origin_has_to_be_allowed(
    services: Services, query: str, origin: str, allowed: tuple[str, ...], status: int
) -> None:
    async with (
        server_of(app_with(services, cors_origins=allowed, get_queries=True)) as server,
        reading(server, query, get=True, origin=origin.format(server=server)) as reader,
    ):
        assert reader.response.status_code == status
        if status == 403:
            [error] = orjson.loads(await reader.response.aread())["errors"]
            assert error["message"] == f"ORIGIN: {origin} is not in TRADEGRAPH_CORS_ORIGINS."


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { events(after: "x") { type } }', "BAD_USER_INPUT"),
    ],
)
async def test_operation_when_it_is_refused_then_the_stream_says_so_and_ends(
    server: str, bearer: str, query: str, code: str
) -> None:
    async with reading(server, query, authorization=bearer) as reader:
        assert reader.response.status_code == 200
        [error] = (await reader.data())["errors"]
        assert error["extensions"]["code"] == code
        assert (await reader.next())["event"] == "complete"


async def test_stream_when_the_sign_in_ends_then_it_says_so_and_ends(server: str, services: Services) -> None:
    await Trader.with_cash(services)
    signed_in = await login(anonymous(services), "ada@example.com", PASSWORD)
    await services.relay.reached(len(await whole_log(services.database)))
    async with reading(server, EVENTS, authorization=f"Bearer {signed_in.access_token}") as reader:
        await until(lambda: services.relay._followers)
        await logout(anonymous(services), signed_in.refresh_token)
        [error] = (await reader.data())["errors"]
        assert error["extensions"] == {"code": "UNAUTHENTICATED", "reason": "REVOKED"}
        assert (await reader.next())["event"] == "complete"


async def test_stream_when_the_token_is_not_good_then_it_does_not_begin(server: str) -> None:
    async with reading(server, EVENTS, authorization="Bearer x") as reader:
        assert reader.response.status_code == 401
        assert orjson.loads(await reader.response.aread())["errors"][0]["extensions"]["reason"] == "INVALID"


async def test_stream_when_it_fails_after_it_has_begun_then_it_says_so_and_ends(
    server: str, bearer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_args: Any) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr("graph.wire.sse.SignIn.begin", gone)
    async with reading(server, EVENTS, authorization=bearer) as reader:
        assert reader.response.status_code == 200
        [error] = (await reader.data())["errors"]
        assert error["extensions"] == {"code": "UNAVAILABLE"}
        assert (await reader.next())["event"] == "complete"
        assert await reader.next() == {}


async def test_mutation_when_it_comes_by_get_then_it_is_not_executed(server: str, bearer: str) -> None:
    async with reading(
        server, "mutation { logoutEverywhere { errors { code } } }", get=True, authorization=bearer
    ) as one:
        assert one.response.status_code == 405
    async with reading(server, VIEWER, authorization=bearer) as reader:
        assert await reader.data() == {"data": {"viewer": {"email": "ada@example.com"}}}


async def test_stream_when_nothing_happens_then_it_says_that_it_is_there_and_when_its_reader_leaves_nothing_is_left(
    services: Services, bearer: str
) -> None:
    app = app_with(services, sse_ping_ms=20)
    async with server_of(app) as server:
        before = asyncio.all_tasks()
        async with reading(server, EVENTS, authorization=bearer) as reader:
            comments = [await anext(reader.lines) for _ in range(6)]
            assert comments == [":", ""] * 3
            assert app.state.seats.open == 1
        await until(lambda: app.state.seats.open == 0 and asyncio.all_tasks() <= before)
        assert app.state.fanout.subscriptions == 0


async def test_stream_when_the_user_has_their_number_then_the_next_is_refused(services: Services, bearer: str) -> None:
    async with (
        server_of(app_with(services, sockets_per_user=1)) as server,
        reading(server, EVENTS, authorization=bearer),
        reading(server, EVENTS, authorization=bearer) as second,
    ):
        assert second.response.status_code == 429
        assert orjson.loads(await second.response.aread())["errors"][0]["extensions"]["code"] == "THROTTLED"


async def test_stream_when_the_server_stops_then_it_ends_in_order(app: Starlette, bearer: str) -> None:
    async with server_of(app) as server, reading(server, EVENTS, authorization=bearer) as reader:
        app.state.seats.stop()
        assert await reader.next() == {}


def app_with(services: Services, **settings: Any) -> Starlette:
    app = create_app(services.settings.model_copy(update=settings))
    app.state.process = Process(services, works=[])
    return app
