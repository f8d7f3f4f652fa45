"""Subscribers over the wire that lose their connection again and again lose no event, and see none twice."""

import asyncio
import functools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import websockets

from tests.e2e.trading import RETRY_S, Account, Load, all_settled, open_account, until
from tests.support.server import Server
from tests.support.wire import Client, Socket, socket_to

RECONNECTS = 50
EVENTS_BETWEEN_MAX = 4

POSITION_EVENTS = """
subscription ($after: String) {
  positionEvents(after: $after) { cursor previousCursor type position { id quantity } fill { id } }
}
"""
EVENTS = "subscription ($after: String) { events(after: $after) { cursor type version aggregateId } }"
TRAIL = """
query ($filter: EventFilter, $after: String) {
  events(filter: $filter, first: 100, after: $after) {
    edges { node { cursor type version aggregateId } }
    pageInfo { hasNextPage endCursor }
  }
}
"""


@dataclass
class Subscriber:
    """Follows one stream; leaves at random 50 times, and comes back with the last cursor that it has seen.

    Half of those times it vanishes without a word, as a phone in a tunnel does.
    """

    server: Server
    account: Account
    query: str
    start: str
    seen: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    turned_away: int = 0

    @property
    def cursor(self) -> str:
        """The last that it has seen."""
        return str(self.seen[-1]["cursor"]) if self.seen else self.start

    async def run(self) -> None:
        """Until it is cancelled; raises what goes wrong."""
        chance = random.Random(self.query)  # noqa: S311 - repeatable
        while True:
            try:
                async with socket_to(self.server.address) as socket:
                    await socket.init(self.account.token)
                    await socket.start("stream", self.query, {"after": self.cursor})
                    await self._read(socket, chance)
            except (OSError, websockets.WebSocketException):
                self.turned_away += 1
                await asyncio.sleep(RETRY_S)

    async def _read(self, socket: Socket, chance: random.Random) -> None:
        more = chance.randint(0, EVENTS_BETWEEN_MAX)
        while more or self.left >= RECONNECTS:
            more -= 1
            frame = await next_frame(socket)
            assert frame["type"] == "next", frame
            assert "errors" not in frame["payload"], frame
            (event,) = frame["payload"]["data"].values()
            self.seen.append(event)
        self.left += 1
        if chance.random() < 1 / 2:
            socket.connection.transport.abort()

    def check(self, told: list[dict[str, Any]]) -> None:
        """It has seen exactly what the log tells, in its order, and could prove it."""
        assert [event["cursor"] for event in self.seen] == [event["cursor"] for event in told]
        assert [event["type"] for event in self.seen] == [event["type"] for event in told]
        assert len(self.seen) > RECONNECTS
        if self.query is POSITION_EVENTS:
            chain = [None, *(event["cursor"] for event in self.seen)]
            assert [event["previousCursor"] for event in self.seen] == chain[:-1]
            assert [event["position"]["id"] for event in self.seen] == [event["aggregateId"] for event in told]


async def next_frame(socket: Socket) -> Any:
    """The stream's next frame; raises `ConnectionClosed` when the server has gone."""
    following = asyncio.ensure_future(socket._frames["stream"].get())  # however long it takes
    closed = asyncio.ensure_future(socket.connection.wait_closed())
    try:
        await asyncio.wait([following, closed], return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            return following.result()
        raise websockets.ConnectionClosedError(None, None)
    finally:
        following.cancel()
        closed.cancel()


async def trail(client: Client, subscriber: Subscriber) -> list[dict[str, Any]]:
    """All that the log tells the subscriber's user of its stream since it began."""
    chosen = {"aggregateType": "Position"} if subscriber.query is POSITION_EVENTS else {}
    found: list[dict[str, Any]] = []
    after = subscriber.start
    while True:
        page = (await client.data(TRAIL, {"filter": chosen, "after": after}, subscriber.account.token))["events"]
        found += [edge["node"] for edge in page["edges"]]
        if not page["pageInfo"]["hasNextPage"]:
            return found
        after = page["pageInfo"]["endCursor"]


@asynccontextmanager
async def running(subscribers: list[Subscriber]) -> AsyncIterator[None]:
    """They follow meanwhile; what goes wrong with one is raised."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(subscriber.run()) for subscriber in subscribers]
        yield
        for task in tasks:
            task.cancel()


async def reconnected(subscribers: list[Subscriber]) -> bool:
    """Whether each has been away often enough."""
    return all(subscriber.left >= RECONNECTS for subscriber in subscribers)


async def trade(server: Server, subscribers: list[Subscriber], loads: list[Load], *, restart: bool) -> None:
    """Orders flow until every subscriber has been away often enough."""
    async with loads[0], loads[1]:
        await asyncio.gather(*(load.more(20) for load in loads))
        if restart:
            for load in loads:
                load.up.clear()
            await server.stop()
            await server.start()
            for load in loads:
                load.up.set()
        await until(lambda: reconnected(subscribers), seconds=120)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "restart", [pytest.param(False, id="staying", marks=pytest.mark.soak), pytest.param(True, id="restarted")]
)
async def test_subscriber_when_it_reconnects_at_random_then_no_event_is_lost_or_twice(
    server: Server, *, restart: bool
) -> None:
    async with server.client() as client:
        accounts = [await open_account(client, f"{name}@example.com") for name in ("ada", "bob")]
        start = (await client.data("{ streamCursor }"))["streamCursor"]
        loads = [Load(client, account, seed, clients=1) for seed, account in enumerate(accounts)]
        subscribers = [
            Subscriber(server, account, query, start) for account in accounts for query in (POSITION_EVENTS, EVENTS)
        ]
        async with running(subscribers):
            await trade(server, subscribers, loads, restart=restart)
            for account in accounts:
                await until(functools.partial(all_settled, client, account))
            told = [await trail(client, subscriber) for subscriber in subscribers]

            async def caught_up() -> bool:
                return all(each.cursor == events[-1]["cursor"] for each, events in zip(subscribers, told, strict=True))

            await until(caught_up)
    for subscriber, events in zip(subscribers, told, strict=True):
        subscriber.check(events)
    ada, bob = ({event["cursor"] for event in subscribers[place].seen} for place in (1, 3))
    assert not ada & bob
    assert [subscriber.turned_away > 0 for subscriber in subscribers] == [restart] * 4
