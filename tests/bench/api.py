"""How long four questions take over HTTP, beside the same written by hand, in turn in one run."""

import asyncio
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from tests.bench.data import Data, fill
from tests.bench.processes import served
from tests.bench.wire import Wire
from tests.support.house import migrated, settings_for
from tests.support.server import Server

REQUESTS, WARM_UP = 500, 50
TOKEN_S = 7200

USER = "query ($id: ID!) { user(id: $id) { id email firstName lastName role createdAt } }"
PORTFOLIO = """
query ($id: ID!) { portfolio(id: $id) {
  id name cash valuation { marketValue totalValue unrealizedPnl realizedPnl dayPnl stale }
  positions(first: 20) { edges { node {
    id instrument { symbol name } quantity averagePrice marketPrice marketValue unrealizedPnl weight
  } } }
} }
"""
ORDERS = """
{ orders(first: 50) { edges { node {
  id clientOrderId side type status quantity filledQuantity averageFillPrice placedAt
  portfolio { name owner { email } } instrument { symbol name }
  fills(first: 10) { edges { node { id quantity price commission executedAt } } }
} } } }
"""
PLACE = """
mutation ($id: ID!, $key: String!) {
  placeOrder(input: { portfolioId: $id symbol: "AAPL" side: BUY type: LIMIT timeInForce: GTC quantity: "1"
                      limitPrice: "1.00" clientOrderId: $key }) { order { id status } errors { message } }
}
"""
CANCEL = "mutation ($id: ID!) { cancelOrder(input: { orderId: $id }) { errors { message } } }"


@dataclass(frozen=True)
class Timing:
    """The milliseconds of one question: of Tradegraph, and of the same by hand."""

    name: str
    ours: list[float]
    by_hand: list[float]

    @property
    def ratio(self) -> float:
        """How many times as long it takes, by the medians."""
        return statistics.median(self.ours) / statistics.median(self.by_hand)


def percentile(times: list[float], percent: int) -> float:
    """The time that so many percent of the requests do not exceed."""
    return sorted(times)[max(0, -(-len(times) * percent // 100) - 1)]


async def measure(home: Path, url: str, *, requests: int = REQUESTS) -> list[Timing]:
    """Every question on one database, which is migrated and filled here."""
    settings = settings_for(url, home, access_token_s=TOKEN_S)
    migrated(settings)
    data = await fill(settings)
    # No line for each request, on either side.
    async with (
        Server(home, url, log_level="WARNING", access_token_s=TOKEN_S) as server,
        served("tests.bench.baseline", url) as (_, other),
    ):
        return await asyncio.to_thread(_measure, server.address, other, data, requests)


def _measure(server: str, other: str, data: Data, requests: int) -> list[Timing]:
    keys = count()
    with Wire(server, data.token) as ours, Wire(other, data.token) as theirs:

        def asked(query: str, **variables: Any) -> Callable[[], tuple[float, Any]]:
            return lambda: ours.post("/graphql", {"query": query, "variables": variables})

        def handed(path: str, **given: Any) -> Callable[[], tuple[float, Any]]:
            return lambda: theirs.post(path, given)

        def cancelled(done: tuple[float, Any]) -> tuple[float, Any]:
            """Without the time: so that the next order finds what this one found."""
            placed = done[1]["data"]["placeOrder"]
            assert not placed["errors"], placed
            ours.post("/graphql", {"query": CANCEL, "variables": {"id": placed["order"]["id"]}})
            return done

        order = {"symbol": "AAPL", "quantity": "1", "limitPrice": "1.00"}
        return [
            _timed("user by id", asked(USER, id=data.user_id), handed("/user", id=data.user_id), requests),
            _timed(
                "portfolio, 20 positions, valuation",
                asked(PORTFOLIO, id=data.portfolio_id),
                handed("/portfolio", id=data.portfolio_id),
                requests,
            ),
            _timed("50 orders, portfolio, owner, fills", asked(ORDERS), handed("/orders"), requests),
            _timed(
                "placeOrder",
                lambda: cancelled(asked(PLACE, id=data.portfolio_id, key=f"a{next(keys)}")()),
                lambda: cancelled(handed("/place", id=data.portfolio_id, key=f"b{next(keys)}", **order)()),
                requests,
            ),
        ]


def _timed(
    name: str, ours: Callable[[], tuple[float, Any]], theirs: Callable[[], tuple[float, Any]], requests: int
) -> Timing:
    """In turn, after warming up; both say the same (what prices move aside)."""
    for _ in range(WARM_UP):
        one, other = ours()[1], theirs()[1]
    assert _shape(one) == _shape(other), (one, other)
    pairs = [(ours()[0], theirs()[0]) for _ in range(requests)]
    return Timing(name, [pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _shape(value: Any) -> Any:
    """What there is, without its figures."""
    if isinstance(value, dict):
        return {key: _shape(item) for key, item in value.items()}
    return [_shape(item) for item in value] if isinstance(value, list) else type(value)
