from typing import Any

import pytest

from infrastructure.services import Services
from infrastructure.settings import Access
from models.enums import Role
from resolvers.accounts.commands import grant_role
from tests.graph.wire.conftest import BROWSER, GRAPHQL, Having, the_error
from tests.support.people import signed_up
from tests.support.wire import Client

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def roles(services: Services) -> dict[str | None, str | None]:
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


@pytest.mark.parametrize(
    ("path", "kind", "refused"), [("/graphql", "text/html", (405, 405)), ("/metrics", "text/plain", (401, 403))]
)
async def test_production_when_a_page_is_for_an_admin_then_nobody_else_gets_it(
    having: Having, services: Services, path: str, kind: str, refused: tuple[int, int]
) -> None:
    async with having(env="production") as client:
        for name, token in (await roles(services)).items():
            headers = {"accept": BROWSER} | ({"authorization": f"Bearer {token}"} if token else {})
            answer = await client.http.get(path, headers=headers)
            assert len(answer.headers.get_list("x-content-type-options")) == 1
            if name == "admin":
                assert (answer.status_code, answer.headers["content-type"].split(";")[0]) == (200, kind)
            else:
                assert answer.status_code == refused[name == "somebody"]
                assert ("www-authenticate" in answer.headers) == (answer.status_code == 401)


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
    counted = {line for line in lines if line.startswith("tradegraph_operations_total")}
    assert counted == {
        'tradegraph_operations_total{kind="query",outcome="OK"} 1.0',
        'tradegraph_operations_total{kind="unknown",outcome="GRAPHQL_VALIDATION_FAILED"} 1.0',
        'tradegraph_operations_total{kind="query",outcome="PARTIAL"} 1.0',
        'tradegraph_operations_total{kind="mutation",outcome="OK"} 1.0',
    }
    assert f"tradegraph_log_position {float(services.relay.position)}" in lines
    assert {"tradegraph_log_lag 0.0", "tradegraph_feed_age_seconds -1.0", "tradegraph_sockets 0.0"} <= set(lines)
    assert 'tradegraph_database_connections{role="writer"} 0.0' in lines
