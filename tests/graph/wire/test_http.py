import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from graph.wire import http
from infrastructure.database import DatabaseUnavailable
from infrastructure.services import Services
from models.errors import Throttled
from tests.graph.wire.conftest import BROWSER, GRAPHQL, JSON, Having, post, the_error
from tests.support.people import signed_up
from tests.support.wire import Client

TYPENAME = {"query": "{ __typename }"}
CREATE = "mutation ($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { name } } }"
NO_JSON = "This is no JSON in UTF-8."

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("application/*", JSON),
        (JSON, JSON),
        (GRAPHQL, GRAPHQL),
        (f"{GRAPHQL}, {JSON}", GRAPHQL),
        (f"{JSON}, {GRAPHQL}", GRAPHQL),
        (f"{GRAPHQL};q=0.5, {JSON}", JSON),
        (f"{GRAPHQL};q=0.9,{JSON};q=0.8", GRAPHQL),
        (f"{JSON}, text/plain, */*", JSON),
        (f"{GRAPHQL}, */*;q=0.1", GRAPHQL),
        (f"{JSON};q=0, */*", GRAPHQL),
        (f"{GRAPHQL.upper()} ; charset=UTF-8", GRAPHQL),
        (f"text/html, {GRAPHQL};q=0.001", GRAPHQL),
    ],
)
async def test_accept_when_given_then_the_media_type_that_is_liked_best_comes_back(
    client: Client, accept: str, media_type: str
) -> None:
    answer = await post(client, TYPENAME, accept=accept)
    assert (answer.status_code, answer.headers["content-type"]) == (200, f"{media_type}; charset=utf-8")
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize("accept", ["text/html", "image/*", f"{JSON};q=0", f"{JSON};q=x", f"{JSON};charset=latin-1"])
async def test_accept_when_nothing_of_ours_is_acceptable_then_it_is_406(client: Client, accept: str) -> None:
    answer = await post(client, TYPENAME, accept=accept)
    assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "json"),
        *("application/json; charset=latin-1", "application/graphql", "application/json, text/plain"),
        "text/plain; application/json",
    ],
)
async def test_body_when_its_type_is_one_that_a_simple_form_can_send_then_it_is_415_and_not_executed(
    client: Client, services: Services, content_type: str
) -> None:
    token = (await signed_up(services)).access_token
    body = {"query": CREATE, "variables": {"input": {"name": "Forged"}}}
    answer = await post(client, body, content_type=content_type, authorization=f"Bearer {token}")
    assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")
    names = await client.data("{ viewer { portfolios { edges { node { name } } } } }", token=token)
    assert names["viewer"]["portfolios"]["edges"] == []


@pytest.mark.parametrize(
    "content_type", ["application/json", "APPLICATION/JSON;charset=UTF-8", 'application/json; charset="utf-8"; x=y']
)
async def test_body_when_its_type_is_json_in_utf_8_then_it_is_taken(client: Client, content_type: str) -> None:
    assert (await post(client, TYPENAME, content_type=content_type)).status_code == 200


async def test_body_when_compressed_then_it_is_415_and_says_what_is_taken(client: Client) -> None:
    answer = await post(client, gzip.compress(orjson.dumps(TYPENAME)), content_encoding="gzip")
    assert (answer.status_code, answer.headers["accept-encoding"]) == (415, "identity")


@pytest.mark.parametrize("chunked", [False, True])
async def test_body_when_it_is_too_large_then_it_is_413(having: Having, chunked: bool) -> None:
    async def in_parts() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b" " * 500

    async with having(body_bytes_max=1024) as client:
        content = in_parts() if chunked else b" " * 1025
        answer = await client.http.post("/graphql", content=content, headers={"content-type": JSON})
        assert (await post(client, orjson.dumps(TYPENAME).ljust(1024))).status_code == 200
    assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (413, "PAYLOAD_TOO_LARGE")


@pytest.mark.parametrize("parts", [[b"{"], []])
async def test_body_when_it_does_not_come_in_time_then_it_is_408(
    client: Client, monkeypatch: pytest.MonkeyPatch, parts: list[bytes]
) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for part in parts:
            yield part
        await asyncio.Event().wait()

    monkeypatch.setattr(http, "BODY_S_MAX", 0.05)
    answer = await client.http.post("/graphql", content=slow(), headers={"content-type": JSON})
    assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (408, "REQUEST_TIMEOUT")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "There is nothing: it has to be JSON in UTF-8."),
        (b"{", "This is no JSON in UTF-8, from line 1, column 2 on."),
        (b"\xff", NO_JSON),
        (b'{"query": "\xed\xa0\x80"}', NO_JSON),
        (b'{"query": "\\ud800"}', "This is no JSON in UTF-8, from line 1, column 12 on."),
        (b'{"query": "{ x }", "variables": {"a": NaN}}', "This is no JSON in UTF-8, from line 1, column 39 on."),
        (b'{"query": "{ x }", "variables": {"a": 1e999}}', "This is no JSON in UTF-8, from line 1, column 39 on."),
        (b'\xef\xbb\xbf{"query": "{ x }"}', NO_JSON),
        (b'{"query": "{ x }"} {}', "This is no JSON in UTF-8, from line 1, column 20 on."),
        (b'{"query": "{ x }", "query": "{ y }"}', "the key 'query' twice"),
        (b'{"query": "{ x }", "variables": {"a": 1, "\\u0061": 2}}', "the key 'a' twice"),
        (b'{"query": ' + b"[" * 100_000, "The JSON is nested more than 64 deep."),
        (b'{"query": "{ x }", "variables": {"a": ' + b"[" * 63 + b"]" * 63 + b"}}", "nested more than 64 deep"),
        (b"[]", "arrays of them are not taken"),
        (b"1", "has to be a JSON object"),
        (b"null", "has to be a JSON object"),
        (b"{}", "`query` has to be a string"),
        (b'{"query": {}}', "`query` has to be a string"),
        (b'{"query": "{ x }", "operationName": 1}', "`operationName` has to be"),
        (b'{"query": "{ x }", "variables": []}', "`variables` has to be"),
        (b'{"query": "{ x }", "extensions": "x"}', "`extensions` has to be"),
        (b'{"query": "{ x }", "variables": {"a": "\\u0000"}}', "character NUL"),
    ],
)
async def test_body_when_it_is_no_request_then_it_is_400_and_says_what_is_wrong(
    client: Client, body: bytes, said: str
) -> None:
    for accept in (JSON, GRAPHQL):
        answer = await post(client, body, accept=accept)
        error = the_error(answer)
        assert (answer.status_code, error["extensions"]) == (400, {"code": "BAD_USER_INPUT"})
        assert said in error["message"]


async def test_body_when_it_is_just_as_deep_as_it_may_be_then_it_is_taken(client: Client) -> None:
    deep = b'{"query": "{ __typename }", "extensions": {"a": ' + b"[" * 62 + b"]" * 62 + b"}}"
    assert (await post(client, deep)).json() == {"data": {"__typename": "Query"}}


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"query": "{"}, 400),
        ({"query": "{ nothing }"}, 400),
        ({"query": "query ($id: ID!) { order(id: $id) { id } }"}, 400),
        ({"query": "{ __typename }", "operationName": "Other"}, 422),
        ({"query": "subscription { events { type } }"}, 400),
    ],
)
async def test_operation_when_it_can_not_be_executed_then_only_the_new_media_type_says_so_by_its_status(
    client: Client, request_: dict[str, Any], status: int
) -> None:
    old, new = [await post(client, request_, accept=accept) for accept in (JSON, GRAPHQL)]
    assert (old.status_code, new.status_code) == (200, status)
    assert the_error(old) == the_error(new)


async def test_operation_when_a_field_fails_then_the_new_media_type_says_partial_success(client: Client) -> None:
    query = {"query": "{ viewer { id } order(id: 1) { id } }"}
    old, new = [await post(client, query, accept=accept) for accept in (JSON, GRAPHQL)]
    assert (old.status_code, new.status_code) == (200, 294)
    assert old.json() == new.json()
    assert old.json()["data"] == {"viewer": None, "order": None}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "TRACE", "QUERY"])
async def test_method_when_it_has_no_meaning_then_it_is_405_with_those_that_have(
    client: Client, having: Having, method: str
) -> None:
    answer = await client.http.request(method, "/graphql", json=TYPENAME)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, OPTIONS")
    async with having(get_queries=True) as other:
        assert (await other.http.request(method, "/graphql")).headers["allow"] == "GET, POST, OPTIONS"


async def test_options_when_asked_then_they_are_said(client: Client) -> None:
    answer = await client.http.options("/graphql")
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "POST, OPTIONS", b"")


async def test_failure_when_it_is_ours_then_it_is_500_in_json_and_masked(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_args: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("graph.wire.documents.Documents.of", broken)
    for accept in (JSON, GRAPHQL):
        answer = await post(client, TYPENAME, accept=accept)
        assert (answer.status_code, the_error(answer)["message"]) == (500, "Internal error")
        assert "secret" not in answer.text


async def test_database_when_it_is_gone_while_who_asks_is_found_out_then_it_is_503(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_args: Any) -> None:
        raise DatabaseUnavailable("gone")

    monkeypatch.setattr("graph.wire.http.of_request", gone)
    answer = await post(client, TYPENAME)
    assert (answer.status_code, the_error(answer)["extensions"]) == (503, {"code": "UNAVAILABLE"})


# ---------------------------------------------------------------- GET


@pytest.mark.parametrize(
    ("params", "status", "said"),
    [
        ({"query": "{ __typename }"}, 200, '{"data":{"__typename":"Query"}}'),
        ({"query": "query A($s: String!) { __type(name: $s) { name } }", "variables": '{"s": "ID"}'}, 200, '"ID"'),
        ({"query": "query A { a: __typename } query B { b: __typename }", "operationName": "B"}, 200, '"b"'),
        ({"query": "{ __typename }", "variables": "", "operationName": "", "extensions": ""}, 200, "Query"),
        ({"query": "{ __typename }", "variables": "{"}, 400, "no JSON"),
        ({"query": "{ __typename }", "variables": "[]"}, 400, "`variables` has to be"),
        ({"query": "mutation { logoutEverywhere { __typename } }"}, 405, "Only queries"),
        ({"query": "subscription { events { type } }"}, 405, "Only queries"),
        ({}, 400, "`query` has to be a string"),
        ([("query", "{ a }"), ("query", "{ b }")], 400, "twice"),
        ([(f"p{number}", "x") for number in range(17)], 400, "few parameters"),
    ],
)
async def test_get_when_the_settings_let_it_then_queries_are_answered_and_nothing_else(
    having: Having, params: Any, status: int, said: str
) -> None:
    async with having(get_queries=True) as client:
        answer = await client.http.get("/graphql", params=params)
    assert (answer.status_code, said in answer.text) == (status, True)
    assert answer.headers.get("allow") == ("POST, OPTIONS" if status == 405 else None)


async def test_get_when_its_bytes_are_no_utf_8_then_it_is_400(having: Having) -> None:
    async with having(get_queries=True) as client:
        assert (await client.http.get("/graphql?query=%ff")).status_code == 400


@pytest.mark.parametrize("mode", ["navigate", "no-cors"])
async def test_get_when_another_page_sends_it_then_it_is_not_executed(having: Having, mode: str) -> None:
    async with having(get_queries=True) as client:
        headers = {"sec-fetch-mode": mode, "accept": BROWSER}
        answer = await client.http.get("/graphql", params=TYPENAME, headers=headers)
    assert answer.status_code == 405
    assert "Query" not in answer.text


# ---------------------------------------------------------------- batches


async def test_batch_when_the_settings_let_it_then_each_is_answered_in_its_turn(
    having: Having, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    names = {"query": "{ viewer { portfolios { edges { node { name } } } } }"}
    create = {"query": CREATE, "variables": {"input": {"name": "New"}}}
    async with having(batch_max=3) as client:
        answer = await post(client, [names, create, names], authorization=f"Bearer {token}")
        too_many = await post(client, [names] * 4)
        none = await post(client, [])
        wrong = await post(client, [TYPENAME, 1])
    assert answer.status_code == 200
    before, done, after = answer.json()
    assert before["data"]["viewer"]["portfolios"]["edges"] == []
    assert done == {"data": {"createPortfolio": {"portfolio": {"name": "New"}}}}
    assert after["data"]["viewer"]["portfolios"]["edges"] == [{"node": {"name": "New"}}]
    assert [each.status_code for each in (too_many, none, wrong)] == [400, 400, 400]
    assert the_error(too_many)["message"] == "There are 4 operations in the array: it has to have 1 to 3."


async def test_batch_when_only_events_are_acceptable_then_it_is_406_and_nothing_is_executed(
    having: Having, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    create = {"query": CREATE, "variables": {"input": {"name": "New"}}}
    async with having(batch_max=3) as client:
        answer = await post(client, [create], authorization=f"Bearer {token}", accept="text/event-stream")
        names = await client.data("{ viewer { portfolios { edges { node { name } } } } }", token=token)
    assert (answer.status_code, the_error(answer)["extensions"]["code"]) == (406, "NOT_ACCEPTABLE")
    assert names["viewer"]["portfolios"]["edges"] == []


# ---------------------------------------------------------------- what goes out


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [("gzip", True), ("br, gzip;q=0.5", True), ("*", True), ("gzip;q=0, *", False), ("br", False), ("", False)],
)
async def test_answer_when_it_is_large_then_it_is_compressed_for_who_takes_it_so(
    client: Client, accept_encoding: str, compressed: bool
) -> None:
    large = {"query": "{ __schema { types { name description } } }"}
    answer = await post(client, large, accept_encoding=accept_encoding)
    assert (answer.headers.get("content-encoding") == "gzip") is compressed
    assert len(answer.json()["data"]["__schema"]["types"]) > 50
    assert "content-encoding" not in (await post(client, TYPENAME, accept_encoding=accept_encoding)).headers


async def test_cors_when_an_origin_is_allowed_then_its_pages_may_ask_and_no_others(having: Having) -> None:
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization"}
    async with having(cors_origins=("https://app.example",)) as client:
        for origin, allowed in (("https://app.example", "https://app.example"), ("https://evil.example", None)):
            before = await client.http.options("/graphql", headers=asking | {"origin": origin})
            answer = await post(client, TYPENAME, origin=origin)
            assert before.headers.get("access-control-allow-origin") == allowed
            assert answer.headers.get("access-control-allow-origin") == allowed
            assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"origin": "https://evil.example"}, "Disallowed CORS origin."),
        ({"access-control-request-method": "DELETE"}, "Disallowed CORS method."),
        ({"access-control-request-headers": "x-other"}, "Disallowed CORS headers."),
    ],
)
async def test_cors_when_what_a_page_may_ask_is_refused_then_it_is_said_in_json(
    having: Having, changed: dict[str, str], said: str
) -> None:
    asking = {"origin": "https://app.example", "access-control-request-method": "POST"}
    async with having(cors_origins=("https://app.example",)) as client:
        answer = await client.http.options("/graphql", headers=asking | changed)
    assert (answer.status_code, answer.headers["content-type"]) == (400, f"{JSON}; charset=utf-8")
    assert (the_error(answer)["message"], answer.headers["vary"][:6]) == (said, "Origin")


@pytest.mark.parametrize(("allowed", "status"), [((), 400), (("traceparent",), 200), (("*",), 200)])
async def test_cors_when_a_page_sends_headers_of_its_own_then_it_may_if_they_are_named(
    having: Having, allowed: tuple[str, ...], status: int
) -> None:
    asking = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,traceparent"}
    async with having(cors_origins=("https://app.example",), cors_headers=allowed) as client:
        answer = await client.http.options("/graphql", headers=asking | {"origin": "https://app.example"})
    assert answer.status_code == status


async def test_cors_when_nothing_is_set_then_no_other_page_may_ask(client: Client) -> None:
    answer = await post(client, TYPENAME, origin="https://app.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("accept", [JSON, GRAPHQL])
async def test_refusal_when_it_is_for_now_then_the_answer_says_when_to_come_again(
    client: Client, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    async def throttled(*_args: Any) -> None:
        raise Throttled("Too many.", 1.2)

    monkeypatch.setattr("graph.wire.pipeline.Pipeline._executed", throttled)
    answer = await post(client, TYPENAME, accept=accept)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
