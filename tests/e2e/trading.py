"""Users who trade over HTTP as front ends do: with keys, asking again until they are answered."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Self

import httpx

from tests.support.people import PASSWORD
from tests.support.wire import Client

CASH = "100000000"
RETRY_S = 0.05
SYMBOLS = ("AAPL", "MSFT", "SPY")
NEVER_REACHED = "1.00"

REGISTER = """
mutation ($input: RegisterInput!) { register(input: $input) { accessToken user { id } errors { message } } }
"""
CREATE = """
mutation ($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { id } errors { message } } }
"""
PLACE = """
mutation ($input: PlaceOrderInput!) {
  placeOrder(input: $input) { order { id } cursor errors { __typename code message path } }
}
"""
DEPOSIT = """
mutation ($input: CashInput!) {
  depositCash(input: $input) { portfolio { id } cursor errors { __typename code message path } }
}
"""


@dataclass(frozen=True)
class Account:
    """A signed-up user with a portfolio."""

    token: str
    user_id: str
    portfolio_id: str


async def open_account(client: Client, email: str) -> Account:
    """Register, and make a portfolio with much cash."""
    given = {"email": email, "password": PASSWORD, "firstName": "Ada", "lastName": "Lovelace"}
    registered = (await client.data(REGISTER, {"input": given}))["register"]
    token = registered["accessToken"]
    wanted = {"input": {"name": "Main", "initialCash": CASH}}
    created = (await client.data(CREATE, wanted, token))["createPortfolio"]
    return Account(token, registered["user"]["id"], created["portfolio"]["id"])


@dataclass
class Load:
    """Clients of one account at work, while it is entered, each with a pause after what it did.

    What was acknowledged stands here by its key; what was not is asked again. `refused` counts the answers that said
    that it could not be done now, by HTTP status and code; any other answer fails the load.
    """

    client: Client
    account: Account
    seed: int
    clients: int = 4
    pause_s: float = 0
    orders: dict[str, str] = field(default_factory=dict)
    deposits: dict[str, str] = field(default_factory=dict)
    requests: dict[str, dict[str, Any]] = field(default_factory=dict)
    cut_off: int = 0
    refused: Counter[tuple[int, str]] = field(default_factory=Counter)
    up: asyncio.Event = field(default_factory=asyncio.Event)
    _over: bool = False
    _grown: asyncio.Condition = field(default_factory=asyncio.Condition)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def __aenter__(self) -> Self:
        self.up.set()
        self._tasks = [asyncio.create_task(self._work(number)) for number in range(self.clients)]
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Let every client finish what it asked for last; raises what went wrong."""
        self._over = True
        if kind is not None:
            for task in self._tasks:
                task.cancel()
        done = await asyncio.gather(*self._tasks, return_exceptions=True)
        failed = [error for error in done if isinstance(error, BaseException)]
        if kind is None and failed:
            raise failed[0]

    @property
    def acknowledged(self) -> int:
        """How many requests were."""
        return len(self.orders) + len(self.deposits)

    async def more(self, requests: int) -> None:
        """Wait until so many more are acknowledged; raises what went wrong."""
        await self._until(lambda: self.acknowledged, requests)

    async def more_refused(self, requests: int) -> None:
        """Wait until so many more are refused; raises what went wrong."""
        await self._until(self.refused.total, requests)

    async def _until(self, counted: Callable[[], int], more: int) -> None:
        goal = counted() + more

        async def reached() -> None:
            async with self._grown:
                await self._grown.wait_for(lambda: counted() >= goal)

        waiting = asyncio.create_task(reached())
        await asyncio.wait([waiting, *self._tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in self._tasks:
            if task.done():
                waiting.cancel()
                task.result()
        await waiting

    async def _noted(self) -> None:
        async with self._grown:
            self._grown.notify_all()

    async def _work(self, number: int) -> None:
        chance = random.Random(f"{self.seed}/{number}")  # noqa: S311 - repeatable
        for turn in count():
            if self._over:
                return
            key = f"{number}-{turn}"
            if chance.random() < 1 / 5:
                await self._deposit(key, str(chance.randint(1, 1000)))
            else:
                await self._order(key, chance)
            await self._noted()
            await asyncio.sleep(self.pause_s)

    async def _order(self, key: str, chance: random.Random) -> None:
        request = {
            "portfolioId": self.account.portfolio_id,
            "symbol": chance.choice(SYMBOLS),
            "side": chance.choice(("BUY", "SELL")),
            "type": "MARKET",
            "quantity": str(chance.randint(1, 5)),
            "timeInForce": "GTC",
            "clientOrderId": key,
        }
        if chance.random() < 1 / 4:
            rest = {"side": "BUY", "type": "LIMIT", "limitPrice": NEVER_REACHED}
            request |= rest | {"timeInForce": chance.choice(("GTC", "IOC"))}
        self.requests[key] = request
        done = await self.insist(PLACE, request, "placeOrder")
        self.orders[key] = done["order"]["id"]

    async def _deposit(self, key: str, amount: str) -> None:
        request = {"portfolioId": self.account.portfolio_id, "amount": amount, "idempotencyKey": key}
        self.requests[key] = request
        await self.insist(DEPOSIT, request, "depositCash")
        self.deposits[key] = amount

    async def insist(self, query: str, request: dict[str, Any], name: str) -> Any:
        """Ask until it is done: the same key each time."""
        while True:
            await self.up.wait()
            try:
                response = await self.client.post(query, {"input": request}, self.account.token)
            except httpx.TransportError:
                self.cut_off += 1
                await asyncio.sleep(RETRY_S)
                continue
            code = _code(response, name)
            if code is None:
                return response.json()["data"][name]
            self.refused[response.status_code, code] += 1
            await self._noted()
            assert code in {"UNAVAILABLE", "OUTCOME_UNKNOWN", "INSTRUMENT_NOT_TRADABLE"}, response.text
            await asyncio.sleep(RETRY_S)


def _code(response: httpx.Response, name: str) -> str | None:
    """Why it was not done; None when it was."""
    answer = response.json()
    if "errors" in answer:
        return str(answer["errors"][0]["extensions"]["code"])
    faults = answer["data"][name]["errors"]
    return str(faults[0]["code"]) if faults else None


async def all_settled(client: Client, account: Account) -> bool:
    """Whether what is left are orders that rest for good: then nothing more will happen by itself."""
    query = (
        "query ($filter: OrderFilter!, $after: String) { orders(filter: $filter, first: 100, after: $after) "
        "{ edges { node { type timeInForce } } pageInfo { hasNextPage endCursor } } }"
    )
    chosen = {"statuses": ["OPEN", "PARTIALLY_FILLED"], "portfolioId": account.portfolio_id}
    page: Any = {"pageInfo": {"hasNextPage": True, "endCursor": None}}
    while page["pageInfo"]["hasNextPage"]:
        given = {"filter": chosen, "after": page["pageInfo"]["endCursor"]}
        page = (await client.data(query, given, account.token))["orders"]
        if any(edge["node"] != {"type": "LIMIT", "timeInForce": "GTC"} for edge in page["edges"]):
            return False
    return True


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(RETRY_S)
