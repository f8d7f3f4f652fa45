"""graphql-ws and graphql-sse."""

from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.clients.program import Program, run
from tests.support.server import Server

pytestmark = pytest.mark.clients

ACCESS_TOKEN_S = 15


def story(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(event["order"]["clientOrderId"], event["type"]) for event in events]


def told(*keys: str) -> list[tuple[str, str]]:
    return [(key, kind) for key in keys for kind in ("ORDER_PLACED", "ORDER_EXECUTED")]


async def test_graphql_ws_when_an_operation_fails_then_the_others_on_its_socket_go_on(endpoint: str) -> None:
    found = await run("websocket.mjs", endpoint)
    assert found["failures"] == {
        "syntax": ["GRAPHQL_PARSE_FAILED"],
        "unknownField": ["GRAPHQL_VALIDATION_FAILED"],
        "variable": ["BAD_USER_INPUT"],
    }
    assert story(found["events"]) == told("first", "second")
    assert [found[name]["errors"] for name in ("first", "second")] == [[], []]
    assert [error["code"] for error in found["refused"]["errors"]] == ["INSUFFICIENT_FUNDS"]
    assert (found["ended"], found["sockets"]) == ("complete", 1)


async def test_graphql_ws_when_a_ping_brings_a_new_token_then_the_socket_outlives_the_old_one(tmp_path: Path) -> None:
    async with Server(tmp_path / "home", access_token_s=ACCESS_TOKEN_S) as server:
        found = await run("renewal.mjs", f"{server.url}/graphql")
    assert (found["events"], found["sockets"]) == (["ORDER_PLACED", "ORDER_EXECUTED"], 1)
    assert datetime.fromisoformat(found["renewedUntil"]).timestamp() >= found["endsAt"] / 1000
    assert (found["code"], found["reason"].partition(":")[0]) == (4401, "EXPIRED")


async def test_graphql_ws_when_the_server_is_killed_then_its_own_retry_loses_nothing_and_has_nothing_twice(
    server: Server, endpoint: str
) -> None:
    async with Program("resume.mjs", endpoint) as program:
        assert await program.heard() == {"events": 2}
        server.kill()
        await server.start()
        await program.tell()
        found = await program.heard()
    assert sorted(story(found["events"])) == sorted(told("one", "two", "three"))
    assert sorted(event["cursor"] for event in found["events"]) == sorted(found["all"])
    assert all(after["previousCursor"] == before["cursor"] for before, after in pairwise(found["events"]))
    assert found["connections"] == 2


async def test_graphql_sse_when_the_server_is_killed_then_after_and_last_event_id_go_on_where_they_were(
    server: Server, endpoint: str
) -> None:
    async with Program("sse.mjs", endpoint) as program:
        first = await program.heard()
        server.kill()
        await server.start()
        await program.tell()
        found = await program.heard()
    assert first["answers"] == [{"data": {"viewer": {"firstName": "Ada"}}}]
    assert (first["codes"], first["refused"]) == (["GRAPHQL_PARSE_FAILED"], 401)
    assert story(found["byAfter"]) == told("one", "two")
    assert found["byAfter"] == found["byHeader"]
    assert all(after["previousCursor"] == before["cursor"] for before, after in pairwise(found["byAfter"]))
    assert min(found["connections"]) >= 2
