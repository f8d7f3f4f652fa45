"""What limits add to a request: their own work in memory, and the same server with them on and off, in turn."""

import asyncio
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graph.cost.guard import CostGuard
from graph.process import build_services
from graph.schema import build_schema
from graph.wire.answers import Answer
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from infrastructure.services import Services
from infrastructure.settings import Settings
from resolvers.accounts.queries import authenticate
from resolvers.context import Context
from tests.bench.api import ORDERS, REQUESTS, TOKEN_S, WARM_UP
from tests.bench.data import fill
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for
from tests.support.server import Server

WIDE = {"limit_user_points": 10**9, "limit_address_points": 10**9}
ROUNDS, TURNS = 20, 500


@dataclass(frozen=True)
class Overhead:
    """Microseconds of the limits' own work for the question of 50 orders, and the question's milliseconds."""

    own_us: float
    on_ms: float
    off_ms: float

    @property
    def share(self) -> float:
        """Of the question's time with limits off."""
        return self.own_us / 1000 / self.off_ms


async def measure(home: Path) -> Overhead:
    """On SQLite, with budgets in memory."""
    url = f"sqlite:///{home / 'tradegraph.db'}"
    settings = settings_for(url, home, access_token_s=TOKEN_S, limits=True, **WIDE)
    migrated(settings)
    data = await fill(settings)
    own_us = await _own_us(settings, data.token)
    options: dict[str, Any] = {"log_level": "WARNING", "access_token_s": TOKEN_S}
    async with (
        Server(home / "on", url, limits="on", **WIDE, **options) as on,
        Server(home / "off", url, limits="off", **options) as off,
    ):
        on_ms, off_ms = await asyncio.to_thread(_in_turn, on.address, off.address, data.token)
    return Overhead(own_us, on_ms, off_ms)


async def _own_us(settings: Settings, token: str) -> float:
    """The best round: what else the machine does is not theirs."""
    services = build_services(settings)
    await services.relay.start()
    try:
        return await _timed(services, token)
    finally:
        await services.relay.stop()
        await services.database.close()


async def _timed(services: Services, token: str) -> float:
    schema = build_schema()
    guard = CostGuard(schema, services.settings)
    pipeline = Pipeline(schema, services.settings, guard)
    ctx = Context(services, await authenticate(services, token), "127.0.0.1", services.relay.position)
    prepared = pipeline.prepare(GraphQLRequest(ORDERS), ctx)
    shown = (await pipeline.answer(prepared, ctx)).data
    rounds = []
    for _ in range(ROUNDS):
        began = time.process_time()
        for _ in range(TURNS):
            admitted = await guard.admit(prepared, ctx)
            assert not isinstance(admitted, Answer)
            await admitted.settle(Answer(shown))
        rounds.append((time.process_time() - began) / TURNS * 1e6)
    return min(rounds)


def _in_turn(on: str, off: str, token: str) -> tuple[float, float]:
    body = {"query": ORDERS}
    with Wire(on, token) as one, Wire(off, token) as other:
        for _ in range(WARM_UP):
            one.post("/graphql", body)
            other.post("/graphql", body)
        pairs = [(one.post("/graphql", body)[0], other.post("/graphql", body)[0]) for _ in range(REQUESTS)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)
