"""What a client sees of its budget, over HTTP."""

import re
from decimal import Decimal
from typing import Any

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import ApiScope
from resolvers.accounts.commands import create_api_key
from resolvers.portfolios.commands import create_portfolio
from tests.graph.cost.conftest import Limited
from tests.support.market import Trader
from tests.support.people import PASSWORD, context_of, signed_up
from tests.support.wire import Client

VIEWER = "{ viewer { id } }"
ORDERS = "query ($n: Int) { orders(first: $n) { edges { node { id } } } }"
DEPOSIT = 'mutation {{ depositCash(input: {{portfolioId: "{}", amount: "1"}}) {{ portfolio {{ cash }} }} }}'


async def a_trader(services: Services) -> tuple[str, Trader]:
    """An access token, and whose it is; with 100 in cash."""
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio = (await create_portfolio(ctx, "Main", None, Decimal(100))).value
    return signed_in.access_token, Trader(ctx, portfolio.id)


async def cash(trader: Trader) -> Decimal:
    return (await trader.portfolio()).cash


def status(most: int, left: int, rate: float = 500) -> dict[str, Any]:
    return {"maximumAvailable": most, "currentlyAvailable": left, "restoreRate": rate}


async def cost(client: Client, query: str, token: str | None = None, **variables: Any) -> Any:
    return (await client.execute(query, variables, token))["extensions"]["cost"]


async def test_answer_when_less_came_than_could_then_the_rest_is_given_back_and_it_says_so(
    limited: Limited, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    async with limited() as client:
        response = await client.post(ORDERS, {"n": 100}, token)
        answer = response.json()
        assert answer["data"] == {"orders": {"edges": []}}
        assert answer["extensions"]["cost"] == {
            "requestedQueryCost": 101,
            "actualQueryCost": 1,
            "throttleStatus": status(10_000, 9_999),
        }
        assert response.headers["ratelimit-policy"] == '"user";q=10000;w=20, "address";q=100000;w=20'
        assert response.headers["ratelimit"] == '"user";r=9999;t=1, "address";r=99999;t=1'
        assert "retry-after" not in response.headers


async def test_rate_limit_when_asked_then_it_says_what_is_left_with_itself_paid_for(
    limited: Limited, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    async with limited() as client:
        shown = await client.data("{ rateLimit { limit remaining used restoreRate resetAt } }", token=token)
        assert shown["rateLimit"].pop("resetAt").startswith("2026-01-05T14:30:00.0")
        assert shown["rateLimit"] == {"limit": 10_000, "remaining": 9_999, "used": 1, "restoreRate": 500.0}


async def test_operation_when_the_budget_is_spent_then_it_is_429_with_when_to_come_again(
    limited: Limited, services: Services
) -> None:
    token, trader = await a_trader(services)
    portfolio = global_id("Portfolio", trader.portfolio_id)
    small = {"limit_user_points": 15, "limit_user_restore": 1, "cost_operation_max": 15}
    async with limited(**small) as client:
        assert (await client.post(DEPOSIT.format(portfolio), token=token)).status_code == 200
        refused = await client.post(DEPOSIT.format(portfolio), token=token)
        assert refused.status_code == 429
        (error,) = refused.json()["errors"]
        assert re.fullmatch(
            r"Too much at once: this costs 11 points, and \d are left of 15; 1 come back each second.", error["message"]
        )
        assert error["extensions"]["code"] == "THROTTLED"
        assert 4_000 < error["extensions"]["retryAfterMs"] <= 7_000
        assert 5 <= int(refused.headers["retry-after"]) <= 7
        assert "data" not in refused.json()
        assert refused.json()["extensions"]["cost"]["actualQueryCost"] is None
        assert await cost(client, VIEWER, token) == {
            "requestedQueryCost": 1,
            "actualQueryCost": 1,
            "throttleStatus": status(15, 3, 1),
        }
    assert await cash(trader) == 101


async def test_operation_when_it_is_too_costly_then_it_is_paid_as_a_refusal(
    limited: Limited, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    dear = "{ orders(first: 100) { edges { node { fills(first: 100) { edges { node { id } } } } } } }"
    async with limited() as client:
        refused = await client.execute(dear, token=token)
        assert refused["errors"][0]["extensions"]["code"] == "COST_EXCEEDED"
        assert refused["errors"][0]["extensions"]["pageSizeThatFits"] == 69
        assert refused["extensions"]["cost"]["requestedQueryCost"] == 10_201
        assert refused["extensions"]["cost"]["actualQueryCost"] == 10
        assert refused["extensions"]["cost"]["throttleStatus"] == status(10_000, 9_990)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"query": "{"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ x }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": VIEWER, "operationName": "Other"}, "UNKNOWN_OPERATION"),
        ({"query": ORDERS, "variables": {"n": "x"}}, "BAD_USER_INPUT"),
        ({"query": "{ viewer { " + " ".join(f"a{n}: id" for n in range(31)) + " } }"}, "TOO_COMPLEX"),
        ({"query": "{ __schema { queryType { name } } }"}, "FORBIDDEN"),
    ],
)
async def test_document_when_it_was_looked_at_and_refused_then_that_is_paid(
    limited: Limited, body: dict[str, Any], code: str
) -> None:
    async with limited(introspection="off") as client:
        answer = (await client.http.post("/graphql", json=body)).json()
        assert answer["errors"][0]["extensions"]["code"] == code
        assert answer["extensions"]["cost"] == {
            "requestedQueryCost": 10,
            "actualQueryCost": 10,
            "throttleStatus": status(10_000, 9_990),
        }


async def test_refusals_when_one_has_spent_everything_then_who_is_signed_in_at_the_same_address_is_still_heard(
    limited: Limited, services: Services
) -> None:
    token = (await signed_up(services)).access_token
    small = {"limit_anonymous_points": 25, "limit_anonymous_restore": 1, "cost_operation_max": 25}
    async with limited(**small) as client:
        refused = [await client.execute(f"{{ x{number} }}") for number in range(3)]
        assert refused[-1]["errors"][0]["extensions"]["code"] == "THROTTLED"
        assert (await client.execute(VIEWER))["errors"][0]["extensions"]["code"] == "THROTTLED"
        assert "errors" not in await client.execute(VIEWER, token=token)


async def test_operation_when_a_field_fails_then_nothing_is_given_back(limited: Limited, services: Services) -> None:
    token = (await signed_up(services)).access_token
    async with limited() as client:
        answer = await client.execute(
            '{ order(id: "x") { id } orders(first: 40) { edges { node { id } } } }', token=token
        )
        assert answer["errors"]
        spent = answer["extensions"]["cost"]
        assert (spent["requestedQueryCost"], spent["actualQueryCost"]) == (42, 42)


async def test_commands_when_a_class_is_used_up_then_the_others_and_cancels_still_pass(
    limited: Limited, services: Services
) -> None:
    token, trader = await a_trader(services)
    portfolio = global_id("Portfolio", trader.portfolio_id)
    deposit = DEPOSIT.format(portfolio)
    cancel = f'mutation {{ cancelAllOrders(input: {{portfolioId: "{portfolio}"}}) {{ errors {{ message }} }} }}'
    async with limited(limit_portfolio_operations="2/hour", limit_trading_operations="1/hour") as client:
        answers = [await client.post(deposit, token=token) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert '"portfolios";q=2;w=3600' in answers[0].headers["ratelimit-policy"]
        (error,) = answers[2].json()["errors"]
        assert error["message"] == "Too many operations on portfolios: there may be 2 in 3600 seconds."
        cancels = [await client.post(cancel, token=token) for _ in range(3)]
        assert [answer.status_code for answer in cancels] == [200, 200, 200]
        assert (await client.post(VIEWER, token=token)).status_code == 200
    assert await cash(trader) == 102


async def test_commands_when_many_are_in_one_document_then_each_counts(limited: Limited, services: Services) -> None:
    token, trader = await a_trader(services)
    asked = f'depositCash(input: {{portfolioId: "{global_id("Portfolio", trader.portfolio_id)}", amount: "1"}})'
    both = f"mutation {{ a: {asked} {{ portfolio {{ cash }} }} b: {asked} {{ portfolio {{ cash }} }} }}"
    async with limited(limit_portfolio_operations="3/hour") as client:
        assert [(await client.post(both, token=token)).status_code for _ in range(2)] == [200, 429]
    assert await cash(trader) == 102


async def test_budget_when_callers_differ_then_each_has_its_own_and_a_key_spends_its_users(
    limited: Limited, services: Services
) -> None:
    ada, bob = await signed_up(services), await signed_up(services, "bob@example.com")
    ctx = await context_of(services, ada)
    key = (await create_api_key(ctx, "robot", [ApiScope.READ])).secret
    async with limited(limit_key_points=6_000) as client:
        assert (await cost(client, VIEWER, ada.access_token))["throttleStatus"] == status(10_000, 9_999)
        assert (await cost(client, VIEWER, bob.access_token))["throttleStatus"] == status(10_000, 9_999)
        assert (await cost(client, VIEWER))["throttleStatus"] == status(10_000, 9_999)
        assert (await cost(client, VIEWER, key))["throttleStatus"] == status(6_000, 5_999)
        assert (await cost(client, ORDERS, ada.access_token))["throttleStatus"]["currentlyAvailable"] in range(
            9_997, 10_000
        )


@pytest.mark.parametrize("trusted", [(), ("127.0.0.1",)])
async def test_address_when_a_header_names_another_then_it_is_believed_from_a_trusted_proxy_only(
    limited: Limited, trusted: tuple[str, ...]
) -> None:
    small = {"limit_anonymous_points": 10, "limit_anonymous_restore": 1, "cost_operation_max": 10}
    async with limited(**small, trusted_proxies=trusted) as client:

        async def left(*hops: str) -> int:
            shown = await client.http.post(
                "/graphql", json={"query": VIEWER}, headers={"X-Forwarded-For": ", ".join(hops)}
            )
            return int(shown.json()["extensions"]["cost"]["throttleStatus"]["currentlyAvailable"])

        assert [await left("10.9.9.1"), await left("10.9.9.2"), await left("10.9.9.3")] == (
            [9, 9, 9] if trusted else [9, 8, 7]
        )
        # What a client wrote in front of what the proxy saw is not believed.
        assert await left("10.7.7.7", "10.9.9.1") == (8 if trusted else 6)


async def test_login_when_throttled_then_the_operation_itself_is_answered(limited: Limited, services: Services) -> None:
    await signed_up(services)
    login = f'mutation {{ login(input: {{email: "ada@example.com", password: "{PASSWORD}"}}) {{ accessToken }} }}'
    async with limited() as client:
        answers = [await client.execute(login) for _ in range(6)]
        assert [("errors" in answer) for answer in answers] == [False] * 5 + [True]
        assert answers[5]["errors"][0]["extensions"]["code"] == "THROTTLED"
