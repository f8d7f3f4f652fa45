from typing import Any

from graph.base import global_id
from graph.schema import build_schema
from infrastructure.services import Services
from models.enums import Role
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from tests.support.people import ADDRESS, anonymous, context_of, signed_up
from tests.support.wire import executed

SCHEMA = build_schema()
STATISTICS = """
{ cacheStatistics { entries bytes evicted kinds { name memory redis loaded passed stale entries bytes evicted } } }
"""
PORTFOLIOS = "{ viewer { portfolios { edges { node { id } } } } }"
ME = "query ($id: ID!) { user(id: $id) { email } }"


async def answer(ctx: Context, query: str, **variables: Any) -> Any:
    result = await SCHEMA.execute(query, variables, Context(ctx.services, ctx.viewer, ADDRESS, 0))
    assert result.errors is None
    return result.data


async def test_statistics_when_an_admin_asks_then_each_kind_says_what_became_of_it(services: Services) -> None:
    signed_in = await signed_up(services)
    await grant_role(services, "ada@example.com", Role.ADMIN)
    ada = await context_of(services, signed_in)
    await services.relay.reached(ada.signed_in().seen)
    for _ in range(3):
        await answer(ada, ME, id=global_id("User", ada.owner_id))
    await answer(ada, PORTFOLIOS)

    found = (await answer(ada, STATISTICS))["cacheStatistics"]

    sizes = [kind.pop("bytes") for kind in found["kinds"]]
    nothing = {"memory": 0, "redis": 0, "loaded": 0, "passed": 0, "stale": 0, "entries": 0, "evicted": 0}
    assert found == {
        "entries": 2,
        "bytes": sum(sizes),
        "evicted": 0,
        "kinds": [
            nothing | {"name": "portfolios by owner_id, ascending created_at", "loaded": 1, "entries": 1},
            nothing | {"name": "users by id", "memory": 2, "loaded": 1, "entries": 1},
        ],
    }
    assert min(sizes) > 100


async def test_statistics_when_anybody_else_asks_then_they_are_refused(services: Services) -> None:
    ada = await context_of(services, await signed_up(services))
    for ctx, code in ((ada, "FORBIDDEN"), (anonymous(services), "UNAUTHENTICATED")):
        result = await executed(ctx, STATISTICS)
        assert result.data is None
        assert [error["extensions"]["code"] for error in result.errors] == [code]
