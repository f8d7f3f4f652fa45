"""What executing costs: the CPU of an operation in this process, compiled and interpreted, in turn in one run.

Beside the questions of `tests.bench.api` a schema of plain attributes, so that nothing but the executor is measured.
`python -m tests.bench.executor` measures and says so by itself.
"""

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, fields, make_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import strawberry
from graphql import ExecutionResult
from strawberry.schema.config import StrawberryConfig

from graph.context import of_request
from graph.process import build_services
from graph.scalars import SCALARS
from graph.schema import build_schema
from graph.wire.pipeline import Pipeline, compiled, interpreted
from graph.wire.requests import GraphQLRequest
from resolvers.context import Context
from tests.bench.api import ORDERS, PORTFOLIO, USER
from tests.bench.data import fill
from tests.support.house import migrated, settings_for

ROUNDS = 7
BUDGET_MS = 150
"""Of CPU for a round of one executor."""
TYPES = {"name": str, "count": int, "price": Decimal, "at": datetime, "open": bool}
Item: Any = strawberry.type(
    make_dataclass("Item", [(f"{name}_{turn}", kind) for turn in (1, 2) for name, kind in TYPES.items()])
)
VALUES: dict[str, Any] = {"name": "a", "count": 1, "price": Decimal("1.5"), "at": datetime.now(UTC), "open": True}
ITEMS = [Item(**{each.name: VALUES[each.name.partition("_")[0]] for each in fields(Item)}) for _ in range(1000)]


@strawberry.type
class Query:
    """Many plain objects."""

    @strawberry.field
    def items(self, first: int) -> list[Item]:
        """So many of them."""
        return ITEMS[:first]


@dataclass(frozen=True)
class Timing:
    """The milliseconds of CPU of an operation, in the median of interleaved rounds."""

    name: str
    compiled: float
    interpreted: float

    @property
    def ratio(self) -> float:
        """How many times as much the interpreter takes."""
        return self.interpreted / self.compiled


async def measure(home: Path) -> list[Timing]:
    """Every question, on one database that is migrated and filled here."""
    settings = settings_for(f"sqlite:///{home / 'tradegraph.db'}", home)
    migrated(settings)
    data = await fill(settings)
    services = build_services(settings)
    await services.relay.start()
    try:
        headers = {"authorization": f"Bearer {data.token}"}

        async def context() -> Context:
            return await of_request(services, headers, "192.0.2.1")

        schema, plain = build_schema(), _plain_schema()
        named = " ".join(f"{name}{turn}" for turn in (1, 2) for name in TYPES)
        return [
            await _timed(name, Pipeline(of, settings), context, query, variables)
            for name, of, query, variables in (
                ("{ __typename }", schema, "{ __typename }", {}),
                ("user by id", schema, USER, {"id": data.user_id}),
                ("portfolio, 20 positions, valuation", schema, PORTFOLIO, {"id": data.portfolio_id}),
                ("50 orders, portfolio, owner, fills", schema, ORDERS, {}),
                ("50 x 10 attributes", plain, f"{{ items(first: 50) {{ {named} }} }}", {}),
                ("1,000 x 10 attributes", plain, f"{{ items(first: 1000) {{ {named} }} }}", {}),
            )
        ]
    finally:
        await services.relay.stop()
        await services.database.close()


def _plain_schema() -> strawberry.Schema:
    return strawberry.Schema(Query, config=StrawberryConfig(scalar_map=SCALARS))


async def _timed(
    name: str, pipeline: Pipeline, context: Callable[[], Awaitable[Context]], query: str, variables: dict[str, Any]
) -> Timing:
    async def once(execute: Any) -> float:
        ctx = await context()
        prepared = pipeline.prepare(GraphQLRequest(query, None, variables), ctx)
        assert prepared.refusal is None, prepared.refusal
        before = time.process_time()
        result = execute(prepared)
        if not isinstance(result, ExecutionResult):
            result = await result
        assert not result.errors, result.errors
        return (time.process_time() - before) * 1000

    times: dict[Any, list[float]] = {compiled: [], interpreted: []}
    for execute in times:
        await once(execute)
    count = max(3, min(300, int(BUDGET_MS / max(0.05, await once(interpreted)))))
    for _ in range(ROUNDS):
        for execute, found in times.items():
            found.append(statistics.fmean([await once(execute) for _ in range(count)]))
    return Timing(name, statistics.median(times[compiled]), statistics.median(times[interpreted]))


async def main() -> None:
    """Measure, and say it."""
    with tempfile.TemporaryDirectory() as folder:
        found = await measure(Path(folder))
    for each in found:
        sys.stdout.write(f"{each.name:36} {each.compiled:7.3f} ms  {each.interpreted:7.3f} ms  {each.ratio:5.1f}\n")


if __name__ == "__main__":
    asyncio.run(main())
