from typing import Any

import pytest
import websockets
from starlette.applications import Starlette

from infrastructure.services import Services
from infrastructure.settings import Access
from models.enums import Role
from models.errors import Unauthenticated
from resolvers.accounts.commands import grant_role
from tests.graph.wire.conftest import BROWSER, GRAPHQL, JSON, Having, the_error
from tests.support.people import signed_up
from tests.support.wait import until
from tests.support.wire import Client, server_of, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def roles(services: Services) -> dict[str, str | None]:
    """Access tokens of nobody, of somebody and of an ADMIN."""
    somebody = (await signed_up(services)).access_token
    admin = (await signed_up(services, "root@example.com")).access_token
    await grant_role(services, "root@example.com", Role.ADMIN)
    return {"nobody": None, "somebody": somebody, "admin": admin}


@pytest.mark.parametrize(
    ("given", "let_in"),
    [
        ({}, {"nobody", "somebody", "admin"}),
        ({"env": "production"}, {"admin"}),
        ({"env": "production", "introspection": Access.EVERYONE}, {"nobody", "somebody", "admin"}),
        ({"introspection": Access.NOBODY}, set()),
    ],
)
async def test_introspection_when_asked_for_then_only_those_get_it_who_may(
    having: Having, services: Services, given: dict[str, Any], let_in: set[str]
) -> None:
    found = set()
    async with having(**given) as client:
        for name, token in (await roles(services)).items():
            answer = await client.post("{ a: __schema { queryType { name } } }", token=token, accept=GRAPHQL)
            assert (
                await client.data('{ __typename text: instrument(symbol: "__schema") { symbol } }', token=token)
            ) == {
                "__typename": "Query",
                "text": None,
            }
            if answer.status_code == 200:
                found.add(name)
            else:
                assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (403, "FORBIDDEN")
    assert found == let_in


async def test_metrics_when_they_are_for_an_admin_then_nobody_else_gets_them(
    having: Having, services: Services
) -> None:
    async with having(env="production") as client:
        for name, token in (await roles(services)).items():
            headers = {"authorization": f"Bearer {token}"} if token else {}
            answer = await client.http.get("/metrics", headers=headers)
            assert len(answer.headers.get_list("x-content-type-options")) == 1
            assert answer.status_code == {"nobody": 401, "somebody": 403, "admin": 200}[name]
            assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


@pytest.mark.parametrize(
    ("given", "asks"),
    [
        ({}, False),
        ({"env": "production"}, True),
        ({"graphiql": Access.ADMIN}, True),
        ({"env": "production", "graphiql": Access.EVERYONE}, False),
    ],
)
async def test_graphiql_when_it_is_for_an_admin_then_a_browser_gets_the_page_and_is_asked_to_sign_in(
    having: Having, given: dict[str, Any], asks: bool
) -> None:
    async with having(**given) as client:
        answer = await client.http.get("/graphql", headers={"accept": BROWSER, "sec-fetch-mode": "navigate"})
        files = await client.http.get("/graphiql/tradegraph.js")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert len(answer.headers.get_list("x-content-type-options")) == 1
    assert ('<form id="sign-in"' in answer.text, "demo-password" in answer.text) == (asks, not asks)
    assert files.status_code == 200


async def test_graphiql_when_it_is_for_nobody_then_a_browser_is_told_how_operations_come(having: Having) -> None:
    async with having(graphiql=Access.NOBODY) as client:
        answer = await client.http.get("/graphql", headers={"accept": BROWSER, "sec-fetch-mode": "navigate"})
    assert (answer.status_code, the_error(answer)["message"]) == (405, "Operations come by POST here.")


async def test_production_when_a_name_is_misspelt_then_nothing_is_suggested(having: Having, client: Client) -> None:
    misspelt, wrong = "{ portfolo { id } }", "query ($s: OrderSide) { __typename }"
    assert "portfolio" in (await client.post(misspelt)).text
    async with having(env="production") as strict:
        for query, variables in ((misspelt, None), (wrong, {"s": "BUYY"})):
            assert "Did you mean" not in (await strict.post(query, variables)).text


async def test_production_when_it_answers_then_browsers_are_told_to_be_strict(having: Having, client: Client) -> None:
    async with having(env="production") as strict:
        for path in ("/graphql", "/healthz", "/nothing"):
            headers = (await strict.http.get(path)).headers
            assert headers["strict-transport-security"] == "max-age=31536000; includeSubDomains"
            assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert "strict-transport-security" not in (await client.http.get("/healthz")).headers


# ---------------------------------------------------------------- metrics


def counted(services: Services) -> dict[tuple[str, str], float]:
    """How many operations have ended, by kind and outcome."""
    return {
        (sample.labels["kind"], sample.labels["outcome"]): sample.value
        for family in services.metrics.operations.collect()
        for sample in family.samples
        if sample.name == "tradegraph_operations_total"
    }


async def test_metrics_when_operations_have_ended_then_they_are_counted_by_kind_and_outcome(
    client: Client, services: Services
) -> None:
    for query in (
        "{ __typename }",
        "{ nothing }",
        "{ order(id: 1) { id } }",
        "mutation { logoutEverywhere { __typename } }",
    ):
        await client.post(query)
    lines = (await client.http.get("/metrics")).text.splitlines()
    assert counted(services) == {
        ("query", "OK"): 1,
        ("unknown", "GRAPHQL_VALIDATION_FAILED"): 1,
        ("query", "PARTIAL"): 1,
        ("mutation", "OK"): 1,
    }
    assert 'tradegraph_operations_total{kind="query",outcome="OK"} 1.0' in lines
    assert f"tradegraph_log_position {float(services.relay.position)}" in lines
    assert {"tradegraph_log_lag 0.0", "tradegraph_feed_age_seconds -1.0", "tradegraph_sockets 0.0"} <= set(lines)
    assert 'tradegraph_database_connections{role="writer"} 0.0' in lines
    for name in ("handler_waiting", "handler_lag_seconds", "dead_letters"):
        assert f'tradegraph_{name}{{handler="order-executed"}} 0.0' in lines


async def test_metrics_when_the_cache_was_asked_then_what_it_did_and_what_it_keeps_is_there_by_kind(
    client: Client, services: Services
) -> None:
    for _ in range(3):
        await client.post('{ instrument(symbol: "AAPL") { name } }')
    text = (await client.http.get("/metrics")).text
    lines = [line for line in text.splitlines() if "instruments by symbol" in line]
    kind = 'kind="instruments by symbol"'
    assert lines == [
        f'tradegraph_cache_values_total{{{kind},source="memory"}} 2.0',
        f'tradegraph_cache_values_total{{{kind},source="redis"}} 0.0',
        f'tradegraph_cache_values_total{{{kind},source="loaded"}} 1.0',
        f'tradegraph_cache_values_total{{{kind},source="passed"}} 0.0',
        f'tradegraph_cache_values_total{{{kind},source="stale"}} 0.0',
        f"tradegraph_cache_evicted_total{{{kind}}} 0.0",
        f"tradegraph_cache_entries{{{kind}}} 1.0",
        f"tradegraph_cache_bytes{{{kind}}} {float(services.cache.memory.bytes)}",
    ]
    assert {"# TYPE tradegraph_cache_values_total counter", "tradegraph_limit_fallbacks_total 0.0"} <= set(
        text.splitlines()
    )


async def test_metrics_when_subscriptions_have_ended_then_each_is_counted_once_by_its_outcome(
    app: Starlette, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    async with server_of(app) as server, socket_to(server) as opened:
        await opened.init(token)
        for name in ("completed", "left"):
            await opened.start(name, "subscription { events { type } }")
        await opened.start("failed", 'subscription { events(after: "x") { type } }')
        await opened.next("failed")
        await opened.start("wrong", "subscription { events { type } quotes(symbols: []) { bid } }")
        await opened.next("wrong")
        await opened.connection.send('{"type": "subscribe", "id": "none", "payload": {"query": "{ a }", "query": ""}}')
        await until(lambda: app.state.fanout.subscriptions == 2)
        await opened.send({"type": "complete", "id": "completed"})
        await until(lambda: app.state.fanout.subscriptions == 1)
        await opened.connection.close()
        await until(lambda: app.state.fanout.subscriptions == 0)
    assert counted(services) == {
        ("subscription", "OK"): 2,
        ("subscription", "BAD_USER_INPUT"): 1,
        ("unknown", "GRAPHQL_VALIDATION_FAILED"): 1,
        ("unknown", "BAD_USER_INPUT"): 1,
    }


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"content": b"{"}, 400, "BAD_USER_INPUT"),
        ({"headers": {"authorization": "Bearer x", "content-type": JSON}}, 401, "UNAUTHENTICATED"),
        ({"method": "PUT"}, 405, "METHOD_NOT_ALLOWED"),
        ({"headers": {"accept": "text/html", "content-type": JSON}}, 406, "NOT_ACCEPTABLE"),
        ({"content": b" " * 300_000}, 413, "PAYLOAD_TOO_LARGE"),
        ({"headers": {"content-type": "text/plain"}}, 415, "UNSUPPORTED_MEDIA_TYPE"),
    ],
)
async def test_metrics_when_a_request_is_refused_before_it_is_an_operation_then_it_is_counted_too(
    client: Client, services: Services, changed: dict[str, Any], status: int, code: str
) -> None:
    given: dict[str, Any] = {"method": "POST", "content": b'{"query": ""}', "headers": {"content-type": JSON}} | changed
    answer = await client.http.request(given.pop("method"), "/graphql", **given)
    assert (answer.status_code, counted(services)) == (status, {("unknown", code): 1})


async def test_metrics_when_a_sign_in_has_ended_then_the_operations_on_its_socket_are_counted_as_refused(
    server: str, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with socket_to(server) as opened:
        await opened.init()

        async def ended(*_args: Any) -> None:
            raise Unauthenticated("It has ended.", "REVOKED")

        monkeypatch.setattr("graph.context.authorization", ended)
        await opened.start("late", "{ __typename }")
        assert (await opened.next("late"))["type"] == "error"
    assert counted(services) == {("unknown", "UNAUTHENTICATED"): 1}


@pytest.mark.parametrize(
    ("frame", "code"), [("{", 4400), ('{"type": "subscribe", "id": "1", "payload": {"query": ""}}', 4401)]
)
async def test_metrics_when_a_socket_is_closed_then_its_code_is_counted(
    server: str, services: Services, frame: str, code: int
) -> None:
    async with socket_to(server) as opened:
        await opened.connection.send(frame)
        assert (await opened.closed())[0] == code
    async with websockets.connect(f"ws://{server}/graphql") as other:
        await other.wait_closed()
    lines = services.metrics.exposition().decode().splitlines()
    assert {f'tradegraph_sockets_closed_total{{code="{each}"}} 1.0' for each in (code, 4406)} <= set(lines)
