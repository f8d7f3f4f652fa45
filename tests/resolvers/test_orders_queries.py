"""Orders and fills as they are asked for: filtered, paged, in few statements."""

import asyncio
from datetime import timedelta

import pytest

from infrastructure.services import Services
from models.enums import OrderSide, OrderStatus, TimeInForce
from models.errors import BadRequest
from models.orders import Order
from resolvers.orders.commands import cancel_order
from resolvers.orders.queries import (
    OrderChoice,
    every_working_order,
    fills_of_order,
    fills_of_portfolio,
    order,
    orders_of_owner,
    orders_of_portfolio,
)
from resolvers.paging import PageArgs
from resolvers.portfolios.commands import create_portfolio
from tests.support.clock import START, ManualClock
from tests.support.market import D, Market, Trader, statements

ALL = PageArgs(first=100)
ANY = OrderChoice()


async def five(services: Services, clock: ManualClock) -> tuple[Trader, list[Order]]:
    """Orders a second apart: one filled, one cancelled, one partly filled, two open."""
    await Market.open(services)
    trader = await Trader.with_cash(services)
    made = []
    for side, quantity, symbol in (
        ("BUY", "10", "AAPL"),
        ("BUY", "20", "MSFT"),
        ("SELL", "5", "AAPL"),
        ("BUY", "1", "AAPL"),
        ("SELL", "2", "SPY"),
    ):
        made.append((await trader.place(side, quantity, symbol, "100")).value)
        clock.advance(seconds=1)
    made[0] = await trader.fill(made[0], "10", "100")
    made[1] = (await cancel_order(trader.ctx, made[1].id)).value
    made[2] = await trader.fill(made[2], "2", "100")
    return trader, made


async def test_orders_when_asked_then_the_newest_comes_first_and_each_is_as_it_stands(
    services: Services, clock: ManualClock
) -> None:
    trader, made = await five(services, clock)
    other = Trader(trader.ctx, (await create_portfolio(trader.ctx, "Other", None, D(1000))).value.id)
    elsewhere = (await other.place("BUY", "1", limit="1")).value
    page = await orders_of_portfolio(trader.ctx, trader.portfolio_id, ALL, ANY)
    assert page.items == made[::-1]
    assert (page.has_next_page, page.has_previous_page, await page.count()) == (False, False, 5)
    assert (await orders_of_owner(trader.ctx, trader.ctx.owner_id, ALL, ANY)).items == [elsewhere, *made[::-1]]
    assert await order(trader.ctx, made[2].id) == made[2]
    assert await order(trader.ctx, services.ids.new()) is None


@pytest.mark.parametrize(
    ("chosen", "found"),
    [
        (OrderChoice(symbol="AAPL"), [3, 2, 0]),
        (OrderChoice(symbol="NONE"), []),
        (OrderChoice(side=OrderSide.SELL), [4, 2]),
        (OrderChoice(statuses=(OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)), [4, 3, 2]),
        (OrderChoice(statuses=()), []),
        (OrderChoice(placed_from=START + timedelta(seconds=2)), [4, 3, 2]),
        (OrderChoice(placed_to=START + timedelta(seconds=2)), [2, 1, 0]),
        (OrderChoice(symbol="AAPL", side=OrderSide.BUY, statuses=(OrderStatus.FILLED,)), [0]),
    ],
)
async def test_orders_when_filtered_then_only_what_matches_every_field_is_there_and_counted(
    services: Services, clock: ManualClock, chosen: OrderChoice, found: list[int]
) -> None:
    trader, made = await five(services, clock)
    for page in (
        await orders_of_portfolio(trader.ctx, trader.portfolio_id, ALL, chosen),
        await orders_of_owner(trader.ctx, trader.ctx.owner_id, ALL, chosen),
    ):
        assert page.items == [made[number] for number in found]
        assert await page.count() == len(found)


async def test_orders_when_filtered_by_portfolio_then_the_owners_others_are_left_out(
    services: Services, clock: ManualClock
) -> None:
    trader, made = await five(services, clock)
    other = Trader(trader.ctx, (await create_portfolio(trader.ctx, "Other", None, D(1000))).value.id)
    await other.place("BUY", "1", limit="1")
    chosen = OrderChoice(portfolio_id=trader.portfolio_id)
    assert (await orders_of_owner(trader.ctx, trader.ctx.owner_id, ALL, chosen)).items == made[::-1]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
async def test_orders_when_paged_either_way_then_nothing_is_skipped_or_twice_though_some_change(
    services: Services, clock: ManualClock, size: int
) -> None:
    trader, made = await five(services, clock)
    ids = [each.id for each in made[::-1]]
    forward: list[Order] = []
    args = PageArgs(first=size)
    while True:
        page = await orders_of_portfolio(trader.ctx, trader.portfolio_id, args, ANY)
        forward += page.items
        if not page.has_next_page:
            break
        if len(forward) == size:
            await trader.fill(made[3], "1", "100")  # a change does not move it
        args = PageArgs(first=size, after=page.cursors[-1])
    assert [each.id for each in forward] == ids
    backward: list[Order] = []
    args = PageArgs(last=size)
    while True:
        page = await orders_of_portfolio(trader.ctx, trader.portfolio_id, args, ANY)
        backward = page.items + backward
        if not page.has_previous_page:
            break
        args = PageArgs(last=size, before=page.cursors[0])
    assert [each.id for each in backward] == ids


async def test_orders_when_placed_in_one_moment_then_paging_still_skips_none(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    made = {(await trader.place("BUY", "1", limit="1")).value.id for _ in range(7)}
    seen, after = [], None
    for _ in range(4):
        page = await orders_of_portfolio(trader.ctx, trader.portfolio_id, PageArgs(first=2, after=after), ANY)
        seen += [each.id for each in page.items]
        after = page.cursors[-1]
    assert len(seen) == len(set(seen)) == 7
    assert set(seen) == made


@pytest.mark.parametrize("cursor", ["", "x", "W10", "bnVsbA", "WzFd", "\ud800"])
async def test_orders_when_the_cursor_is_none_of_this_list_then_it_is_a_bad_request(
    services: Services, cursor: str
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    with pytest.raises(BadRequest) as refused:
        await orders_of_portfolio(trader.ctx, trader.portfolio_id, PageArgs(after=cursor), ANY)
    assert refused.value.argument == "after"


async def test_fills_when_asked_then_an_orders_are_oldest_first_and_a_portfolios_newest_first(
    services: Services, clock: ManualClock
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    placed = (await trader.place("BUY", "10", limit="100")).value
    for quantity in ("1", "2", "3"):
        clock.advance(seconds=1)
        placed = await trader.fill(placed, quantity, "100")
    await trader.trade("SELL", "6", "100")
    fills = (await fills_of_order(trader.ctx, placed, ALL)).items
    assert [(fill.quantity, fill.order_version) for fill in fills] == [(D(1), 2), (D(2), 3), (D(3), 4)]
    page = await fills_of_portfolio(trader.ctx, trader.portfolio_id, ALL)
    assert sorted(fill.quantity for fill in page.items) == [D(1), D(2), D(3), D(6)]
    assert page.items[2:] == fills[1::-1]
    assert await page.count() == 4


async def test_fills_when_asked_of_many_orders_then_it_is_one_statement(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    made = [await trader.trade("BUY", "1", "100") for _ in range(5)]
    trader.ctx.renew()
    with statements(services) as seen:
        pages = await asyncio.gather(*(fills_of_order(trader.ctx, each, PageArgs(first=2)) for each in made))
    assert [[fill.order_id for fill in page.items] for page in pages] == [[each.id] for each in made]
    assert len([statement for statement in seen if "FROM fills" in statement]) == 1


async def test_working_orders_when_asked_for_the_broker_then_everybodys_are_there_oldest_first(
    services: Services, clock: ManualClock
) -> None:
    _, made = await five(services, clock)
    other = await Trader.with_cash(services, email="bob@example.com")
    theirs = (await other.place("BUY", "1", limit="1", tif=TimeInForce.IOC)).value
    assert await every_working_order(services) == [made[2], made[3], made[4], theirs]
