"""Automatic persisted queries, as clients speak them."""

import hashlib
from typing import Any

import pytest

from tests.graph.cost.conftest import Limited
from tests.support.wire import Client

VIEWER = "{ viewer { id } }"


def named(text: str) -> dict[str, Any]:
    return {"persistedQuery": {"version": 1, "sha256Hash": hashlib.sha256(text.encode()).hexdigest()}}


async def send(client: Client, **body: Any) -> Any:
    return (await client.http.post("/graphql", json=body)).json()


def code(answer: Any) -> str:
    return str(answer["errors"][0]["extensions"]["code"])


@pytest.fixture
async def client(limited: Limited) -> Any:
    async with limited(documents_max=2, get_queries=True) as client:
        yield client


async def test_persisted_when_sent_once_with_its_text_then_the_hash_alone_does(client: Client) -> None:
    unknown = await send(client, extensions=named(VIEWER))
    assert (code(unknown), unknown["errors"][0]["message"]) == ("PERSISTED_QUERY_NOT_FOUND", "PersistedQueryNotFound")
    for body in ({"query": VIEWER}, {}, {}):
        assert (await send(client, **body, extensions=named(VIEWER)))["data"] == {"viewer": None}
    got = await client.http.get("/graphql", params={"extensions": str(named(VIEWER)).replace("'", '"')})
    assert got.json()["data"] == {"viewer": None}


async def test_persisted_when_the_hash_is_of_another_text_then_it_is_refused_and_not_kept(client: Client) -> None:
    assert code(await send(client, query="{ __typename }", extensions=named(VIEWER))) == "BAD_USER_INPUT"
    assert code(await send(client, extensions=named(VIEWER))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_persisted_when_the_document_is_not_valid_then_it_is_not_kept(client: Client) -> None:
    assert code(await send(client, query="{ x }", extensions=named("{ x }"))) == "GRAPHQL_VALIDATION_FAILED"
    assert code(await send(client, extensions=named("{ x }"))) == "PERSISTED_QUERY_NOT_FOUND"


async def test_persisted_when_more_are_sent_than_are_kept_then_the_oldest_is_forgotten(client: Client) -> None:
    texts = [VIEWER, "{ streamCursor }", "{ __typename }"]
    for text in texts:
        assert "errors" not in await send(client, query=text, extensions=named(text))
    answers = [await send(client, extensions=named(text)) for text in texts]
    assert [("errors" in answer) for answer in answers] == [True, False, False]


async def test_persisted_when_its_caller_is_shut_out_then_the_hash_of_a_known_one_still_does(limited: Limited) -> None:
    small = {"limit_anonymous_points": 28, "limit_anonymous_restore": 1, "cost_operation_max": 25}
    async with limited(**small) as client:
        assert "errors" not in await send(client, query=VIEWER, extensions=named(VIEWER))
        refused = [await send(client, query=f"{{ x{number} }}") for number in range(3)]
        assert code(refused[-1]) == "THROTTLED"
        assert code(await send(client, query="{ __typename }")) == "THROTTLED"
        assert (await send(client, extensions=named(VIEWER)))["data"] == {"viewer": None}


@pytest.mark.parametrize(
    "extensions",
    [
        {"persistedQuery": 1},
        {"persistedQuery": {"version": 2, "sha256Hash": "0" * 64}},
        {"persistedQuery": {"version": 1, "sha256Hash": "A" * 64}},
        {"persistedQuery": {"version": 1}},
    ],
)
async def test_persisted_when_the_name_is_none_then_it_is_bad_input(client: Client, extensions: Any) -> None:
    assert code(await send(client, query=VIEWER, extensions=extensions)) == "BAD_USER_INPUT"
    assert code(await send(client)) == "BAD_USER_INPUT"
