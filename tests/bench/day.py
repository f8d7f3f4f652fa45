"""`make bench ARGS=day`: how much of a read-heavy day the cache keeps from the database, and that it is never wrong.

Users ask the questions of a trading screen, some of them far more often than others; one operation in twenty changes
something, and quotes tick. Two processes on one PostgreSQL and one Redis answer in turn, by HTTP; each answer is
compared, field by field, with that of a process without a cache that is asked the same at once. What is counted are the
statements that read, at the drivers: of the two everything that is not to follow the log, which they read as often as
it is polled, whoever asks; of the other what its answers took.
"""

import contextlib
import dataclasses
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select

from graph.app import create_app
from graph.base import global_id, parsed_id
from graph.process import Process, build_services
from infrastructure.feed import store_quotes
from infrastructure.quotes import QuoteBoard
from infrastructure.rows import table
from infrastructure.services import Services
from infrastructure.settings import Settings
from infrastructure.tokens import Tokens
from infrastructure.waking import Waker
from models.accounts import SessionRow
from models.catalogue import CATALOGUE
from models.marketdata import Quote
from models.portfolios import PortfolioRow
from resolvers.orders.commands import execute_order
from resolvers.seed import Volume, seed_volume
from tests.bench.api import ORDERS, PORTFOLIO, USER
from tests.bench.volume import ACTIVE
from tests.support.clock import ManualClock
from tests.support.house import SECRET, settings_for
from tests.support.market import statements
from tests.support.wire import Client, client_of

VOLUME = Volume(users=1_000, orders=20_000)
OPERATIONS = 40_000
TOKEN_S = 30 * 24 * 3600
SCREEN = """
{ viewer { email firstName portfolios(first: 5) { edges { node {
  id name cash buyingPower valuation { totalValue unrealizedPnl dayPnl stale } tradingStatus { state }
} } } } }
"""
LEDGER = """
query ($id: ID!) { portfolio(id: $id) {
  transactions(first: 20) { edges { node { kind amount balanceAfter occurredAt } } }
  orders(first: 5) { totalCount } riskLimits { kind threshold }
} }
"""
WATCHED = """
query ($symbols: [String!]) { instruments(first: 20, filter: { symbols: $symbols }) { edges { node {
  symbol name tickSize quote { bid ask last }
} } } }
"""
READS = {
    "portfolio": (PORTFOLIO, 30),
    "screen": (SCREEN, 20),
    "orders": (ORDERS, 15),
    "active orders": (ACTIVE, 10),
    "watched": (WATCHED, 15),
    "user": (USER, 5),
    "ledger": (LEDGER, 5),
}
"""What is asked, and how often among a hundred."""
PLACE = """
mutation ($id: ID!, $symbol: String!, $limit: Decimal!) {
  placeOrder(input: { portfolioId: $id, symbol: $symbol, side: BUY, type: LIMIT, quantity: "1", limitPrice: $limit,
                      timeInForce: GTC }) { order { id version } errors { message } }
}
"""
CANCEL = "mutation ($id: ID!) { cancelOrder(input: { orderId: $id }) { errors { message } } }"
DEPOSIT = 'mutation ($id: ID!) { depositCash(input: { portfolioId: $id, amount: "10" }) { errors { message } } }'
WRITES_SHARE, TICK_EVERY = 0.05, 20
"""How many operations change something, and after how many the quotes tick."""


@dataclass(frozen=True)
class Person:
    """A user: their token, id and portfolio."""

    token: str
    user_id: str
    portfolio_id: str


@dataclass
class Day:
    """What came of it."""

    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    with_cache: int = 0
    without: int = 0
    following: int = 0
    """What the two read to follow the log."""

    @property
    def saved(self) -> float:
        """The share of the reading statements that were not needed."""
        return 1 - self.with_cache / self.without


async def spent(home: Path, url: str, redis_url: str, volume: Volume, operations: int) -> Day:
    """Seed the migrated database, and spend a day on it; raises `AssertionError` for an answer that differs."""
    settings = settings_for(url, home, access_token_s=TOKEN_S, redis_url=redis_url, redis_timeout_ms=5000)
    clock = ManualClock()
    async with contextlib.AsyncExitStack() as stack:
        board = QuoteBoard(settings.quote_stale_after_ms)
        plain = settings.model_copy(update={"cache": False, "redis_url": ""})
        kept = [await stack.enter_async_context(_process(settings, clock, board)) for _ in range(2)]
        bare = await stack.enter_async_context(_process(plain, clock, board))
        await seed_volume(kept[0][0], volume)
        street = _Street(clock, board, kept, bare, await _people(kept[0][0], clock))
        await street.tick()
        for services, _ in (*kept, bare):
            await services.relay.start()
            stack.push_async_callback(services.relay.stop)
        wakers = [Waker(services.redis, services.database, services.relay) for services, _ in kept if services.redis]
        for waker in wakers:
            await waker.start()
            stack.push_async_callback(waker.stop)
        return await street.day(operations)


class _Street:
    """Everybody who asks, and the quotes that tick."""

    def __init__(
        self,
        clock: ManualClock,
        board: QuoteBoard,
        kept: list[tuple[Services, Client]],
        bare: tuple[Services, Client],
        people: list[Person],
    ) -> None:
        self._clock, self._board, self._kept, self._bare, self._people = clock, board, kept, bare, people
        self._source = random.Random(7)  # noqa: S311 - repeatable on purpose
        # Zipf: the nth is asked about as often as the first, divided by n.
        self._popularity = list(itertools.accumulate(1 / place for place in range(1, len(people) + 1)))
        self._turns = itertools.cycle(kept)
        self._placed: list[tuple[Person, UUID, int, Decimal]] = []

    async def day(self, operations: int) -> Day:
        day, source = Day(), self._source
        with contextlib.ExitStack() as stack:
            heard = [stack.enter_context(_readings(services)) for services, _ in self._kept]
            for number in range(operations):
                if number % TICK_EVERY == 0:
                    await self.tick()
                [person] = source.choices(self._people, cum_weights=self._popularity)
                if source.random() < WRITES_SHARE:
                    day.writes[await self._change(person)] += 1
                else:
                    day.reads[await self._ask(person, day)] += 1
            day.following = sum(_follows(sql) for seen in heard for sql in seen)
            day.with_cache = sum(map(len, heard)) - day.following
        return day

    async def tick(self) -> None:
        """Every quote moves a little."""
        now = self._clock.advance(seconds=1)
        quotes = []
        for listing in CATALOGUE:
            before = self._board.get(listing.symbol)
            tick, size = listing.tick_size, Decimal(1000)
            moved = listing.base_price if before is None else before.last + tick * self._source.randint(-3, 3)
            last = max(moved, tick * 2)
            quotes.append(
                Quote(
                    symbol=listing.symbol,
                    bid=last - tick,
                    bid_size=size,
                    ask=last + tick,
                    ask_size=size,
                    last=last,
                    open=None,
                    high=None,
                    low=None,
                    previous_close=listing.base_price,
                    volume=Decimal(0),
                    as_of=now,
                )
            )
        await store_quotes(self._kept[0][0].database, quotes)
        self._board.put(quotes)

    async def _ask(self, person: Person, day: Day) -> str:
        [name] = self._source.choices(list(READS), [share for _, share in READS.values()])
        query = READS[name][0]
        symbols = sorted(listing.symbol for listing in self._source.sample(CATALOGUE[:8], 3))
        given = {"id": person.user_id if name == "user" else person.portfolio_id, "symbols": symbols}
        variables = {key: value for key, value in given.items() if f"${key}" in query}
        _, client = next(self._turns)
        shown = await client.data(query, variables, person.token)
        services, other = self._bare
        with _readings(services) as seen:
            expected = await other.data(query, variables, person.token)
        day.without += sum(not _follows(sql) for sql in seen)
        assert shown == expected, (name, person, _first_difference(shown, expected))
        return name

    async def _change(self, person: Person) -> str:
        services, client = next(self._turns)
        kind = self._source.choices(["place", "fill", "cancel", "deposit"], [50, 30, 10, 10])[0]
        if kind == "deposit":
            done = await client.data(DEPOSIT, {"id": person.portfolio_id}, person.token)
            assert done["depositCash"]["errors"] == []
        elif kind == "place" or not self._placed:
            await self._place(client, person)
            return "place"
        else:
            whose, order_id, version, limit = self._placed.pop(self._source.randrange(len(self._placed)))
            if kind == "fill":
                # As the broker does, in whichever process.
                assert await execute_order(services, order_id, version, Decimal(1), limit) is not None
            else:
                done = await client.data(CANCEL, {"id": str(global_id("Order", order_id))}, whose.token)
                assert done["cancelOrder"]["errors"] == []
        return kind

    async def _place(self, client: Client, person: Person) -> None:
        listing = self._source.choice(CATALOGUE[:8])
        quote = self._board.get(listing.symbol)
        assert quote is not None
        given = {"id": person.portfolio_id, "symbol": listing.symbol, "limit": str(quote.last)}
        done = (await client.data(PLACE, given, person.token))["placeOrder"]
        if done["order"] is not None:  # who has nothing left is refused
            parsed = parsed_id(done["order"]["id"])
            assert parsed is not None
            assert isinstance(parsed[1], UUID)
            self._placed.append((person, parsed[1], done["order"]["version"], quote.last))


@contextlib.asynccontextmanager
async def _process(settings: Settings, clock: ManualClock, board: QuoteBoard) -> AsyncIterator[tuple[Services, Client]]:
    """One that serves, without works of its own."""
    services = dataclasses.replace(build_services(settings, clock), quotes=board)
    app = create_app(settings)
    app.state.process = Process(services, works=[])
    try:
        async with client_of(app) as client:
            yield services, Client(client.http)
    finally:
        if services.redis is not None:
            await services.redis.close()
        await services.database.close()


def _follows(sql: str) -> bool:
    return "events.seq > " in sql or "FROM archives" in sql


@contextlib.contextmanager
def _readings(services: Services) -> Iterator[list[str]]:
    """The statements that read for showing: not those of a command's transaction."""
    with statements(services, writer=False) as seen:
        yield seen


async def _people(services: Services, clock: ManualClock) -> list[Person]:
    """Everybody, in an order that has nothing to do with how much they trade."""
    sessions, portfolios, tokens = table(SessionRow), table(PortfolioRow), Tokens(SECRET, TOKEN_S)
    async with services.database.read() as connection:
        owned = {row[0]: row[1] for row in await connection.execute(select(portfolios.c.owner_id, portfolios.c.id))}
        signed_in = (await connection.execute(select(sessions.c.user_id, sessions.c.id))).all()
    people = [
        Person(
            tokens.issue(user_id, session_id, clock.now())[0],
            str(global_id("User", user_id)),
            str(global_id("Portfolio", owned[user_id])),
        )
        for user_id, session_id in signed_in
    ]
    random.Random(1).shuffle(people)  # noqa: S311 - repeatable on purpose
    return people


def _first_difference(one: Any, other: Any, path: str = "") -> str:
    """Where two answers begin to differ."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in one:
            if one[key] != other.get(key):
                return _first_difference(one[key], other.get(key), f"{path}.{key}")
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            if pair[0] != pair[1]:
                return _first_difference(*pair, f"{path}[{number}]")
    return f"{path}: {one!r} and not {other!r}"
