"""What an operation leaves to the garbage collector, which stops the server while it looks for it."""

import gc
from typing import Any

import pytest

from graph.wire.answers import Answer
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from infrastructure.services import Services
from resolvers.context import Context
from tests.graph.executor.test_own_schema import SCHEMA, a_book
from tests.support.market import Trader

REQUESTS = 10
ORDERS = """
{ orders(first: 50) { edges { node {
  id quantity instrument { symbol quote { last } } fills(first: 5) { edges { node { id price } } } portfolio { name }
} } } }
"""
REFUSED = '{ order(id: "T3JkZXI6eA==") { id portfolio { name } } }'


async def asked(pipeline: Pipeline, trader: Trader, query: str) -> Answer:
    services = trader.ctx.services
    ctx = Context(services, trader.ctx.viewer, "192.0.2.1", services.relay.position)
    return await pipeline.answer(pipeline.prepare(GraphQLRequest(query), ctx), ctx)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
@pytest.mark.parametrize("query", [ORDERS, REFUSED])
async def test_operation_when_it_is_over_then_it_leaves_next_to_nothing_to_the_garbage_collector(
    services: Services, query: str
) -> None:
    trader, _ = await a_book(services)
    pipeline = Pipeline(SCHEMA, services.settings)
    answer: Answer | None = await asked(pipeline, trader, query)
    assert answer is not None
    assert bool(answer.errors) is (query == REFUSED)
    del answer
    gc.collect()
    flags = gc.get_debug()
    gc.disable()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        for _ in range(REQUESTS):
            await asked(pipeline, trader, query)
        gc.collect()
        left: list[Any] = [type(each) for each in gc.garbage]
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.enable()
    assert len(left) < 20 * REQUESTS, left[:100]
