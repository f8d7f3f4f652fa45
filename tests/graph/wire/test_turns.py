"""Who begins does so in turn, so that a herd of readers is served to the last, and requests beside it."""

import asyncio
from typing import Any

import pytest
from starlette.applications import Starlette

from graph.wire import turns
from graph.wire.turns import Turn, Turns
from infrastructure.services import Services
from resolvers.accounts.commands import login
from resolvers.context import Context
from resolvers.events import streams
from resolvers.events.queries import cursor_of
from resolvers.portfolios.commands import deposit_cash
from tests.graph.wire.conftest import EVENTS, shared_by
from tests.support.log_race import whole_log
from tests.support.market import D, Trader
from tests.support.people import PASSWORD, anonymous
from tests.support.wait import until
from tests.support.wire import Client

TRAIL = "query ($after: String) { events(first: 1, after: $after) { edges { node { type } } } }"
HERD_SOCKETS, OF_EACH = 3, 100


@pytest.fixture
async def token(services: Services, trader: Trader) -> str:
    assert trader
    return (await login(anonymous(services), "ada@example.com", PASSWORD)).access_token


async def metrics(client: Client) -> str:
    return (await client.http.get("/metrics")).text


async def now(services: Services, trader: Trader) -> str:
    """The cursor of the log's end."""
    await services.relay.reached(len(await whole_log(services.database)))
    return cursor_of(trader.ctx, services.relay.position)


async def test_turn_when_there_is_no_place_then_it_comes_in_order_and_who_gives_up_is_passed_over() -> None:
    of_all, came = Turns(2), []

    async def begin(number: int) -> Turn:
        turn = of_all.turn()
        await turn.take()
        came.append(number)
        return turn

    tasks = [asyncio.create_task(begin(number)) for number in range(6)]
    await until(lambda: came == [0, 1])
    tasks[2].cancel()
    (await tasks[1]).end()
    await until(lambda: came == [0, 1, 3])
    first = await tasks[0]
    first.end()
    first.end()
    await until(lambda: came == [0, 1, 3, 4])
    (await tasks[3]).end()
    assert (await tasks[5]).lasts
    assert not first.lasts


async def test_turn_when_it_lasts_too_long_then_the_next_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "TURN_S_MAX", 0.01)
    of_all = Turns(1)
    slow = of_all.turn()
    await slow.take()
    async with of_all.turn():
        assert not slow.lasts
    slow.end()
    monkeypatch.undo()
    async with of_all.turn() as last:
        assert last.lasts
        waiting = asyncio.create_task(of_all.turn().take())
        await until(lambda: of_all.waiting == 1)
    await waiting
    assert of_all.waiting == 0


async def test_herd_when_it_begins_at_once_then_none_is_refused_and_requests_are_answered_meanwhile(
    app: Starlette,
    opened: Any,
    client: Client,
    services: Services,
    trader: Trader,
    token: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns, "TURN_S_MAX", 600.0)
    go_on, place_behind, reading = asyncio.Event(), streams.place_behind, 0

    async def held(ctx: Context, after: str | None) -> int:
        nonlocal reading
        async with services.database.read():
            reading += 1
            await go_on.wait()
        return await place_behind(ctx, after)

    monkeypatch.setattr(streams, "place_behind", held)
    sockets = [await opened("ada@example.com") for _ in range(HERD_SOCKETS)]
    start = await now(services, trader)
    await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    for socket in sockets:
        for number in range(OF_EACH):
            await socket.start(str(number), EVENTS, {"after": start})
    places = services.settings.reader_pool // 2
    await until(lambda: app.state.fanout.turns.waiting == HERD_SOCKETS * OF_EACH - places and reading == places)
    trail = (await client.data(TRAIL, {"after": start}, token))["events"]
    assert [edge["node"] for edge in trail["edges"]] == [{"type": "CASH_MOVED"}]
    assert f"tradegraph_subscriptions_waiting {float(HERD_SOCKETS * OF_EACH - places)}" in await metrics(client)
    assert reading == places
    # Who has left by the time their turn comes is not waited for.
    await sockets[0].send({"id": str(OF_EACH - 1), "type": "complete"})
    await until(lambda: app.state.fanout.subscriptions == HERD_SOCKETS * OF_EACH - 1)
    go_on.set()
    for socket in sockets:
        for number in range(OF_EACH - (socket is sockets[0])):
            assert (await socket.data(str(number)))["events"]["type"] == "CASH_MOVED"
    await until(lambda: shared_by(app) == [HERD_SOCKETS * OF_EACH - 1])


async def test_reader_when_it_leaves_unread_what_it_missed_then_others_begin_meanwhile(
    app: Starlette, opened: Any, services: Services, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "TURN_S_MAX", 600.0)
    app.state.fanout.turns = Turns(1)
    slow, start = await opened("ada@example.com"), await now(services, trader)
    for _ in range(3):
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    await services.relay.reached(services.database.written)
    [guest] = app.state.seats._guests
    reads, send = asyncio.Event(), guest._outbox._send

    async def held(message: Any) -> None:
        await reads.wait()
        await send(message)

    guest._outbox._send = held
    await slow.start("s", EVENTS, {"after": start})
    quick = await opened("ada@example.com")
    await quick.start("s", EVENTS, {"after": start})
    seen = [(await quick.data("s"))["events"]["cursor"] for _ in range(3)]
    reads.set()
    assert [(await slow.data("s"))["events"]["cursor"] for _ in range(3)] == seen
    await until(lambda: shared_by(app) == [2])
