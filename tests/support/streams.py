"""What tests of streams do with them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypeVar

from infrastructure.services import Services
from models.enums import AggregateType
from resolvers.context import Context
from resolvers.events.queries import cursor_of
from resolvers.orders.commands import cancel_order
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader

D = Decimal
T = TypeVar("T")


async def take(stream: AsyncGenerator[T, None], count: int) -> list[T]:
    """The next so many, and an end of it."""
    found: list[T] = []
    async with aclosing(stream) as items:
        while len(found) < count:
            found.append(await anext(items))
    return found


async def waiting(services: Services, task: asyncio.Future[Any]) -> None:
    """Until the stream behind the task waits for news."""
    # No event of asyncio's tells of somebody who waits.
    while not task.done() and not services.relay._followers:  # noqa: ASYNC110 - reason: as above
        await asyncio.sleep(0)


def beginning(ctx: Context) -> str:
    return cursor_of(ctx, 0)


async def order_seqs(trader: Trader) -> list[int]:
    """The numbers of the events of a trader's orders."""
    log = await whole_log(trader.ctx.services.database)
    orders = [event for event in log if event.aggregate_type is AggregateType.ORDER]
    return [event.seq for event in orders if event.owner_id == trader.ctx.owner_id]


async def stirred(services: Services) -> Trader:
    """Two traders whose events stand mixed in the log; one of them is answered."""
    market = await Market.open(services)
    ada = await Trader.with_cash(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    await market.quote("AAPL", "199.90", "200.00")
    await ada.trade("BUY", "10", "200")
    await bob.trade("BUY", "7", "200")
    order = (await ada.place("BUY", "5", limit="200")).value
    await ada.fill(order, "2", "199.5")
    await bob.trade("SELL", "9", "199")
    await cancel_order(ada.ctx, order.id, "enough")
    await ada.trade("SELL", "15", "201")
    await services.relay.reached(len(await whole_log(services.database)))
    return ada
