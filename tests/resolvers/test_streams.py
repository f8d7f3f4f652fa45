"""Streams of events: nothing lost, nothing twice, from any cursor."""

import asyncio
import gc
import itertools
import random
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypeVar

import pytest

from infrastructure.services import Services
from models.cursors import Cursor, CursorExpired
from models.enums import AggregateType, EventType, OrderStatus, PositionSide, Role
from models.errors import BadRequest, Unauthenticated
from models.events import EventFilter
from models.money import ZERO
from resolvers.accounts.commands import grant_role, logout
from resolvers.events.queries import cursor_of
from resolvers.events.streams import (
    OrderEvent,
    PositionEvent,
    PositionSnapshot,
    all_events,
    order_events,
    position_events,
    positions,
)
from resolvers.orders.commands import cancel_order
from resolvers.portfolios.commands import create_portfolio, deposit_cash
from resolvers.portfolios.loaders import portfolios_by_id
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader
from tests.support.people import anonymous, context_of, signed_up
from tests.support.processes import another_process, context_in
from tests.support.streams import beginning, stirred, take, waiting
from tests.support.wait import until

D = Decimal
T = TypeVar("T")


async def test_order_events_when_read_from_the_beginning_then_each_shows_the_order_as_it_was_after_it(
    services: Services,
) -> None:
    ada = await stirred(services)
    seen = await take(order_events(ada.ctx, None, beginning(ada.ctx)), 7)
    assert [event.type for event in seen] == [
        EventType.ORDER_PLACED,
        EventType.ORDER_EXECUTED,
        EventType.ORDER_PLACED,
        EventType.ORDER_EXECUTED,
        EventType.ORDER_CANCELLED,
        EventType.ORDER_PLACED,
        EventType.ORDER_EXECUTED,
    ]
    partial = seen[3]
    assert (partial.order.status, partial.order.version) == (OrderStatus.PARTIALLY_FILLED, 2)
    assert (partial.order.filled_quantity, partial.order.average_fill_price) == (D(2), D("199.5"))
    assert partial.order.reserved_cash == D("600.6")  # 3 x 200 x 1.001
    assert partial.fill is not None
    assert (partial.fill.quantity, partial.fill.price, partial.fill.commission) == (D(2), D("199.5"), D("0.399"))
    assert (seen[4].order.status, seen[4].order.cancel_reason, seen[4].fill) == (OrderStatus.CANCELLED, "enough", None)
    assert seen[4].order.reserved_cash == ZERO


async def test_position_events_when_a_trade_crosses_zero_then_one_cycle_closes_and_another_opens(
    services: Services,
) -> None:
    ada = await stirred(services)
    seen = await take(position_events(ada.ctx, ada.portfolio_id, beginning(ada.ctx)), 4)
    assert [event.type for event in seen] == [
        EventType.POSITION_OPENED,
        EventType.POSITION_CHANGED,
        EventType.POSITION_CLOSED,
        EventType.POSITION_OPENED,
    ]
    assert [event.position.quantity for event in seen] == [D(10), D(12), ZERO, D(-3)]
    assert [event.position.average_price for event in seen] == [D(200), D("199.91666667"), D("199.91666667"), D(201)]
    assert seen[2].position.realized_pnl == D("12.99999996")  # 12 x (201 - 199.91666667)
    assert seen[3].position.side is PositionSide.SHORT
    assert {event.fill.price for event in seen[2:] if event.fill} == {D(201)}
    # At 199.90, the last price that there was.
    assert seen[0].position.mark.market_value == D(1999)
    assert seen[0].position.mark.unrealized_pnl == D(-1)


async def test_stream_when_it_begins_at_any_cursor_then_it_gives_exactly_what_comes_behind_and_what_came_before(
    services: Services,
) -> None:
    ada = await stirred(services)
    log = await whole_log(services.database)
    mine = [
        each.seq for each in log if each.aggregate_type is AggregateType.ORDER and each.owner_id == ada.ctx.owner_id
    ]
    assert len(mine) == 7
    for place in range(mine[-1]):
        behind = [seq for seq in mine if seq > place]
        seen = await take(order_events(ada.ctx, None, cursor_of(ada.ctx, place)), len(behind))
        assert [event.cursor for event in seen] == [cursor_of(ada.ctx, seq) for seq in behind]
        before = [seq for seq in mine if seq <= place]
        chain = [cursor_of(ada.ctx, before[-1]) if before else None, *(event.cursor for event in seen[:-1])]
        assert [event.previous_cursor for event in seen] == chain


async def test_stream_when_no_cursor_is_given_then_it_begins_now_and_names_what_came_before(
    services: Services,
) -> None:
    ada = await stirred(services)
    last = (await take(order_events(ada.ctx, None, beginning(ada.ctx)), 7))[-1]
    following = asyncio.ensure_future(take(order_events(ada.ctx, None, None), 1))
    await waiting(services, following)
    placed = (await ada.place("BUY", "1", limit="150")).value
    [event] = await following
    assert (event.order.id, event.previous_cursor) == (placed.id, last.cursor)


async def test_stream_when_it_is_of_one_portfolio_then_the_others_do_not_show(services: Services) -> None:
    ada = await stirred(services)
    other = Trader(ada.ctx, (await create_portfolio(ada.ctx, "Other", None, D(5000))).value.id)
    placed = (await other.place("BUY", "1", limit="150")).value
    [event] = await take(order_events(ada.ctx, other.portfolio_id, beginning(ada.ctx)), 1)
    assert (event.order.id, event.previous_cursor) == (placed.id, None)


async def test_stream_when_the_portfolio_is_someone_elses_then_it_answers_as_for_a_missing_one(
    services: Services,
) -> None:
    ada = await stirred(services)
    bob = await context_of(services, await signed_up(services, "eve@example.com"))
    for portfolio_id in (ada.portfolio_id, services.ids.new()):
        for stream in (order_events, position_events):
            with pytest.raises(BadRequest) as refused:
                await anext(stream(bob, portfolio_id, None))
            assert (str(refused.value), refused.value.argument) == ("No such portfolio.", "portfolioId")


async def test_stream_when_nobody_is_signed_in_then_it_refuses(services: Services) -> None:
    with pytest.raises(Unauthenticated):
        await anext(order_events(anonymous(services), None, None))
    with pytest.raises(Unauthenticated):
        await anext(position_events(anonymous(services), None, None))
    with pytest.raises(Unauthenticated):
        await anext(all_events(anonymous(services), EventFilter(), None))


@pytest.mark.parametrize("cursor", ["", "nonsense", "!", "MQ", "\ud800", "Zm9v", str(Cursor("x", 2**63))])
async def test_stream_when_the_cursor_is_none_of_the_log_then_it_is_a_bad_request(
    services: Services, cursor: str
) -> None:
    ctx = await context_of(services, await signed_up(services))
    with pytest.raises(BadRequest) as refused:
        await anext(order_events(ctx, None, cursor))
    assert refused.value.argument == "after"


@pytest.mark.parametrize("beyond", [1, 10, 2**62])
async def test_stream_when_the_cursor_is_beyond_the_logs_end_then_it_has_expired(
    services: Services, beyond: int
) -> None:
    ctx = await context_of(services, await signed_up(services))
    head = len(await whole_log(services.database))
    await services.relay.reached(head)
    with pytest.raises(CursorExpired):
        await anext(order_events(ctx, None, cursor_of(ctx, head + beyond)))


async def test_stream_when_the_cursor_is_of_another_log_then_it_has_expired(services: Services) -> None:
    ctx = await context_of(services, await signed_up(services))
    with pytest.raises(CursorExpired):
        await anext(all_events(ctx, EventFilter(), str(Cursor("another", 0))))


async def test_stream_when_the_cursor_is_ahead_of_this_process_but_in_the_log_then_it_goes_on_from_there(
    services: Services,
) -> None:
    await Market.open(services)
    ada = await Trader.with_cash(services)
    async with another_process(services, 1) as other:
        await other.relay.stop()  # it sees nothing of what comes now
        await other.relay.start()
        other.relay._poll_s = 3600
        await ada.place("BUY", "1", limit="10")
        head = (await ada.place("BUY", "2", limit="10")).position
        assert other.relay.position < head
        stream = order_events(context_in(other, ada.ctx), None, cursor_of(ada.ctx, head))
        following = asyncio.ensure_future(take(stream, 1))
        await waiting(other, following)
        third = (await ada.place("BUY", "3", limit="10")).value
        other.relay.wake()
        [event] = await following
    assert (event.order.id, event.previous_cursor) == (third.id, cursor_of(ada.ctx, head))


async def test_positions_when_the_reader_comes_back_right_after_the_snapshot_then_nothing_that_it_showed_comes_again(
    services: Services,
) -> None:
    market, ada = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    async with another_process(services, 1) as other:
        await other.relay.stop()  # it sees nothing of what comes now
        await other.relay.start()
        other.relay._poll_s = 3600
        await ada.trade("BUY", "10", "200")
        [snapshot] = await take(positions(context_in(other, ada.ctx), ada.portfolio_id, None, None), 1)
        assert isinstance(snapshot, PositionSnapshot)
        assert [held.quantity for held in snapshot.positions] == [D(10)]
        back = positions(context_in(other, ada.ctx), ada.portfolio_id, snapshot.cursor, None)
        following = asyncio.ensure_future(take(back, 1))
        await waiting(other, following)
        await ada.trade("BUY", "5", "200")
        other.relay.wake()
        [change] = await following
    assert isinstance(change, PositionEvent)
    assert (change.position.quantity, change.position.version) == (D(15), 2)


async def test_all_events_when_others_trade_then_a_trader_sees_their_own_and_everybodys_and_an_admin_all(
    services: Services,
) -> None:
    ada = await stirred(services)
    log = await whole_log(services.database)
    mine = [event.seq for event in log if event.owner_id in (ada.ctx.owner_id, None)]
    assert 0 < len(mine) < len(log)
    seen = await take(all_events(ada.ctx, EventFilter(), beginning(ada.ctx)), len(mine))
    assert [event.seq for event in seen] == mine
    admin = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    ctx = await context_of(services, admin)
    whole = await whole_log(services.database)
    assert [event.seq for event in await take(all_events(ctx, EventFilter(), beginning(ctx)), len(whole))] == [
        event.seq for event in whole
    ]


async def test_stream_when_it_reconnects_fifty_times_while_orders_flow_then_nothing_is_lost_or_twice(
    services: Services,
) -> None:
    await Market.open(services)
    ada = await Trader.with_cash(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    chance = random.Random(50)  # noqa: S311 - repeatable

    async def flow(trader: Trader) -> None:
        for number in range(25):
            order = (await trader.place("BUY", "2", limit="10")).value
            if number % 3:
                order = await trader.fill(order, "1", "10")
            await cancel_order(trader.ctx, order.id)

    flowing = asyncio.gather(*(flow(trader) for trader in (ada, ada, bob)))
    seen: list[OrderEvent] = []
    for _ in range(50):
        cursor = seen[-1].cursor if seen else beginning(ada.ctx)
        seen += await take(order_events(ada.ctx, None, cursor), chance.randint(1, 4))
    await flowing
    log = await whole_log(services.database)
    mine = [
        each.seq for each in log if each.aggregate_type is AggregateType.ORDER and each.owner_id == ada.ctx.owner_id
    ]
    assert len(mine) == 2 * (25 + 16 + 25)
    seen += await take(order_events(ada.ctx, None, seen[-1].cursor), len(mine) - len(seen))
    assert [event.cursor for event in seen] == [cursor_of(ada.ctx, seq) for seq in mine]
    assert [event.previous_cursor for event in seen] == [None, *(event.cursor for event in seen[:-1])]


async def test_stream_when_the_relay_stops_then_it_ends(services: Services) -> None:
    ctx = await context_of(services, await signed_up(services))
    following = asyncio.ensure_future(anext(order_events(ctx, None, None), None))
    await waiting(services, following)
    await services.relay.stop()
    assert await following is None


async def test_stream_when_an_event_comes_then_what_was_loaded_before_is_forgotten(services: Services) -> None:
    ada = await stirred(services)
    cash = []
    async with aclosing(order_events(ada.ctx, None, cursor_of(ada.ctx, services.relay.position))) as stream:
        for number in range(1, 4):
            await deposit_cash(ada.ctx, ada.portfolio_id, D(number))
            done = await ada.place("BUY", "1", limit="1")
            event = await anext(stream)
            assert ada.ctx.position == done.position
            portfolio = await ada.ctx.load(portfolios_by_id, event.order.portfolio_id)
            assert portfolio is not None
            cash.append(portfolio.cash)
    assert [after - before for before, after in itertools.pairwise(cash)] == [2, 3]


async def test_stream_when_it_is_closed_then_no_task_is_left_behind(services: Services) -> None:
    ada = await stirred(services)
    before = asyncio.all_tasks()
    streams: list[AsyncGenerator[Any, None]] = [
        order_events(ada.ctx, None, beginning(ada.ctx)),
        position_events(ada.ctx, None, beginning(ada.ctx)),
        all_events(ada.ctx, EventFilter(), beginning(ada.ctx)),
    ]
    for stream in streams:
        await anext(stream)
        await stream.aclose()
        await until(lambda: asyncio.all_tasks() <= before)  # the relay may be reading just now
    waits = asyncio.ensure_future(anext(order_events(ada.ctx, None, None)))
    await waiting(services, waits)
    waits.cancel()
    await asyncio.wait({waits})
    assert waits.cancelled()
    await until(lambda: asyncio.all_tasks() <= before)
    assert not services.relay._followers
    assert not services.relay._owned


async def test_stream_when_it_is_closed_after_its_session_ended_then_nothing_is_complained_of(
    services: Services,
) -> None:
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    complaints: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, what: complaints.append(what))
    stream = all_events(ctx, EventFilter(), beginning(ctx))
    await anext(stream)
    await logout(anonymous(services), signed_in.refresh_token)
    await services.relay.reached(3)
    for _ in range(50):
        await asyncio.sleep(0)
    await stream.aclose()
    gc.collect()
    assert complaints == []
