"""What goes wrong with one of those who share an execution is not the others' concern, and each gets what is right."""

from typing import Any

import pytest
from starlette.applications import Starlette
from structlog.testing import capture_logs
from websockets.frames import Close, Frame, Opcode

from graph.wire.answers import Answer
from graph.wire.fanout import Event, Subscription
from graph.wire.pipeline import Pipeline
from resolvers.portfolios.commands import deposit_cash
from tests.graph.wire.conftest import EVENTS, shared_by
from tests.support.market import D, Trader
from tests.support.wait import until
from tests.support.wire import Socket

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


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
