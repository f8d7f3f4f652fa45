"""What executing costs: the CPU of an operation, compiled and interpreted, in turn in one run.

In this process: the questions of `tests.bench.api`, and a schema of plain attributes, so that nothing but the executor
is measured. Over HTTP: the server's CPU for a request, beside the same question written by hand.
"""

import asyncio
import contextlib
import statistics
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
from graph.wire.pipeline import Compiled, Pipeline, interpreted
from graph.wire.requests import GraphQLRequest
from resolvers.context import Context
from tests.bench.api import ORDERS, PORTFOLIO, TOKEN_S, USER
from tests.bench.data import Data, fill
from tests.bench.overhead import OURS
from tests.bench.page import machine
from tests.bench.processes import cpu_ms, served
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks-executor.md"
TEXT = """# Benchmarks of the executor

`make bench ARGS=executor` measures what stands here and writes this page: [the executor](executor.md) beside the
interpreter of graphql-core, in turn in one run. Figures are only good beside others of the same run.

## Executing alone

The processor's time for an operation that is known, from its variables to its data: in milliseconds, the median of
{rounds} rounds. The attributes are of a schema that has nothing else; most of what is left of them is writing decimals
and moments.

| operation | compiled | interpreted | times |
|---|---|---|---|
{alone}

## Over HTTP

The server's processor time for a whole request on SQLite, with everything around the executor. *By hand* is the
endpoint of [the benchmarks](benchmarks.md): Starlette, the driver and orjson, without schema, types, checks or pages.

| question | compiled | interpreted | by hand | times the one by hand |
|---|---|---|---|---|
{served}

## Where

{machine}
"""
ROUNDS = 7
BUDGET_MS = 150
"""Of CPU for a round of one executor."""
REQUESTS = 60
"""Of a round over HTTP."""
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


async def alone(home: Path, url: str, data: Data) -> list[Timing]:
    """Every question, in this process."""
    settings = settings_for(url, home, access_token_s=TOKEN_S)
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
                ("`{ __typename }`", schema, "{ __typename }", {}),
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

    compiled = Compiled()
    times: dict[Any, list[float]] = {compiled: [], interpreted: []}
    for execute in times:
        await once(execute)
    count = max(3, min(300, int(BUDGET_MS / max(0.05, await once(interpreted)))))
    for _ in range(ROUNDS):
        for execute, found in times.items():
            found.append(statistics.fmean([await once(execute) for _ in range(count)]))
    return Timing(name, statistics.median(times[compiled]), statistics.median(times[interpreted]))


async def over_http(home: Path, url: str, data: Data) -> dict[str, list[float]]:
    """The milliseconds of CPU of a request to each kind of server, by the question."""
    asked = {
        "user by id": ({"query": USER, "variables": {"id": data.user_id}}, "/user", {"id": data.user_id}),
        "portfolio, 20 positions, valuation": (
            {"query": PORTFOLIO, "variables": {"id": data.portfolio_id}},
            "/portfolio",
            {"id": data.portfolio_id},
        ),
        "50 orders, portfolio, owner, fills": ({"query": ORDERS}, "/orders", {}),
    }
    async with contextlib.AsyncExitStack() as stack:
        ours = ("tests.bench.overhead", OURS, url, str(home))
        servers = [
            await stack.enter_async_context(served(*ours, TRADEGRAPH_EXECUTOR="compiled")),
            await stack.enter_async_context(served(*ours, TRADEGRAPH_EXECUTOR="interpreted")),
            await stack.enter_async_context(served("tests.bench.baseline", url)),
        ]
        return {
            name: await asyncio.to_thread(
                _requests, servers, data.token, [("/graphql", body), ("/graphql", body), (path, given)]
            )
            for name, (body, path, given) in asked.items()
        }


def _requests(servers: list[tuple[int, str]], token: str, asked: list[tuple[str, Any]]) -> list[float]:
    found: list[list[float]] = [[] for _ in servers]
    for _ in range(ROUNDS + 1):
        for times, (pid, address), (path, body) in zip(found, servers, asked, strict=True):
            with Wire(address, token) as wire:
                before = cpu_ms(pid)
                for _ in range(REQUESTS):
                    wire.post(path, body)
                times.append((cpu_ms(pid) - before) / REQUESTS)
    return [statistics.median(times[1:]) for times in found]


async def measure() -> str:
    """The page, measured on a database of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        url = f"sqlite:///{home / 'tradegraph.db'}"
        settings = settings_for(url, home, access_token_s=TOKEN_S)
        migrated(settings)
        data = await fill(settings)
        timings, served = await alone(home, url, data), await over_http(home, url, data)
    rows = [f"| {each.name} | {each.compiled:.3f} | {each.interpreted:.3f} | {each.ratio:.1f} |" for each in timings]
    more = [
        f"| {name} | {ours:.2f} | {theirs:.2f} | {hand:.2f} | {ours / hand:.2f} |"
        for name, (ours, theirs, hand) in served.items()
    ]
    where = "\n".join(f"- {line}" for line in machine())
    return TEXT.format(rounds=ROUNDS, alone="\n".join(rows), served="\n".join(more), machine=where)
