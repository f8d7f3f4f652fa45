from typing import Any
from uuid import uuid4

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import ApiScope
from resolvers.accounts.commands import create_api_key, revoke_api_key
from resolvers.context import Context
from tests.support.clock import ManualClock
from tests.support.people import context_of, events_of, signed_up
from tests.support.wire import Client, socket_to

KEY = "{ id name prefix scopes createdAt lastUsedAt revokedAt }"
CREATE = f"""mutation ($name: String!, $scopes: [ApiScope!]!) {{
  createApiKey(input: {{name: $name, scopes: $scopes}}) {{
    apiKey {KEY} secret errors {{ __typename code message path }} }} }}"""
REVOKE = f"""mutation ($id: ID!) {{
  revokeApiKey(input: {{apiKeyId: $id}}) {{ apiKey {KEY} secret errors {{ __typename code message path }} }} }}"""
VIEWER = "{ viewer { email } }"
ADA = {"viewer": {"email": "ada@example.com"}}
ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def robot(services: Services, *scopes: ApiScope) -> tuple[Context, Any]:
    """A user, and a key of theirs."""
    ctx = await context_of(services, await signed_up(services))
    return ctx, await create_api_key(ctx, "Robot", scopes or [ApiScope.READ])


async def test_key_when_made_used_and_revoked_then_each_answer_shows_it_as_it_is(
    client: Client, services: Services, clock: ManualClock
) -> None:
    token = (await signed_up(services)).access_token
    made = (await client.data(CREATE, {"name": "Robot", "scopes": ["TRADE", "READ"]}, token))["createApiKey"]
    key = {
        "id": made["apiKey"]["id"],
        "name": "Robot",
        "prefix": made["secret"][:11],
        "scopes": ["READ", "TRADE"],
        "createdAt": "2026-01-05T14:30:00.000000Z",
        "lastUsedAt": None,
        "revokedAt": None,
    }
    assert (made["apiKey"], made["errors"]) == (key, [])

    clock.advance(seconds=90)
    assert await client.data(VIEWER, token=made["secret"]) == ADA
    await services.key_uses.write()
    key["lastUsedAt"] = "2026-01-05T14:31:30.000000Z"
    shown = await client.data(f"{{ viewer {{ apiKeys {KEY} }} }}", token=token)
    assert shown == {"viewer": {"apiKeys": [key]}}

    key["revokedAt"] = "2026-01-05T14:31:30.000000Z"
    for _ in range(2):
        answer = (await client.data(REVOKE, {"id": key["id"]}, token))["revokeApiKey"]
        assert answer == {"apiKey": key, "secret": None, "errors": []}
    query = f"query ($id: ID!) {{ node(id: $id) {{ __typename ... on ApiKey {KEY} }} }}"
    assert await client.data(query, {"id": key["id"]}, token) == {"node": {"__typename": "ApiKey", **key}}
    refused = await client.post(VIEWER, token=made["secret"])
    assert refused.status_code == 401
    assert refused.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "REVOKED"}


@ON_SQLITE
async def test_key_when_the_input_is_wrong_then_the_payload_says_where(client: Client, services: Services) -> None:
    token = (await signed_up(services)).access_token
    answer = (await client.data(CREATE, {"name": " ", "scopes": []}, token))["createApiKey"]
    assert (answer["apiKey"], answer["secret"]) == (None, None)
    assert [(each["__typename"], each["path"]) for each in answer["errors"]] == [
        ("InputError", ["input", "name"]),
        ("InputError", ["input", "scopes"]),
    ]


async def test_key_when_it_is_someone_elses_then_the_answers_are_those_for_a_missing_one(
    client: Client, services: Services
) -> None:
    _, theirs = await robot(services)
    token = (await signed_up(services, "bob@example.com")).access_token
    for query in (REVOKE, "query ($id: ID!) { node(id: $id) { id } }"):
        answers = [
            (await client.post(query, {"id": global_id("ApiKey", key_id)}, token)).content
            for key_id in (theirs.key.id, uuid4())
        ]
        assert answers[0] == answers[1]
    assert await client.data(VIEWER, token=theirs.secret) == ADA


@ON_SQLITE
async def test_key_when_sent_in_either_header_then_it_is_its_user_and_with_both_nobody(
    client: Client, services: Services
) -> None:
    _, made = await robot(services)
    assert (await client.post(VIEWER, **{"X-API-Key": made.secret})).json() == {"data": ADA}
    assert (await client.post(VIEWER, Authorization=f"Bearer {made.secret}")).json() == {"data": ADA}
    for headers in ({"X-API-Key": made.secret, "Authorization": f"Bearer {made.secret}"}, {"X-API-Key": "tg_x"}):
        refused = await client.post(VIEWER, **headers)
        assert refused.status_code == 401
        assert refused.json()["errors"][0]["extensions"] == {"code": "UNAUTHENTICATED", "reason": "INVALID"}


@ON_SQLITE
async def test_key_when_it_lacks_the_scope_then_the_payload_refuses_and_nothing_is_written(
    client: Client, services: Services
) -> None:
    ctx, made = await robot(services)
    before = len(await events_of(services, ctx.owner_id))
    create = """mutation { createPortfolio(input: {name: "Growth"}) {
      portfolio { id } errors { __typename code message } } }"""
    assert await client.data(create, token=made.secret) == {
        "createPortfolio": {
            "portfolio": None,
            "errors": [{"__typename": "RequestError", "code": "FORBIDDEN", "message": "This needs the scope TRADE."}],
        }
    }
    assert len(await events_of(services, ctx.owner_id)) == before


@pytest.mark.parametrize(("name", "said"), [("Authorization", "Bearer {}"), ("X-API-Key", "{}"), ("x-api-key", "{}")])
@ON_SQLITE
async def test_socket_when_a_key_is_sent_at_its_beginning_then_it_is_its_user_until_the_key_is_revoked(
    server: str, services: Services, name: str, said: str
) -> None:
    ctx, made = await robot(services)
    async with socket_to(server) as socket:
        await socket.init(**{name: said.format(made.secret)})
        assert await socket.execute(VIEWER) == {"data": ADA}
        await socket.start("orders", "subscription { orderEvents { cursor } }")
        await revoke_api_key(ctx, made.key.id)
        code, reason = await socket.closed()
    assert code == 4401
    assert (reason or "").startswith("REVOKED")


@ON_SQLITE
async def test_socket_when_the_key_is_none_then_it_is_closed(server: str) -> None:
    async with socket_to(server) as socket:
        await socket.send({"type": "connection_init", "payload": {"X-API-Key": "tg_" + "a" * 43}})
        code, reason = await socket.closed()
    assert (code, reason) == (4403, "INVALID: The API key is not valid.")


async def test_sign_in_when_it_comes_over_http_then_its_event_has_address_and_client(
    client: Client,
) -> None:
    login = """mutation { register(input: {email: "ada@example.com", password: "correct horse", firstName: "Ada",
               lastName: "Lovelace"}) { user { id } accessToken } }"""
    client.http.headers["User-Agent"] = "Trader/1.0 " + "x" * 300
    done = (await client.post(login)).json()["data"]["register"]
    query = "{ events(filter: {types: [SESSION_STARTED]}) { edges { node { payload } } } }"
    [edge] = (await client.data(query, token=done["accessToken"]))["events"]["edges"]
    payload = edge["node"]["payload"]
    assert payload["address"] == "127.0.0.1"
    assert payload["client"] == "Trader/1.0 " + "x" * 245
    assert payload["session"]["userId"] == done["user"]["id"]


async def test_key_when_its_events_are_read_then_their_ids_are_those_of_the_api(
    client: Client, services: Services
) -> None:
    ctx, made = await robot(services)
    query = """{ events(filter: {aggregateType: "ApiKey"}) { edges { node { type aggregateId version payload } } } }"""
    [edge] = (await client.data(query, token=made.secret))["events"]["edges"]
    assert edge["node"] == {
        "type": "API_KEY_CREATED",
        "aggregateId": global_id("ApiKey", made.key.id),
        "version": 1,
        "payload": {
            "apiKey": {
                "id": global_id("ApiKey", made.key.id),
                "userId": global_id("User", ctx.owner_id),
                "name": "Robot",
                "prefix": made.key.prefix,
                "scopes": ["READ"],
                "createdAt": "2026-01-05T14:30:00.000000Z",
                "lastUsedAt": None,
                "revokedAt": None,
            }
        },
    }
