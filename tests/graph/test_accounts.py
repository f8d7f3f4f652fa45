from typing import Any
from uuid import UUID

import pytest

from graph.base import global_id
from infrastructure.services import Services
from models.enums import Role
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from tests.support.people import PASSWORD, anonymous, context_of, signed_up
from tests.support.wire import executed

AUTH = "{ user { email } accessToken refreshToken expiresAt errors { __typename code message path } }"
USER = """{
  id email firstName lastName role riskTolerance investmentGoal createdAt
  preferences { baseCurrency timezone notifyOnFill notifyOnRiskBreach notifyOnMarketAlert }
}"""
ADA = {
    "email": "ada@example.com",
    "firstName": "Ada",
    "lastName": "Lovelace",
    "role": "TRADER",
    "riskTolerance": "MODERATE",
    "investmentGoal": "BALANCED_GROWTH",
    "createdAt": "2026-01-05T14:30:00.000000Z",
    "preferences": {
        "baseCurrency": "USD",
        "timezone": "UTC",
        "notifyOnFill": True,
        "notifyOnRiskBreach": True,
        "notifyOnMarketAlert": True,
    },
}


async def answer(ctx: Context, query: str, **variables: Any) -> Any:
    result = await executed(ctx, query, variables)
    assert not result.errors
    assert result.data is not None
    return next(iter(result.data.values()))


async def refusal(ctx: Context, query: str, **variables: Any) -> dict[str, Any]:
    result = await executed(ctx, query, variables)
    (error,) = result.errors
    return {"message": error["message"], **error["extensions"]}


async def register(ctx: Context, **changes: Any) -> Any:
    given = {"email": "ada@example.com", "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace", **changes}
    return await answer(ctx, f"mutation ($input: RegisterInput!) {{ register(input: $input) {AUTH} }}", input=given)


async def test_register_when_done_then_the_token_is_the_viewers(services: Services) -> None:
    done = await register(anonymous(services), riskTolerance=None)
    assert done["user"] == {"email": "ada@example.com"}
    assert done["expiresAt"] == "2026-01-05T14:45:00.000000Z"
    assert done["errors"] == []
    refreshed = await answer(
        anonymous(services),
        f"mutation ($token: String!) {{ refreshToken(input: {{refreshToken: $token}}) {AUTH} }}",
        token=done["refreshToken"],
    )
    assert (refreshed["user"], refreshed["errors"]) == ({"email": "ada@example.com"}, [])
    assert refreshed["refreshToken"] != done["refreshToken"]


async def test_register_when_refused_then_every_fault_is_in_the_payload_and_nothing_else(services: Services) -> None:
    done = await register(anonymous(services), email="ada", firstName=" ")
    assert done == {
        "user": None,
        "accessToken": None,
        "refreshToken": None,
        "expiresAt": None,
        "errors": [
            {
                "__typename": "InputError",
                "code": "INVALID_INPUT",
                "message": "This is not an email address.",
                "path": ["input", "email"],
            },
            {
                "__typename": "InputError",
                "code": "INVALID_INPUT",
                "message": "A name has 1 to 100 characters.",
                "path": ["input", "firstName"],
            },
        ],
    }


async def test_login_when_the_password_is_wrong_then_the_payload_says_so_and_at_last_it_is_throttled(
    services: Services,
) -> None:
    await signed_up(services)
    login = (
        'mutation { login(input: {email: "ada@example.com", password: "wrong"}) { errors { __typename code path } } }'
    )
    for _ in range(5):
        done = await answer(anonymous(services), login)
        assert done == {"errors": [{"__typename": "RequestError", "code": "UNAUTHENTICATED", "path": ["input"]}]}
    throttled = await refusal(anonymous(services), login)
    assert (throttled["code"], throttled["message"]) == ("THROTTLED", "Too many tries to sign in.")
    assert 0 < throttled["retryAfterMs"] <= 120_000


async def test_viewer_when_asked_then_all_of_the_caller_is_shown_or_null(services: Services) -> None:
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    shown = {"id": global_id("User", signed_in.user.id), **ADA}
    assert await answer(ctx, f"{{ viewer {USER} }}") == shown
    assert await answer(ctx, f"query ($id: ID!) {{ user(id: $id) {USER} }}", id=shown["id"]) == shown
    assert await answer(anonymous(services), f"{{ viewer {USER} }}") is None


async def test_user_when_it_is_another_then_null_as_for_a_missing_one_and_shown_to_an_admin(
    services: Services,
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    query = "query ($id: ID!) { user(id: $id) { email } }"
    for user_id in (other.user.id, UUID(int=7)):
        for ctx in (await context_of(services, mine), anonymous(services)):
            assert await answer(ctx, query, id=global_id("User", user_id)) is None
    await grant_role(services, "ada@example.com", Role.ADMIN)
    ctx = await context_of(services, mine)
    assert await answer(ctx, query, id=global_id("User", other.user.id)) == {"email": "bob@example.com"}


@pytest.mark.parametrize("bad", ["", "x", global_id("Order", UUID(int=7)), global_id("User", 7)])
async def test_user_when_the_id_is_no_users_then_it_is_bad_input(services: Services, bad: str) -> None:
    ctx = await context_of(services, await signed_up(services))
    refused = await refusal(ctx, "query ($id: ID!) { user(id: $id) { email } }", id=bad)
    assert (refused["code"], refused["argument"]) == ("BAD_USER_INPUT", "id")


async def test_update_when_a_part_is_given_and_a_part_is_null_then_only_what_is_given_changes(
    services: Services,
) -> None:
    ctx = await context_of(services, await signed_up(services))
    done = await answer(
        ctx,
        """mutation { updateProfile(input: {lastName: "King", firstName: null}) {
             user { firstName lastName } errors { code } } }""",
    )
    assert done == {"user": {"firstName": "Ada", "lastName": "King"}, "errors": []}
    done = await answer(
        ctx,
        """mutation { updatePreferences(input: {timezone: "Europe/Berlin", notifyOnFill: false}) {
             user { lastName preferences { timezone notifyOnFill notifyOnRiskBreach } } errors { code } } }""",
    )
    preferences = {"timezone": "Europe/Berlin", "notifyOnFill": False, "notifyOnRiskBreach": True}
    assert done == {"user": {"lastName": "King", "preferences": preferences}, "errors": []}


@pytest.mark.parametrize(
    "mutation",
    [
        "logoutEverywhere",
        'changePassword(input: {currentPassword: "x", newPassword: "a new password"})',
        'updateProfile(input: {firstName: "Eve"})',
        'updatePreferences(input: {timezone: "UTC"})',
    ],
)
async def test_mutation_when_the_caller_is_anonymous_then_the_payload_refuses_it(
    services: Services, mutation: str
) -> None:
    done = await answer(anonymous(services), f"mutation {{ {mutation} {{ errors {{ __typename code }} }} }}")
    assert done == {"errors": [{"__typename": "RequestError", "code": "UNAUTHENTICATED"}]}


async def test_logout_when_the_token_is_any_then_the_answer_is_the_same(services: Services) -> None:
    signed_in = await signed_up(services)
    for token in (signed_in.refresh_token, signed_in.refresh_token, "unknown"):
        done = await answer(
            anonymous(services),
            "mutation ($token: String!) { logout(input: {refreshToken: $token}) { errors { code } } }",
            token=token,
        )
        assert done == {"errors": []}


async def test_password_when_changed_and_all_signed_out_then_only_the_new_one_lets_in(services: Services) -> None:
    ctx = await context_of(services, await signed_up(services))
    done = await answer(
        ctx,
        """mutation ($old: String!) { changePassword(input: {currentPassword: $old, newPassword: "another horse"}) {
             user { email } errors { code } } }""",
        old=PASSWORD,
    )
    assert done == {"user": {"email": "ada@example.com"}, "errors": []}
    assert await answer(ctx, "mutation { logoutEverywhere { errors { code } } }") == {"errors": []}
    login = f'mutation ($with: String!) {{ login(input: {{email: "ada@example.com", password: $with}}) {AUTH} }}'
    assert (await answer(anonymous(services), login, **{"with": PASSWORD}))["user"] is None
    assert (await answer(anonymous(services), login, **{"with": "another horse"}))["errors"] == []


async def test_user_when_their_portfolios_and_orders_are_asked_for_then_only_the_owner_has_them(
    services: Services,
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    for signed_in in (mine, other):
        create = 'mutation { createPortfolio(input: {name: "Growth"}) { portfolio { owner { email } } } }'
        done = await answer(await context_of(services, signed_in), create)
        assert done == {"portfolio": {"owner": {"email": signed_in.user.email}}}
    await grant_role(services, "ada@example.com", Role.ADMIN)
    ctx = await context_of(services, mine)
    query = "query ($id: ID!) { user(id: $id) { portfolios { edges { node { name } } } orders { totalCount } } }"
    shown = {"portfolios": {"edges": [{"node": {"name": "Growth"}}]}, "orders": {"totalCount": 0}}
    assert await answer(ctx, query, id=global_id("User", mine.user.id)) == shown
    nothing = {"portfolios": {"edges": []}, "orders": {"totalCount": 0}}
    assert await answer(ctx, query, id=global_id("User", other.user.id)) == nothing


async def test_login_when_the_answer_asks_for_more_of_the_user_then_it_is_asked_by_them(services: Services) -> None:
    await signed_up(services)
    found = await answer(
        anonymous(services),
        'mutation { login(input: { email: "ada@example.com", password: "correct horse" }) '
        "{ user { email portfolios { edges { cursor } } orders { totalCount } } errors { code } } }",
    )
    assert found == {
        "user": {"email": "ada@example.com", "portfolios": {"edges": []}, "orders": {"totalCount": 0}},
        "errors": [],
    }
