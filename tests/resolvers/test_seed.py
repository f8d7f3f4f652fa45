"""The demo data: there once, with something to show."""

import asyncio
import dataclasses

from infrastructure.services import Services
from models.enums import AggregateType, EventType
from models.events import EventFilter
from resolvers.accounts.commands import login
from resolvers.accounts.queries import authenticate
from resolvers.context import Context
from resolvers.floor import TradingFloor
from resolvers.marketdata.commands import seed_catalogue
from resolvers.orders.queries import OrderChoice, orders_of_owner
from resolvers.paging import PageArgs
from resolvers.seed import EMAIL, PASSWORD, seed_demo
from tests.support.market import D, row_counts
from tests.support.people import anonymous, counts


async def test_seed_when_called_twice_then_the_demo_is_there_once_and_its_orders_are_filled(
    services: Services,
) -> None:
    await seed_catalogue(services)
    floor = TradingFloor(services)
    await floor.start()
    assert await seed_demo(services)
    executed = EventFilter(types=frozenset({EventType.ORDER_EXECUTED}), aggregate_type=AggregateType.ORDER)
    fills = services.relay.follow(0, executed)
    for _ in range(3):
        await anext(fills)
    await fills.aclose()
    before = (await row_counts(services), await counts(services))
    assert not await seed_demo(services)
    assert (await row_counts(services), await counts(services)) == before
    await floor.stop()
    viewer = await authenticate(services, (await login(anonymous(services), EMAIL, PASSWORD)).access_token)
    ctx = Context(services, viewer, "here", services.relay.position)
    orders = (await orders_of_owner(ctx, ctx.owner_id, PageArgs(first=10), OrderChoice())).items
    assert sorted((order.client_order_id, order.status.value, order.filled_quantity) for order in orders) == [
        ("demo-1", "FILLED", D(40)),
        ("demo-2", "FILLED", D(25)),
        ("demo-3", "FILLED", D("0.05")),
        ("demo-4", "OPEN", D(0)),
    ]
    assert before[0]["fills"] == 3


async def test_seed_when_two_processes_do_it_at_once_then_one_does(services: Services) -> None:
    await seed_catalogue(services)
    floor = TradingFloor(services)
    await floor.feed.start()
    done = await asyncio.gather(*(seed_demo(dataclasses.replace(services)) for _ in range(2)))
    await floor.feed.stop()
    assert sorted(done) == [False, True]
    assert (await row_counts(services))["orders"] == 4
