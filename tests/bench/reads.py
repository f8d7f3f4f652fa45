"""`make bench ARGS=reads`: what four questions cost, cold and warm, beside the same written by hand.

The figure is the server's CPU for a request: of the whole process, without market, broker and handlers, which compute
too. *Cold*: the server keeps nothing, so that every request reads the database. *Warm*: it has what was asked before.
By hand everything is read each time. Processes are asked in turn, round by round.
"""

import asyncio
import contextlib
import statistics
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from sqlalchemy import insert, select
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process, build_services
from infrastructure.feed import stored_quotes
from infrastructure.rows import columns, read_all, values
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.enums import OrderStatus
from models.orders import Order, OrderRow
from resolvers.orders.store import ORDERS
from tests.bench.api import ORDERS as FIFTY
from tests.bench.api import PORTFOLIO, TOKEN_S, USER, _shape, percentile
from tests.bench.data import Data, fill
from tests.bench.processes import cpu_ms, served
from tests.bench.volume import ACTIVE
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for
from tests.support.people import signed_up

ROUNDS, REQUESTS, WARM_UP = 5, 100, 30
ACTIVE_ORDERS = 10_000
QUESTIONS = {
    "user by id": (USER, "/user", 5),
    "portfolio, 20 positions, valuation": (PORTFOLIO, "/portfolio", 10),
    "50 orders, portfolio, owner, fills": (FIFTY, "/orders", 50),
    "active orders of 10,000": (ACTIVE, "/active", 100),
}
"""Each with its hand-written twin, and the milliseconds that it may take."""
COLD, WARM, BY_HAND = "cold", "warm", "by hand"


@dataclass(frozen=True)
class Cost:
    """Of one question, by who answers it: milliseconds of each request, and of CPU for one."""

    name: str
    target_ms: int
    times: dict[str, list[float]]
    cpu: dict[str, float]


async def measure(home: Path, url: str, *, rounds: int = ROUNDS, requests: int = REQUESTS) -> list[Cost]:
    """Every question on one database, which is migrated and filled here."""
    settings = settings_for(url, home, access_token_s=TOKEN_S)
    migrated(settings)
    data = await fill(settings)
    active = await _active(settings)
    async with (
        served("tests.bench.reads", url, str(home), COLD) as cold,
        served("tests.bench.reads", url, str(home), WARM) as warm,
        served("tests.bench.baseline", url) as hand,
    ):
        servers = {COLD: cold, WARM: warm, BY_HAND: hand}
        return await asyncio.to_thread(_measure, servers, data, active, rounds, requests)


async def _active(settings: Settings) -> str:
    """Who has 10,000 active orders; their token."""
    services = build_services(settings)
    try:
        signed_in = await signed_up(services, "busy@example.com")
        async with services.database.write() as tx:
            [first, *_] = await read_all(tx.connection, Order, select(*columns(OrderRow, Order)).limit(1))
            rows = [_copy(services, first, signed_in.user.id) for _ in range(ACTIVE_ORDERS)]
            await tx.execute(insert(ORDERS), rows)
    finally:
        await services.database.close()
    return signed_in.access_token


def _copy(services: Services, order: Order, owner_id: Any) -> dict[str, Any]:
    number = services.ids.new()
    made = replace(order, id=number, client_order_id=str(number), owner_id=owner_id, status=OrderStatus.OPEN)
    return values(replace(made, closed_at=None, placed_at=services.clock.now())) | {"request_hash": ""}


def _measure(servers: Mapping[str, tuple[int, str]], data: Data, active: str, rounds: int, requests: int) -> list[Cost]:
    found = []
    for name, (query, path, target_ms) in QUESTIONS.items():
        given = {"/user": {"id": data.user_id}, "/portfolio": {"id": data.portfolio_id}}.get(path, {})
        token = active if path == "/active" else data.token
        question = {"query": query, "variables": given}
        bodies = {COLD: ("/graphql", question), WARM: ("/graphql", question), BY_HAND: (path, given)}
        cost = Cost(name, target_ms, {kind: [] for kind in servers}, {})
        spent: dict[str, list[float]] = {kind: [] for kind in servers}
        with contextlib.ExitStack() as stack:
            wires = {kind: stack.enter_context(Wire(address, token)) for kind, (_, address) in servers.items()}
            shapes = [_shape(wires[kind].post(*bodies[kind])[1]) for kind in wires]
            assert shapes[0] == shapes[1] == shapes[2], shapes
            for turn in range(rounds + 1):
                for kind, (pid, _) in servers.items():
                    before = cpu_ms(pid)
                    times = [wires[kind].post(*bodies[kind])[0] for _ in range(requests if turn else WARM_UP)]
                    if turn:  # the first is to warm up
                        cost.times[kind].extend(times)
                        spent[kind].append((cpu_ms(pid) - before) / requests)
        cost.cpu.update({kind: statistics.median(each) for kind, each in spent.items()})
        found.append(cost)
    return found


@contextlib.asynccontextmanager
async def _reading(app: Starlette, settings: Settings) -> AsyncIterator[None]:
    """The application's lifespan with the latest quotes and nothing that works beside requests."""
    process = app.state.process = Process(build_services(settings), works=[])
    await process.start()
    process.services.quotes.put(await stored_quotes(process.services.database))
    yield
    await process.stop()


def serve(url: str, home: str, kind: str, port: str) -> None:
    """Serve, with a cache or without."""
    settings = settings_for(url, Path(home), access_token_s=TOKEN_S, cache=kind == WARM)
    app = create_app(settings)
    app.router.lifespan_context = lambda served: _reading(served, settings)
    uvicorn.run(app, port=int(port), log_level="warning", access_log=False, timeout_keep_alive=60)


def times_of(costs: Mapping[str, Sequence[Cost]]) -> str:
    """The rows of a table: how long each question took, by the name of the database."""
    return _rows(
        costs,
        lambda cost: [
            f"< {cost.target_ms}",
            *(
                f"{figure:.2f}"
                for kind in (COLD, WARM, BY_HAND)
                for figure in (statistics.median(cost.times[kind]), percentile(cost.times[kind], 99))
            ),
        ],
    )


def cpu_of(costs: Mapping[str, Sequence[Cost]]) -> str:
    """Likewise: the CPU of each, and its ratio to what is written by hand."""
    return _rows(
        costs,
        lambda cost: [
            *(f"{cost.cpu[kind]:.2f}" for kind in (COLD, WARM, BY_HAND)),
            *(f"{cost.cpu[kind] / cost.cpu[BY_HAND]:.1f}" for kind in (COLD, WARM)),
        ],
    )


def _rows(costs: Mapping[str, Sequence[Cost]], figures: Callable[[Cost], list[str]]) -> str:
    rows = [[database, cost.name, *figures(cost)] for database, found in costs.items() for cost in found]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    serve(*sys.argv[1:])
