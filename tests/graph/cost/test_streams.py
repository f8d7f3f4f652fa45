"""A subscription pays for its events in blocks, and waits when nothing is left."""

import asyncio
import dataclasses

import pytest

from graph.cost.guard import EVENTS, CostGuard, Paid
from graph.wire.answers import Answer
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from infrastructure.budgets.limiter import Limiter
from infrastructure.budgets.rates import Rates
from infrastructure.redis import Redis
from infrastructure.services import Services
from infrastructure.settings import Settings
from resolvers.budgets import budgets, tightest
from tests.graph.cost.conftest import Limited
from tests.graph.cost.measure import SCHEMA
from tests.support.people import anonymous

EVENTS_OF_ALL = "subscription { events { cursor } }"
WITH_PAGES = "subscription { orderEvents { order { fills(first: 2) { edges { node { id } } } } } }"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


async def paid(services: Services, document: str, limiter: Limiter) -> Paid:
    """An admitted subscription of somebody with 100 points, none of which come back by themselves."""
    more = {"limits": True, "cost_operation_max": 50, "limit_anonymous_points": 100, "limit_anonymous_restore": 100}
    settings = services.settings.model_copy(update=more)
    own = dataclasses.replace(services, settings=settings, rates=Rates(settings), limiter=limiter)
    guard, ctx = CostGuard(SCHEMA, settings), anonymous(own)
    admitted = await guard.admit(Pipeline(SCHEMA, settings, guard).prepare(GraphQLRequest(document), ctx), ctx)
    assert isinstance(admitted, Paid)
    return admitted


async def left(admitted: Paid) -> float:
    return tightest(await budgets(admitted.ctx)).remaining


async def test_subscription_when_it_begins_then_it_pays_ten_and_then_one_for_each_ten_events(
    services: Services,
) -> None:
    admitted = await paid(services, EVENTS_OF_ALL, Limiter(services.clock, now=lambda: 1.0))
    assert await left(admitted) == 90
    for _ in range(2 * EVENTS + 1):
        await admitted.delivered(Answer())
    assert await left(admitted) == 87
    await admitted.settle(None)
    assert await left(admitted) == 87


async def test_subscription_when_nothing_is_left_then_it_waits_and_loses_nothing(services: Services) -> None:
    now = 1.0
    admitted = await paid(services, WITH_PAGES, Limiter(services.clock, now=lambda: now))
    assert await left(admitted) == 86  # 10, an order, a page, two fills
    for _ in range(2 * EVENTS):
        await admitted.delivered(Answer())  # 1 and ten times a page with two fills: 31 for ten events
    assert await left(admitted) == 24
    held = asyncio.create_task(admitted.delivered(Answer()))
    await asyncio.sleep(0)
    assert not held.done()
    now = 2.0
    await held
    assert await left(admitted) == 69


async def test_subscription_when_budgets_are_on_redis_then_it_pays_beside_what_goes_out(
    services: Services, redis_url: str
) -> None:
    redis = Redis(Settings(redis_url=redis_url, redis_timeout_ms=5000))
    admitted = await paid(services, WITH_PAGES, Limiter(services.clock, redis))
    for _ in range(EVENTS + 1):
        await admitted.delivered(Answer())
    await admitted.settle(None)
    await redis.close()


@pytest.mark.parametrize("query", ["{ viewer { portfolios { totalCount } } }", EVENTS_OF_ALL, "{ nothing }"])
async def test_operation_when_nothing_is_left_then_it_does_not_begin_as_events_and_the_status_says_so(
    limited: Limited, query: str
) -> None:
    async with limited(limit_anonymous_points=1, limit_anonymous_restore=1, cost_refused=2) as client:
        for _ in range(2):  # by the second what was refused is known, or not even looked at
            answer = await client.post(query, accept="text/event-stream")
            assert (answer.status_code, answer.headers["content-type"]) == (429, "application/json; charset=utf-8")
            [error] = answer.json()["errors"]
            assert error["extensions"]["code"] == "THROTTLED"
            assert int(answer.headers["retry-after"]) * 1000 >= error["extensions"]["retryAfterMs"] > 0
            assert answer.headers["ratelimit"]
