"""`make bench ARGS=volume`: how long questions take where a thousand users have 400,000 orders, on PostgreSQL.

Over HTTP, beside the very SQL that a question runs, sent bare: its statements are caught as it is answered, and run
again by the driver alone. *Cold*: the database and the server have just started, and each question is of another user,
so that nothing of its answer is known. *Repeated*: the same question once more.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from graph.app import create_app
from graph.base import global_id
from graph.process import Process, build_services
from infrastructure.settings import Settings
from infrastructure.tokens import Tokens
from resolvers.seed import Volume, seed_volume
from tests.bench.api import ORDERS, PORTFOLIO, TOKEN_S, USER
from tests.bench.processes import cpu_ms
from tests.bench.wire import Wire
from tests.support.house import SECRET, migrated, settings_for
from tests.support.plans import Statement, asked
from tests.support.server import Server
from tests.support.servers import PostgresServer
from tests.support.wire import Client, client_of

VOLUME = Volume(users=1_000, orders=400_000)
USERS = 300
"""Users who ask, each question cold and repeated, and as many others whose SQL runs bare."""
ACTIVE = """
{ orders(first: 50, filter: { statuses: [PENDING, OPEN, PARTIALLY_FILLED] }) { edges { node {
  id clientOrderId side type status quantity filledQuantity limitPrice stopPrice placedAt instrument { symbol }
} } } }
"""
QUIET_S, QUIET_S_MAX, QUIET_SHARE = 3, 600, 0.15
"""The server is quiet once it has used less than that share of a core for so long."""
QUESTIONS = {
    "user by id": (USER, "user", 5),
    "portfolio, its positions and valuation": (PORTFOLIO, "portfolio", 10),
    "50 orders, portfolio, owner, fills": (ORDERS, None, 50),
    "active orders": (ACTIVE, None, 100),
}
"""Each with whose id it takes, and the milliseconds that it may take."""
_PEOPLE = """
SELECT u.id, s.id AS session_id, (SELECT id FROM portfolios p WHERE p.owner_id = u.id ORDER BY created_at LIMIT 1)
AS portfolio_id FROM users u JOIN sessions s ON s.user_id = u.id ORDER BY u.id
"""


@dataclass(frozen=True)
class Person:
    """Somebody who asks."""

    token: str
    ids: dict[str | None, str]


@dataclass
class Taken:
    """The milliseconds of one question, cold and repeated: of Tradegraph, and of its SQL alone."""

    name: str
    target_ms: int
    cold: list[float] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)
    bare_cold: list[float] = field(default_factory=list)
    bare_repeated: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Measured:
    """What came out, how much was seeded and in what time."""

    questions: list[Taken]
    events: int
    seconds: float


async def measure(home: Path, postgres: PostgresServer) -> Measured:
    """Fill a database, then ask."""
    url = postgres.create_database("volume")
    settings = settings_for(url, home, access_token_s=TOKEN_S)
    migrated(settings)
    services = build_services(settings)
    began = time.perf_counter()
    events = await seed_volume(services, VOLUME)
    took_s = time.perf_counter() - began
    await services.database.close()
    people = await _people(url)
    theirs, others = people[:USERS], people[USERS : 2 * USERS]
    sql = {name: [await _caught(settings, name, each) for each in others] for name in QUESTIONS}
    await asyncio.to_thread(postgres.restart)
    async with (
        Server(home, url, log_level="WARNING", access_token_s=TOKEN_S, candle_days=0) as server,
        _connected(url) as bare,
    ):
        await _quiet(server)
        with Wire(server.address, "") as wire:
            found = [await _timed(name, wire, bare, theirs, sql[name]) for name in QUESTIONS]
    return Measured(found, events, took_s)


async def _quiet(server: Server) -> None:
    """Until what a start brings is done: orders that fell due meanwhile, snapshots of a year, and who hears of it."""
    assert server._process is not None
    pid = server._process.pid
    async with asyncio.timeout(QUIET_S_MAX):
        before = cpu_ms(pid)
        while True:
            await asyncio.sleep(QUIET_S)
            used, before = cpu_ms(pid) - before, cpu_ms(pid)
            if used < QUIET_S * 1000 * QUIET_SHARE:
                return


async def _people(url: str) -> list[Person]:
    """Everybody, in an order that has nothing to do with how much they trade."""
    tokens, now = Tokens(SECRET, TOKEN_S), datetime.now(UTC)
    async with _connected(url) as connection:
        rows = await connection.fetch(_PEOPLE)
    random.Random(1).shuffle(rows)  # noqa: S311 - repeatable on purpose
    return [
        Person(
            tokens.issue(UUID(str(row["id"])), UUID(str(row["session_id"])), now)[0],
            {"user": str(global_id("User", row["id"])), "portfolio": str(global_id("Portfolio", row["portfolio_id"]))},
        )
        for row in rows
    ]


async def _caught(settings: Settings, name: str, person: Person) -> list[Statement]:
    """The statements of a question that nothing is known of yet."""
    query, of, _ = QUESTIONS[name]
    services, app = build_services(settings), create_app(settings)
    app.state.process = Process(services, works=[])
    try:
        async with client_of(app) as client:
            with asked(services) as seen:
                await Client(client.http).data(query, _variables(of, person), person.token)
    finally:
        await services.database.close()
    return [each for each in seen if each.sql.lstrip().startswith(("SELECT", "WITH"))]


async def _timed(name: str, wire: Wire, bare: Any, people: Sequence[Person], sql: Sequence[list[Statement]]) -> Taken:
    query, of, target_ms = QUESTIONS[name]
    taken = Taken(name, target_ms)
    for person, statements in zip(people, sql, strict=True):
        wire.token = person.token
        body = {"query": query, "variables": _variables(of, person)}
        for ours, alone in ((taken.cold, taken.bare_cold), (taken.repeated, taken.bare_repeated)):
            took_ms, answer = await asyncio.to_thread(wire.post, "/graphql", body)
            assert "errors" not in answer, answer
            ours.append(took_ms)
            began = time.perf_counter()
            for each in statements:
                await bare.fetch(each.sql, *each.parameters)
            alone.append((time.perf_counter() - began) * 1000)
    return taken


def _variables(of: str | None, person: Person) -> dict[str, str]:
    return {} if of is None else {"id": person.ids[of]}


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        yield connection
    finally:
        await connection.close()
