"""Who gets the same shares one execution, and nobody misses anything by it."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import pytest
from starlette.applications import Starlette

from graph.base import global_id
from graph.wire.answers import Answer
from graph.wire.fanout import Event, Subscription
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from graph.wire.sharing import key_of
from infrastructure.relay import QUEUE_MAX
from infrastructure.services import Services
from resolvers.accounts.commands import login, logout
from resolvers.events.queries import cursor_of
from resolvers.portfolios.commands import create_portfolio, deposit_cash
from tests.graph.wire.conftest import EVENTS, shared_by
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader
from tests.support.people import PASSWORD, anonymous, context_of, signed_up
from tests.support.wait import until
from tests.support.wire import Socket, server_of, socket_to

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)

QUOTES = 'subscription { quotes(symbols: ["AAPL"], everyMs: 100) { symbol bid } }'


class Executions:
    """Counts what is executed of subscriptions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.encoded = 0
        whole, text = Pipeline.event, vars(Event)["text"].fget

        async def counted(pipeline: Pipeline, *args: Any) -> Any:
            self.count += 1
            return await whole(pipeline, *args)

        def encoding(event: Event) -> str:
            self.encoded += event._text is None
            return str(text(event))

        monkeypatch.setattr(Pipeline, "event", counted)
        monkeypatch.setattr(Event, "text", property(encoding))


@pytest.fixture
def executions(monkeypatch: pytest.MonkeyPatch) -> Executions:
    return Executions(monkeypatch)


async def test_subscribers_when_they_get_the_same_then_each_event_is_executed_and_encoded_once(
    app: Starlette, opened: Any, services: Services, trader: Trader, executions: Executions
) -> None:
    sockets = [await opened("ada@example.com") for _ in range(5)]
    for number, socket in enumerate(sockets):
        await socket.start(f"mine {number}", EVENTS)
    await until(lambda: app.state.fanout.subscriptions == 5 and shared_by(app) == [5])
    executions.count = executions.encoded = 0
    for amount in range(1, 4):
        await deposit_cash(trader.ctx, trader.portfolio_id, D(amount))
    seen = [
        [(await socket.data(f"mine {number}"))["events"] for _ in range(3)] for number, socket in enumerate(sockets)
    ]
    assert [event["type"] for event in seen[0]] == ["CASH_MOVED"] * 3
    assert all(each == seen[0] for each in seen)
    assert (executions.count, executions.encoded) == (3, 3)
    assert services.relay._followers.__len__() == 1


async def test_subscribers_when_they_are_different_users_then_only_what_is_for_all_is_shared(
    app: Starlette, opened: Any, services: Services, trader: Trader, executions: Executions
) -> None:
    await signed_up(services, email="bob@example.com")
    market = Market(services)
    await market.quote("AAPL", "100", "101")
    ada, bob = await opened("ada@example.com"), await opened("bob@example.com")
    for socket in (ada, bob):
        await socket.start("events", EVENTS)
        await socket.start("quotes", QUOTES)
        assert (await socket.data("quotes"))["quotes"] == {"symbol": "AAPL", "bid": "100"}
    await until(lambda: shared_by(app) == [1, 1, 2])
    executions.count = 0
    await market.quote("AAPL", "102", "103")
    for socket in (ada, bob):
        assert (await socket.data("quotes"))["quotes"] == {"symbol": "AAPL", "bid": "102"}
    assert executions.count == 1
    await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    assert (await ada.data("events"))["events"]["type"] == "CASH_MOVED"
    assert bob._frames["events"].empty()


@pytest.mark.parametrize(
    ("query", "for_all"),
    [
        ("subscription { quotes(symbols: []) { symbol instrument { name __typename } stale } }", True),
        ("subscription { quotes(symbols: []) { ...Q } } fragment Q on Quote { bid }", True),
        ("subscription { events { type } }", False),
        ("subscription { positionEvents { cursor position { instrument { name } } } }", False),
        ("subscription { quotes(symbols: []) { instrument { quote { bid } } } }", False),
    ],
)
async def test_key_when_a_document_could_show_what_is_somebodys_then_it_is_theirs_alone(
    app: Starlette, trader: Trader, services: Services, query: str, *, for_all: bool
) -> None:
    bob = await context_of(services, await signed_up(services, email="bob@example.com"))
    pipeline: Pipeline = app.state.fanout.pipeline
    keys = []
    for ctx in (trader.ctx, bob):
        prepared = pipeline.prepare(GraphQLRequest(query), ctx)
        assert prepared.refusal is None
        keys.append(key_of(prepared, ctx.viewer, pipeline.schema._schema))
    assert (keys[0] == keys[1]) == for_all


@pytest.mark.parametrize(
    ("query", "one", "other", "same"),
    [
        (EVENTS, {"after": "a"}, {"after": "b"}, True),
        (EVENTS, {"after": "a"}, None, True),
        ("subscription ($a: String, $b: ID) { positionEvents(after: $a, portfolioId: $b) { cursor } }",
         {"a": "x", "b": "1"}, {"a": "y", "b": "2"}, False),
        ("subscription ($a: String!) { ...S } fragment S on Subscription { events(after: $a) { type } }",
         {"a": "x"}, {"a": "y"}, False),
    ],
)  # fmt: skip
async def test_key_when_only_the_beginning_differs_then_it_is_the_same(
    app: Starlette, trader: Trader, query: str, one: Any, other: Any, *, same: bool
) -> None:
    pipeline: Pipeline = app.state.fanout.pipeline
    keys = []
    for variables in (one, other):
        prepared = pipeline.prepare(GraphQLRequest(query, None, variables), trader.ctx)
        keys.append(key_of(prepared, trader.ctx.viewer, pipeline.schema._schema))
    assert (keys[0] == keys[1]) == same


async def test_subscribers_when_they_begin_at_different_cursors_while_events_flow_then_each_gets_every_event_once(
    app: Starlette, opened: Any, services: Services, trader: Trader
) -> None:
    chance = random.Random(5)  # noqa: S311 - repeatable
    for amount in range(1, 40):
        await deposit_cash(trader.ctx, trader.portfolio_id, D(amount))
    await services.relay.reached(40)

    async def flow() -> None:
        for amount in range(1, 60):
            await deposit_cash(trader.ctx, trader.portfolio_id, D(amount))
            await asyncio.sleep(0)

    flowing = asyncio.create_task(flow())
    begun: list[tuple[Socket, int]] = []
    for _ in range(8):
        socket, place = await opened("ada@example.com"), chance.randint(1, 40)
        await socket.start("events", EVENTS, {"after": cursor_of(trader.ctx, place)})
        begun.append((socket, place))
        for _ in range(chance.randint(0, 50)):
            await asyncio.sleep(0)
    await flowing
    last = (await deposit_cash(trader.ctx, trader.portfolio_id, D(1))).position
    for socket, place in begun:
        seen: list[str] = []
        while not seen or seen[-1] != cursor_of(trader.ctx, last):
            seen.append((await socket.data("events"))["events"]["cursor"])
        assert seen == [cursor_of(trader.ctx, seq) for seq in await seen_by(trader, place, last)]
    await until(lambda: shared_by(app) == [8])


async def seen_by(trader: Trader, after: int, until_seq: int) -> list[int]:
    """The numbers of a user's events."""
    log = await whole_log(trader.ctx.services.database)
    return [each.seq for each in log if after < each.seq <= until_seq and each.owner_id == trader.ctx.owner_id]


async def test_run_when_its_first_reader_leaves_then_the_others_go_on(
    app: Starlette, opened: Any, trader: Trader
) -> None:
    first, second = await opened("ada@example.com"), await opened("ada@example.com")
    await first.start("events", EVENTS)
    await until(lambda: shared_by(app) == [1])
    await second.start("events", EVENTS)
    await until(lambda: shared_by(app) == [2])
    await first.connection.close()
    await until(lambda: shared_by(app) == [1])
    await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    assert (await second.data("events"))["events"]["type"] == "CASH_MOVED"


async def test_run_when_the_sign_in_that_began_it_ends_then_only_its_socket_closes(
    app: Starlette, services: Services, trader: Trader
) -> None:
    signed_in = [await login(anonymous(services), "ada@example.com", PASSWORD) for _ in range(2)]
    await services.relay.reached(len(await whole_log(services.database)))
    async with server_of(app) as server, socket_to(server) as first, socket_to(server) as second:
        for socket, each in zip((first, second), signed_in, strict=True):
            await socket.init(each.access_token)
            await socket.start("events", EVENTS)
        await until(lambda: shared_by(app) == [2])
        await logout(anonymous(services), signed_in[0].refresh_token)
        assert (await first.closed())[0] == 4401
        assert (await second.data("events"))["events"]["type"] == "SESSION_ENDED"
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
        assert (await second.data("events"))["events"]["type"] == "CASH_MOVED"
        assert first._frames["events"].empty()


async def test_reader_when_it_falls_behind_then_it_reads_the_log_itself_and_misses_nothing(
    app: Starlette, opened: Any, trader: Trader
) -> None:
    """One stops reading until far more waits than is kept for it; the other gets all at once."""
    slow = await opened("ada@example.com")
    [outbox] = [each._outbox for each in app.state.seats._guests]
    quick = await opened("ada@example.com")
    for socket in (slow, quick):
        await socket.start("events", EVENTS)
    await until(lambda: shared_by(app) == [2])
    count = QUEUE_MAX + 200
    async with AsyncExitStack() as stack:
        blocked, whole = asyncio.Event(), outbox._send

        async def held(message: Any) -> None:
            await blocked.wait()
            await whole(message)

        outbox._send = held
        stack.callback(blocked.set)
        for number in range(count):
            await create_portfolio(trader.ctx, f"Portfolio {number}", None, None)
        fast = [(await quick.data("events"))["events"]]
        await until(lambda: shared_by(app) == [1])
    seen = {}
    for name, socket in (("slow", slow), ("quick", quick)):
        found = fast if name == "quick" else []
        seen[name] = found + [(await socket.data("events"))["events"] for _ in range(count - len(found))]
    assert seen["slow"] == seen["quick"]
    await until(lambda: shared_by(app) == [2])


async def test_subscriber_when_it_begins_again_before_its_first_event_then_it_does_so_where_it_began(
    app: Starlette, opened: Any, services: Services, trader: Trader
) -> None:
    for _ in range(2):
        await (await opened("ada@example.com")).start("events", EVENTS)
    await until(lambda: shared_by(app) == [2])
    [run] = app.state.fanout._runs.values()
    _, last = run.members
    last._leave()
    done = await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    await services.relay.reached(done.position)
    sink = last._sink = Full(0)
    last._task = app.state.fanout.task(last._again())
    await until(lambda: sink.taken)
    assert sink.taken[0].mark is not None
    assert sink.taken[0].mark.cursor == cursor_of(trader.ctx, done.position)


class Full:
    """A sink that has no room at the first tries."""

    def __init__(self, refusals: int) -> None:
        self.refusals = refusals
        self.waited = 0
        self.taken: list[Event] = []

    def take(self, event: Event) -> bool:
        if len(self.taken) == 0 and self.refusals:
            self.refusals -= 1
            return False
        self.taken.append(event)
        return True

    def gather(self) -> None:
        pass

    async def room(self) -> None:
        self.waited += 1

    def drop(self) -> None:
        raise AssertionError

    def end(self, answer: Answer | None) -> None:  # noqa: ARG002 - reason: it is not to come to that
        raise AssertionError


async def test_event_when_its_sink_has_no_room_then_it_is_offered_until_it_is_taken(app: Starlette) -> None:
    async def begin() -> Any:
        raise AssertionError

    sink, event = Full(2), Event(Answer({"events": None}), None)
    subscription = Subscription(app.state.fanout, GraphQLRequest(EVENTS), begin, sink)
    await subscription.give(event)
    assert (sink.taken, sink.refusals, sink.waited) == ([event], 0, 3)
    await subscription.close()
    assert app.state.fanout.subscriptions == 0


async def test_key_when_the_portfolio_is_another_then_nothing_is_shared(
    app: Starlette, opened: Any, trader: Trader
) -> None:
    other = (await create_portfolio(trader.ctx, "Other", None, D(1))).value
    query = "subscription ($id: ID!, $after: String) { orderEvents(portfolioId: $id, after: $after) { cursor } }"
    for portfolio_id in (trader.portfolio_id, other.id, other.id):
        socket = await opened("ada@example.com")
        await socket.start("orders", query, {"id": global_id("Portfolio", portfolio_id)})
    await until(lambda: shared_by(app) == [1, 2])
