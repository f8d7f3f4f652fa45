"""Apollo Client, urql and Relay: clients that keep what they have read, by its id."""

from decimal import Decimal
from pathlib import Path

import pytest

from tests.clients.program import HERE, run, tool
from tests.support.server import Server

pytestmark = pytest.mark.clients

D = Decimal


async def test_apollo_when_an_order_is_placed_then_what_it_shows_is_right_without_asking_again(tmp_path: Path) -> None:
    async with Server(tmp_path / "home", limits="on", limit_trading_operations="1/3second") as server:
        found = await run("apollo.mjs", f"{server.url}/graphql")

    assert found["before"] == {"cash": "100000", "reservedCash": "0", "buyingPower": "100000", "orders": 0}
    assert found["placed"]["errors"] == []
    after = found["after"]
    assert (after["lines"], after["requests"]) == (["limit OPEN"], ["Place"])
    assert D(after["reservedCash"]) + D(after["buyingPower"]) == D(100_000)
    assert D(after["reservedCash"]) == D("10.01")

    assert [error["code"] for error in found["refused"]["errors"]] == ["INSUFFICIENT_FUNDS"]
    assert found["filled"]["lines"] == ["market FILLED", "limit OPEN"]
    assert D(found["filled"]["cash"]) < D(100_000)
    assert found["filled"]["tries"] >= 2
    assert found["all"] == {"keys": ["third", "market", "limit"], "more": False}
    assert found["codes"] == {
        "badId": [True, "BAD_USER_INPUT", None],
        "invalid": [True, "GRAPHQL_VALIDATION_FAILED", None],
        "stale": [True, "UNAUTHENTICATED", "INVALID"],
    }


async def test_urql_when_an_order_is_placed_then_graphcache_shows_it_without_asking_again(endpoint: str) -> None:
    found = await run("urql.mjs", endpoint)
    assert found["placed"]["errors"] == []
    assert (found["after"]["lines"], found["after"]["requests"]) == (["limit OPEN"], 1)
    assert found["after"]["reservedCash"] == "10.01"
    assert [error["code"] for error in found["refused"]] == ["INSUFFICIENT_FUNDS"]
    assert found["filled"] == {"lines": ["market FILLED", "limit OPEN"], "requests": 3}
    assert found["pages"] == [["third", "market"], ["third", "market", "limit"]]
    assert found["codes"] == {"badId": "BAD_USER_INPUT", "syntax": "GRAPHQL_VALIDATION_FAILED"}
    assert (found["warnings"], found["answered"]) == ([], ["application/graphql-response+json; charset=utf-8"])


async def test_relay_when_an_order_is_placed_then_its_store_shows_it_and_pages_are_refetched_by_node(
    endpoint: str,
) -> None:
    tool("relay-compiler", "relay.config.json", cwd=HERE / "relay")
    tool("tsc", "--project", "relay")
    found = await run("relay.mjs", endpoint)
    assert (found["before"]["cash"], found["before"]["lines"]) == ("100000", [])
    assert found["placed"]["errors"] == []
    after = found["after"]
    assert (after["lines"], after["requests"]) == (["limit OPEN"], ["operationsPlaceMutation"])
    assert (after["reservedCash"], after["buyingPower"]) == ("10.01", "99989.99")
    assert after["told"] >= 1
    assert [error["code"] for error in found["refused"]] == ["INSUFFICIENT_FUNDS"]
    assert found["filled"] == ["market FILLED", "limit OPEN"]
    assert found["pages"] == [["third", "market"], ["third", "market", "limit"]]
    assert (found["more"], found["refetched"]) == (False, "operationsOrdersPageQuery")


async def test_apollo_when_a_query_is_sent_again_then_its_hash_is_enough(endpoint: str) -> None:
    found = await run("persisted.mjs", endpoint)
    assert found["answers"] == ["Ada", "Ada"]
    assert [with_text for with_text, _ in found["sent"]] == [False, True, False]
    assert [status for _, status in found["sent"][1:]] == [200, 200]
