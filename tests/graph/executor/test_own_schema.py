"""Our own schema over real data: the compiled executor says what the interpreter says, and loads in as many batches."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import pytest

from graph.base import global_id
from graph.schema import build_schema
from graph.wire.pipeline import Compiled, Pipeline, Prepared, interpreted
from graph.wire.requests import GraphQLRequest
from infrastructure.services import Services
from models.orders import Fill, FillRow, Order, OrderRow
from resolvers.context import Batch, Context
from tests.graph.executor.comparing import awaited, in_order
from tests.support.market import Market, Trader, stored
from tests.support.operations import Operation, Writer, chance_of

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
SCHEMA = build_schema()
SKIPPED = frozenset({"Query.cacheStatistics", "Query.rateLimitStatus", "Query.rateLimits"})
"""What they say depends on what was asked before."""
EXAMPLES = 60
SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@dataclass
class Counting(Context):
    """Notes which batches are loaded."""

    batches: Counter[tuple[str, int]] = field(default_factory=Counter)
    _counted: dict[Any, Any] = field(default_factory=dict)

    def load(self, batch: Batch[K, V], key: K) -> asyncio.Future[V]:
        """As ever, but counted."""
        if batch not in self._counted:

            async def counted(ctx: Context, keys: Sequence[K]) -> list[V]:
                self.batches[f"{batch.__module__}.{batch.__qualname__}", len(keys)] += 1
                return await batch(ctx, keys)

            self._counted[batch] = counted
        return super().load(self._counted[batch], key)


async def a_book(services: Services) -> tuple[Trader, dict[str, list[Any]]]:
    """Somebody with orders and fills, and ids to ask for."""
    market = await Market.open(services)
    for symbol in ("AAPL", "MSFT", "NVDA"):
        await market.quote(symbol, "99", "101", previous="98")
    trader, other = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    for number, symbol in enumerate(("AAPL", "MSFT", "NVDA", "AAPL"), 1):
        await trader.trade("BUY", str(number), "100", symbol)
        await trader.place("BUY", "1", symbol, "90")
    await trader.trade("SELL", "1", "110", "AAPL")
    await other.trade("BUY", "1", "100", "MSFT")
    orders, fills = await stored(services, OrderRow, Order), await stored(services, FillRow, Fill)
    assert trader.ctx.viewer is not None
    ids = [global_id("Order", order.id) for order in orders] + [global_id("Fill", fill.id) for fill in fills]
    ids += [global_id("Portfolio", each.portfolio_id) for each in (trader, other)]
    ids += [global_id("Instrument", "AAPL"), global_id("User", trader.ctx.viewer.user.id)]
    ids += [global_id("Event", 3), global_id("Order", UUID(int=1))]
    return trader, {"id": [*ids, "no id"], "symbol": ["AAPL", "MSFT", "NOPE"]}


def values(pool: dict[str, list[Any]]) -> Callable[[random.Random, str, str], Any]:
    def value(rng: random.Random, name: str, scalar: str) -> Any:
        if scalar == "ID" or name.lower().endswith("id"):
            return rng.choice(pool["id"])
        if name in ("symbol", "symbols"):
            return rng.choice(pool["symbol"])
        known = {"Int": rng.randint(1, 5), "Float": 0.9, "Boolean": rng.random() < 0.5, "Decimal": "1.5"}
        known |= {"DateTime": "2026-01-05T00:00:00Z", "JSON": {}}
        return None if name in ("first", "last", "after", "before") and rng.random() < 0.5 else known.get(scalar, "a")

    return value


async def answered(
    execute: Callable[[Prepared], Any], pipeline: Pipeline, trader: Trader, operation: Operation
) -> tuple[Any, Any, Counter[tuple[str, int]]]:
    """What is said, what is wrong, and what was loaded."""
    ctx = Counting(trader.ctx.services, trader.ctx.viewer, "192.0.2.1", trader.ctx.services.relay.position)
    prepared = pipeline.prepare(GraphQLRequest(operation.text, None, operation.variables), ctx)
    if prepared.refusal is not None:
        return "refused", prepared.refusal.errors, ctx.batches
    result = await awaited(execute(prepared))
    return result.data, in_order(result), ctx.batches


async def held_together(services: Services, seeds: range) -> None:
    trader, pool = await a_book(services)
    pipeline, compiled = Pipeline(SCHEMA, services.settings), Compiled()
    for seed in seeds:
        writer = Writer(SCHEMA._schema, chance_of(seed), values(pool), depth_max=6, skipped=SKIPPED)
        operation = writer.operation()
        await answered(interpreted, pipeline, trader, operation)  # fills the cache
        theirs = await answered(interpreted, pipeline, trader, operation)
        ours = await answered(compiled, pipeline, trader, operation)
        assert ours[0] == theirs[0], (seed, operation)
        assert sorted(ours[1], key=repr) == sorted(theirs[1], key=repr), (seed, operation)
        if theirs[1]:
            # What is awaited under a null is not begun; the interpreter lets it run on.
            assert _names(ours[2]) <= _names(theirs[2]), (seed, operation)
        else:
            assert ours[2] == theirs[2], (seed, operation)
    assert services.metrics.fallbacks._value.get() == 0


def _names(batches: Counter[tuple[str, int]]) -> Counter[str]:
    """How many there are of each, whatever their sizes."""
    names: Counter[str] = Counter()
    for (name, _), count in batches.items():
        names[name] += count
    return names


@SQLITE
async def test_questions_when_asked_by_chance_then_data_errors_and_batches_are_the_same(services: Services) -> None:
    await held_together(services, range(EXAMPLES))


@SQLITE
@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_questions_when_thousands_are_asked_then_all_are_the_same(services: Services) -> None:
    await held_together(services, range(EXAMPLES, 5000))
