"""What is sent to make the server work for nothing is refused in little time, with a clear error; it is well after."""

import functools
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from graphql import parse

from infrastructure.services import Services
from tests.graph.cost.conftest import Limited
from tests.support.log_race import whole_log
from tests.support.people import PASSWORD, signed_up
from tests.support.wire import Client

CPU_S_MAX = 0.05
JSON = "application/json"
NODES = "{{ nodes(ids: [{}]) {{ id }} }}"
SKIPS = "id @skip(if: false) "
DEEP = "{{ viewer {} {{ id }} {} }}"
VIEWER = "{ viewer { id } }"
LOGIN = 'login(input: {email: "ada@example.com", password: "wrong"}) { accessToken errors { code } }'

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
async def client(limited: Limited, services: Services) -> AsyncIterator[Client]:
    await signed_up(services)
    async with limited() as client:
        await client.data(VIEWER)  # what is made at the first request is no part of an attack
        yield client


def of(document: str, **variables: Any) -> bytes:
    return orjson.dumps({"query": document, "variables": variables or None})


def bomb(levels: int, fields: str) -> str:
    """Each fragment spreads the next one twice: 2 to the power of the levels, if it were spread out."""
    parts = [f"fragment F{n} on User {{ {fields.replace('…', f'...F{n + 1}')} }}" for n in range(levels)]
    return f"{{ viewer {{ ...F0 }} }} {' '.join(parts)} fragment F{levels} on User {{ id }}"


ATTACKS: dict[str, tuple[bytes, str | None]] = {
    "10,000 aliases": (of("{ " + " ".join(f"a{n}: now" for n in range(10_000)) + " }"), "GRAPHQL_PARSE_FAILED"),
    "600 aliases": (of("{ viewer { " + " ".join(f"a{n}: id" for n in range(600)) + " } }"), "TOO_COMPLEX"),
    "a fragment bomb of one level": (of(bomb(200, "… …")), None),  # it comes to one field
    "a fragment bomb in depth": (
        of(bomb(25, "a: portfolios(first: 1) { edges { node { owner { … } } } } b: preferences { timezone } …")),
        "TOO_COMPLEX",
    ),
    "a fragment bomb of aliases": (of(bomb(40, "a: id b: id … …")), None),
    "a cycle of fragments": (
        of("{ viewer { ...A } } fragment A on User { ...B } fragment B on User { ...A }"),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "lists in lists": (
        of("{ orders(first: 100) { edges { node { fills(first: 100) { edges { node { id } } } } } } }"),
        "COST_EXCEEDED",
    ),
    "40 fields deep": (of(DEEP.format("{ portfolios { edges { node { owner " * 10, " } } } }" * 10)), "TOO_COMPLEX"),
    "200 fields deep": (
        of(DEEP.format("{ portfolios { edges { node { owner " * 50, " } } } }" * 50)), "GRAPHQL_PARSE_FAILED"
    ),
    "introspection round and round": (
        of("{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"),
        "GRAPHQL_VALIDATION_FAILED",
    ),
    "21 logins in one document": (
        of("mutation { " + " ".join(f"l{n}: {LOGIN}" for n in range(21)) + " }"), "TOO_COMPLEX"
    ),
    "logins in an array": (orjson.dumps([{"query": f"mutation {{ {LOGIN} }}"}] * 100), "BAD_USER_INPUT"),
    "51 directives": (of(f"{{ a: viewer {{ {SKIPS * 26} }} b: viewer {{ {SKIPS * 25} }} }}"), "TOO_COMPLEX"),
    "a list of 10,000 in the variables": (
        of("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x"] * 10_000), "TOO_COMPLEX"
    ),
    "a list of 1,900 in the document": (of(NODES.format('"x" ' * 1900)), "TOO_COMPLEX"),
    "a list of 1,900 as a default": (
        of("query ($ids: [ID!]! = [" + '"x" ' * 1900 + "]) { nodes(ids: $ids) { id } }"), "TOO_COMPLEX"
    ),
    "pages of a million": (of("{ instruments(first: 1000000) { edges { node { symbol } } } }"), "BAD_USER_INPUT"),
    "as many tokens as fit into a body": (of("{ " + "a " * 32_000 + "}"), "GRAPHQL_PARSE_FAILED"),
    "a million tokens": (of("{ " + "a " * 1_000_000 + "}"), "PAYLOAD_TOO_LARGE"),
    "JSON 20,000 deep": (
        b'{"query":"{viewer{id}}","variables":{"a":' + b"[" * 20_000 + b"]" * 20_000 + b"}}", "BAD_USER_INPUT"
    ),
    "JSON 1,000 deep": (
        b'{"query":"{viewer{id}}","variables":{"a":' + b"[" * 1000 + b"]" * 1000 + b"}}", "BAD_USER_INPUT"
    ),
    "NaN": (b'{"query":"{viewer{id}}","variables":{"a":NaN}}', "BAD_USER_INPUT"),
}  # fmt: skip


async def cpu_s(send: Callable[[], Any]) -> tuple[httpx.Response, float]:
    began = time.process_time()
    response = await send()
    return response, time.process_time() - began


@pytest.mark.parametrize("name", ATTACKS)
async def test_attack_when_sent_then_it_is_refused_in_little_time_and_the_server_is_well(
    client: Client, name: str
) -> None:
    body, code = ATTACKS[name]
    send = lambda: client.http.post("/graphql", content=body, headers={"content-type": JSON})  # noqa: E731 - reason: named for what it does
    tries = [await cpu_s(send) for _ in range(3)]
    assert min(spent for _, spent in tries) < CPU_S_MAX
    for response, _ in tries:
        assert response.status_code < 500
        answer = response.json()
        if code is not None:
            assert {error["extensions"]["code"] for error in answer["errors"]} == {code}
            assert all(error["message"] for error in answer["errors"])
            assert not answer.get("data")
        assert len(response.content) < 16 * 1024
    assert (await client.data(VIEWER)) == {"viewer": None}


@pytest.mark.parametrize(("said", "read_max"), [({}, 10), ({"content-length": str(1600 * 65_536)}, 0)])
async def test_attack_when_a_hundred_megabytes_are_sent_then_they_are_not_read(
    client: Client, said: dict[str, str], read_max: int
) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1600):
            sent += 1
            yield b" " * 65_536

    headers = {"content-type": JSON} | said
    response, spent = await cpu_s(lambda: client.http.post("/graphql", content=chunks(), headers=headers))
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (413, "PAYLOAD_TOO_LARGE")
    assert sent <= read_max
    assert spent < CPU_S_MAX
    assert (await client.data(VIEWER)) == {"viewer": None}


async def test_attack_when_a_mutation_comes_by_get_then_nothing_is_done(limited: Limited, services: Services) -> None:
    await signed_up(services)
    before = len(await whole_log(services.database))
    good = LOGIN.replace("wrong", PASSWORD)
    async with limited(get_queries=True) as client:
        await client.data(VIEWER)
        response, spent = await cpu_s(lambda: client.http.get("/graphql", params={"query": f"mutation {{ {good} }}"}))
        [error] = response.json()["errors"]
        assert (response.status_code, response.headers["allow"]) == (405, "POST, OPTIONS")
        assert error["message"] == "Only queries come by GET, and subscriptions as events: send a POST."
        assert spent < CPU_S_MAX
        assert len(await whole_log(services.database)) == before
        assert (await client.data(VIEWER)) == {"viewer": None}


async def test_attack_when_logins_come_as_a_batch_then_five_are_tried(limited: Limited, services: Services) -> None:
    await signed_up(services)
    before = len(await whole_log(services.database))
    async with limited(batch_max=100) as client:
        batch = [{"query": f"mutation {{ {LOGIN} }}"}] * 100
        response = await client.http.post("/graphql", json=batch)
        errors = [answer.get("errors", []) for answer in response.json()]
        codes = [[error["extensions"]["code"] for error in each] for each in errors]
        assert codes == [[]] * 5 + [["THROTTLED"]] * 95
        assert len(await whole_log(services.database)) == before
        assert (await client.data(VIEWER)) == {"viewer": None}


async def test_attack_when_each_request_says_it_comes_from_elsewhere_then_all_are_of_one_budget(
    limited: Limited,
) -> None:
    small = {"limit_anonymous_points": 10, "limit_anonymous_restore": 0, "cost_operation_max": 10}
    async with limited(**small) as client:

        async def from_(address: str) -> httpx.Response:
            headers = {"X-Forwarded-For": address, "Forwarded": f"for={address}", "X-Real-IP": address}
            return await client.http.post("/graphql", json={"query": VIEWER}, headers=headers)

        tries = [await cpu_s(functools.partial(from_, f"10.9.{n}.1")) for n in range(100)]
        assert [response.status_code for response, _ in tries] == [200] * 10 + [429] * 90
        assert tries[-1][0].json()["errors"][0]["extensions"]["code"] == "THROTTLED"
        assert sum(spent for _, spent in tries) / len(tries) < CPU_S_MAX


async def test_attack_when_passwords_are_guessed_twenty_at_a_time_then_five_are_tried(client: Client) -> None:
    document = "mutation { " + " ".join(f"l{n}: {LOGIN}" for n in range(20)) + " }"
    answer = await client.execute(document)
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["THROTTLED"]
    assert answer["data"] is None


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The documents that were looked at."""
    seen: list[str] = []

    def counting(text: str, **options: Any) -> Any:
        seen.append(text)
        return parse(text, **options)

    monkeypatch.setattr("graph.wire.documents.parse", counting)
    return seen


async def test_attack_when_bad_documents_come_until_nothing_is_left_then_they_are_not_looked_at(
    limited: Limited, parsed: list[str]
) -> None:
    small = {"limit_anonymous_points": 50, "limit_anonymous_restore": 1, "cost_operation_max": 25}
    async with limited(**small) as client:
        answers = [await client.execute("{ x" + str(n) + " }") for n in range(100)]
        codes = [answer["errors"][0]["extensions"]["code"] for answer in answers]
        assert codes == ["GRAPHQL_VALIDATION_FAILED"] * 5 + ["THROTTLED"] * 95
        assert answers[0]["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"] == 40
        assert len(parsed) == 6


async def test_attack_when_ever_new_documents_are_throttled_then_that_costs_and_ends_and_a_known_one_is_free(
    limited: Limited, parsed: list[str]
) -> None:
    small = {"limit_anonymous_points": 55, "limit_anonymous_restore": 1, "cost_operation_max": 1000}
    dear = "instruments(first: 100) { edges { node { symbol } } }"
    async with limited(**small) as client:
        answers = [await client.execute("{ x" + str(n) + ": " + dear + " }") for n in range(20)]
        assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"THROTTLED"}
        assert len(parsed) == 6
        left = [_left(await client.execute("{ x0: " + dear + " }")) for _ in range(3)]
        assert left == sorted(left)
        assert len(parsed) == 6


def _left(answer: dict[str, Any]) -> int:
    return int(answer["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"])
