"""Subscribers over real websockets that are thrown off and come back with their last cursor, again and again."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import orjson
import websockets

from graph.base import parsed_id
from models.cursors import parse
from models.enums import AggregateType
from models.events import EventFilter, RecordedEvent
from tests.e2e.trading import RETRY_S, Account
from tests.support.wire import SUBPROTOCOL

POSITIONS = """subscription ($portfolio: ID!, $after: String) {
  found: positions(portfolioId: $portfolio, after: $after, heartbeatSeconds: 1) {
    __typename
    ... on PositionSnapshot { cursor positions { id quantity averagePrice realizedPnl } }
    ... on PositionEvent { cursor previousCursor }
    ... on StreamHeartbeat { cursor }
  }
}"""
POSITION_EVENTS = """subscription ($after: String) {
  found: positionEvents(after: $after) { cursor previousCursor position { id quantity } fill { id } }
}"""
ORDER_EVENTS = """subscription ($portfolio: ID!, $after: String) {
  found: orderEvents(portfolioId: $portfolio, after: $after) { cursor previousCursor order { id status } }
}"""
EVENTS = "subscription ($after: String) { found: events(after: $after) { cursor type version payload } }"
STREAMS = (POSITIONS, POSITION_EVENTS, ORDER_EVENTS, EVENTS)
KINDS = {
    POSITIONS: AggregateType.POSITION,
    POSITION_EVENTS: AggregateType.POSITION,
    ORDER_EVENTS: AggregateType.ORDER,
    EVENTS: None,
}
BEAT, SNAPSHOT = "StreamHeartbeat", "PositionSnapshot"
SHOWN = ("id", "quantity", "averagePrice", "realizedPnl")
STAY_S = (0.5, 12)
LEFT_MAX = 4
RETRY_S_MAX = 5
STALL_S = (0.1, 1.5)


def seq_of(cursor: str) -> int:
    """The place that a cursor names."""
    return parse(cursor).seq


def key_of(given: str) -> UUID:
    """The key in an id of the API."""
    parsed = parsed_id(given)
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    return parsed[1]


class Away(Exception):  # noqa: N818 - what a client has to live with is no error
    """The server can't read just now: come back."""


@dataclass
class Reader:
    """Follows one stream, on one server after the other, until it is cancelled.

    It leaves at random, with a goodbye or without, stalls, and is thrown off with its server; each time it comes back
    with the last cursor that it has seen. It leaves by itself no more than `LEFT_MAX` times, nor once `stays` is set.
    """

    account: Account
    query: str
    addresses: Sequence[str]
    chance: random.Random
    stays: asyncio.Event
    start: str | None
    seen: list[dict[str, Any]] = field(default_factory=list)
    left: int = 0
    stalled: int = 0
    thrown_off: int = 0

    @property
    def cursor(self) -> str | None:
        """The last that it has seen, or where it began."""
        return self.seen[-1]["cursor"] if self.seen else self.start

    @property
    def _stays(self) -> bool:
        return self.stays.is_set() or self.left >= LEFT_MAX

    async def run(self) -> None:
        """Raises what is wrong with what it is sent."""
        if self.start is None:  # so that there is something for it to be shown
            await asyncio.sleep(self.chance.uniform(*STAY_S))
        in_vain = 0
        while True:
            seen = len(self.seen)
            try:
                await self._visit(self.chance.choice(self.addresses))
            except (Away, OSError, websockets.WebSocketException):
                # As clients do, later each time, so that those who were thrown off together do not come together.
                self.thrown_off += 1
                in_vain = 0 if len(self.seen) > seen else in_vain + 1
                await asyncio.sleep(self.chance.uniform(RETRY_S, min(RETRY_S * 2**in_vain, RETRY_S_MAX)))

    async def _visit(self, address: str) -> None:
        opening = websockets.connect(
            f"ws://{address}/graphql", subprotocols=[SUBPROTOCOL], max_queue=None, compression=None, ping_interval=None
        )
        async with opening as connection:
            await _send(connection, type="connection_init", payload={"Authorization": f"Bearer {self.account.token}"})
            assert orjson.loads(await connection.recv()) == {"type": "connection_ack"}
            given = {"portfolio": self.account.portfolio_id, "after": self.cursor}
            named = {name: value for name, value in given.items() if f"${name}:" in self.query}
            await _send(connection, type="subscribe", id="s", payload={"query": self.query, "variables": named})
            await self._read(connection)

    async def _read(self, connection: websockets.ClientConnection) -> None:
        until = asyncio.get_running_loop().time() + self.chance.uniform(*STAY_S)
        while True:
            try:
                async with asyncio.timeout_at(None if self._stays else until):
                    self._take(orjson.loads(await connection.recv()))
            except TimeoutError:
                if self._stays:
                    continue
                if self.chance.random() < 1 / 3:
                    await self._stall(connection)
                    until += self.chance.uniform(*STAY_S)
                    continue
                self.left += 1
                if self.chance.random() < 1 / 2:
                    connection.transport.abort()
                    return
                await _send(connection, type="complete", id="s")
                return

    async def _stall(self, connection: websockets.ClientConnection) -> None:
        """Read nothing for a while, as an application that is busy does."""
        self.stalled += 1
        connection.transport.pause_reading()
        await asyncio.sleep(self.chance.uniform(*STALL_S))
        if not connection.transport.is_closing():
            connection.transport.resume_reading()

    def _take(self, frame: dict[str, Any]) -> None:
        if frame["type"] == "error" and frame["payload"][0]["extensions"]["code"] == "UNAVAILABLE":
            raise Away  # of the database there was no connection to be had in time
        assert frame["type"] == "next", frame
        assert "errors" not in frame["payload"], frame
        self.seen.append(frame["payload"]["data"]["found"])

    # ------------------------------------------------------------ what it has to have seen

    def expected(self, log: Sequence[RecordedEvent]) -> list[int]:
        """The numbers of the events that are its own, in order."""
        if (kind := KINDS[self.query]) is None:
            chosen = EventFilter(visible_to=key_of(self.account.user_id))
        else:
            portfolio_id = key_of(self.account.portfolio_id) if "$portfolio:" in self.query else None
            chosen = EventFilter(aggregate_type=kind, owner_id=key_of(self.account.user_id), portfolio_id=portfolio_id)
        begin = self._begin
        return [event.seq for event in log if event.seq > begin and chosen.matches(event)]

    @property
    def _begin(self) -> int:
        return seq_of(self.start or self.seen[0]["cursor"])

    def is_at_the_end(self, log: Sequence[RecordedEvent]) -> bool:
        """Whether the last that is its own has come."""
        if self.cursor is None:
            return False
        expected = self.expected(log)
        return not expected or seq_of(self.cursor) >= expected[-1]

    def check(self, log: Sequence[RecordedEvent]) -> None:
        """It has seen exactly what is in the log, once and in order, and could prove it."""
        kinds = [each.get("__typename") for each in self.seen]
        snapshots = [place for place, kind in enumerate(kinds) if kind == SNAPSHOT]
        assert snapshots == ([] if self.start else [0])
        events = [each for each, kind in zip(self.seen, kinds, strict=True) if kind not in {BEAT, SNAPSHOT}]
        assert [seq_of(each["cursor"]) for each in events] == self.expected(log)
        places = [seq_of(each["cursor"]) for each in self.seen]
        assert places == sorted(places)  # a heartbeat, too, promises that nothing before it is still to come
        for before, each in itertools.pairwise(events):
            assert each.get("previousCursor", before["cursor"]) == before["cursor"]
        if snapshots:
            self._check_snapshot(log)

    def _check_snapshot(self, log: Sequence[RecordedEvent]) -> None:
        """It shows what the log makes of the positions up to its cursor."""
        held: dict[str, dict[str, Any]] = {}
        portfolio_id = key_of(self.account.portfolio_id)
        for event in log[: self._begin]:
            if event.aggregate_type is AggregateType.POSITION and event.portfolio_id == portfolio_id:
                position = event.data["position"]
                held[position["id"]] = {name: position[name] for name in SHOWN}
                if position["closedAt"] is not None:
                    del held[position["id"]]
        shown = [each | {"id": str(key_of(each["id"]))} for each in self.seen[0]["positions"]]
        assert {each["id"]: each for each in shown} == held


async def _send(connection: websockets.ClientConnection, **message: Any) -> None:
    await connection.send(orjson.dumps(message).decode())
