"""What goes wrong with one of those who share an execution is not the others' concern, and each gets what is right."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs
from websockets.frames import Close, Frame, Opcode

from graph.base import global_id
from graph.wire import channel
from graph.wire.answers import Answer
from graph.wire.fanout import Event, Subscription
from graph.wire.pipeline import Pipeline, Prepared
from infrastructure import log
from infrastructure.services import Services
from models import facts
from models.enums import EventType, Severity
from models.notifications import Notification
from resolvers.context import Context
from resolvers.portfolios.commands import deposit_cash
from resolvers.portfolios.loaders import Worth
from resolvers.portfolios.queries import worth
from tests.graph.wire.conftest import EVENTS, shared_by
from tests.support.market import D, Market, Trader
from tests.support.wait import until
from tests.support.wire import Socket

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

VALUE = "subscription ($id: ID!) { valuations(portfolioId: $id, everyMs: 100) { totalValue } }"
NOTIFICATIONS = "subscription { notifications { title } }"


async def sharing(app: Starlette, opened: Any, query: str = EVENTS) -> tuple[Socket, Socket]:
    """Two sockets of one user that share one execution; the first began it."""
    sockets = await opened("ada@example.com"), await opened("ada@example.com")
    for number, socket in enumerate(sockets, 1):
        await socket.start("s", query)
        await until(lambda number=number: shared_by(app) == [number])  # type: ignore[misc]  # reason: a lambda's default
    return sockets


async def test_run_when_a_client_closes_while_frames_are_gathered_for_it_then_the_others_go_on(
    app: Starlette, opened: Any, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, staying = await sharing(app, opened)
    [run] = app.state.fanout._runs.values()
    leaving = next(iter(run.members))
    protocol, offered = leaving._sink._outbox._send.__self__, Subscription.offer

    def offer(subscription: Subscription, event: Event) -> None:
        if subscription is leaving:
            # In one turn: another operation of the socket catches up, and its client's close frame comes.
            subscription._sink.gather()
            goodbye = Frame(Opcode.CLOSE, Close(1000, "").serialize())
            protocol.data_received(goodbye.serialize(mask=True))
        offered(subscription, event)

    monkeypatch.setattr(Subscription, "offer", offer)
    with capture_logs() as logs:
        for _ in range(2):
            await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
            assert (await staying.data("s"))["events"]["type"] == "CASH_MOVED"
        await until(lambda: app.state.fanout.subscriptions == 1)
    assert shared_by(app) == [1]
    assert [each for each in logs if each["log_level"] == "error"] == []


async def test_run_when_a_client_can_not_be_sent_to_then_that_is_logged_and_it_is_let_go(
    app: Starlette, opened: Any, trader: Trader
) -> None:
    _, staying = await sharing(app, opened)
    [run] = app.state.fanout._runs.values()

    async def send(_message: Any) -> None:
        raise KeyError("of the transport")

    next(iter(run.members))._sink._outbox._send = send
    with capture_logs() as logs:
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
        assert (await staying.data("s"))["events"]["type"] == "CASH_MOVED"
        await until(lambda: app.state.fanout.subscriptions == 1)
    assert [each["event"] for each in logs if each["log_level"] == "error"] == ["a client can not be sent to"]
    await until(lambda: app.state.seats.open == 1)


class Broken:
    """A sink that fails, whatever it is asked for."""

    def take(self, event: Event) -> bool:
        raise KeyError(event.text)

    def gather(self) -> None:
        raise AssertionError

    async def room(self) -> None:
        raise AssertionError

    def drop(self) -> None:
        raise AssertionError

    def end(self, answer: Answer | None) -> None:
        raise KeyError(str(answer))


async def test_run_when_the_sink_of_one_reader_fails_then_the_others_go_on(
    app: Starlette, opened: Any, trader: Trader
) -> None:
    _, staying = await sharing(app, opened)
    [run] = app.state.fanout._runs.values()
    next(iter(run.members))._sink = Broken()
    for _ in range(2):
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
        assert (await staying.data("s"))["events"]["type"] == "CASH_MOVED"
    assert (shared_by(app), app.state.fanout.subscriptions) == ([1], 1)


async def test_run_when_it_fails_and_so_does_the_sink_of_one_reader_then_the_others_are_told(
    app: Starlette, opened: Any, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, staying = await sharing(app, opened)
    [run] = app.state.fanout._runs.values()
    next(iter(run.members))._sink = Broken()

    async def event(*_: Any) -> Answer:
        raise KeyError("of the execution")

    monkeypatch.setattr(Pipeline, "event", event)
    await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    frame = await staying.next("s")
    assert (frame["type"], frame["payload"][0]["extensions"]["code"]) == ("error", "INTERNAL")
    await until(lambda: app.state.fanout.subscriptions == 0)


async def tell(services: Services, owner_id: UUID, *titles: str) -> None:
    """Tell a user this, one after the other."""
    now = services.clock.now()
    for title in titles:
        note = Notification(services.ids.new(), owner_id, Severity.INFO, title, "", None, None, now, None, 1)
        async with services.database.write() as tx:
            tx.record(facts.of_notification(EventType.NOTIFICATION_SENT, note, None, now))
        await services.relay.reached(tx.position)


async def told(socket: Socket, count: int) -> list[str]:
    """The titles of the next notifications that a socket gets."""
    return [(await socket.data("s"))["notifications"]["title"] for _ in range(count)]


async def test_reader_of_notifications_when_it_falls_behind_then_it_gets_each_once(
    app: Starlette, opened: Any, services: Services, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    for most in ("QUEUE_MAX", "LATEST_MAX"):
        monkeypatch.setattr(channel, most, 8)
    socket = await opened("ada@example.com")
    await socket.start("s", NOTIFICATIONS)
    await until(lambda: shared_by(app) == [1])
    titles = [str(number) for number in range(30)]
    await tell(services, trader.ctx.owner_id, *titles[:5])
    seen = await told(socket, 5)
    [run] = app.state.fanout._runs.values()
    outbox = next(iter(run.members))._sink._outbox
    reads, send = asyncio.Event(), outbox._send

    async def held(message: Any) -> None:
        await reads.wait()
        await send(message)

    outbox._send = held
    try:
        await tell(services, trader.ctx.owner_id, *titles[5:])
        await until(lambda: shared_by(app) == [])
    finally:
        reads.set()
    await until(lambda: shared_by(app) == [1])
    await tell(services, trader.ctx.owner_id, "last")
    assert seen + await told(socket, 26) == [*titles, "last"]


async def test_reader_of_notifications_when_it_joins_a_run_that_still_executes_what_it_has_had_then_it_gets_that_once(
    app: Starlette, opened: Any, services: Services, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await opened("ada@example.com"), await opened("ada@example.com")
    await first.start("s", NOTIFICATIONS)
    await until(lambda: shared_by(app) == [1])
    [shared] = app.state.fanout._runs.values()
    executes, go_on, begins, begin = (asyncio.Event() for _ in range(4))
    event, last_matching = Pipeline.event, log.last_matching

    async def slowly(pipeline: Pipeline, prepared: Prepared, item: object) -> Answer:
        if prepared is shared._prepared:
            executes.set()
            await go_on.wait()
        return await event(pipeline, prepared, item)

    async def held(*args: Any) -> int | None:
        begins.set()
        await begin.wait()
        return await last_matching(*args)

    monkeypatch.setattr(Pipeline, "event", slowly)
    monkeypatch.setattr(log, "last_matching", held)
    await second.start("s", NOTIFICATIONS)
    await begins.wait()
    await tell(services, trader.ctx.owner_id, "one")
    await executes.wait()
    begin.set()
    assert await told(second, 1) == ["one"]
    await until(lambda: shared_by(app) == [2])
    go_on.set()
    await tell(services, trader.ctx.owner_id, "two")
    assert await told(first, 2) == ["one", "two"]
    assert await told(second, 1) == ["two"]


async def test_reader_of_a_valuation_when_it_joins_between_a_change_and_its_round_then_it_hears_that_it_went_back(
    app: Starlette, opened: Any, services: Services, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = Market(services)
    await market.quote("AAPL", "100", "100.1")
    await trader.trade("BUY", "10", "100")
    await services.relay.reached(services.database.written)
    first, second = await opened("ada@example.com"), await opened("ada@example.com")
    asked = {"id": global_id("Portfolio", trader.portfolio_id)}
    await first.start("s", VALUE, asked)
    low = await first.data("s")
    await until(lambda: shared_by(app) == [1])
    [shared] = app.state.fanout._runs.values()
    reads, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(ctx: Context, portfolio_id: UUID) -> Worth | None:
        if ctx is shared._ctx:
            reads.set()
            await go_on.wait()
        return await worth(ctx, portfolio_id)

    monkeypatch.setattr("resolvers.portfolios.streams.worth", slowly)
    await market.quote("AAPL", "110", "110.1")
    await reads.wait()
    await second.start("s", VALUE, asked)
    assert await second.data("s") != low
    await until(lambda: shared_by(app) == [2])
    await market.quote("AAPL", "100", "100.1")
    go_on.set()
    assert await second.data("s") == low
