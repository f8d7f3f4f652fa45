"""Ending orders whose time in force is over."""

from sqlalchemy import select

from infrastructure.services import Services
from models import facts
from models.enums import EventType
from models.lifecycle import expired, is_due
from resolvers.orders import store
from resolvers.portfolios.store import lock

BATCH = 500


async def expire_due(services: Services) -> int:
    """Expire every working order whose time has come, each in its own transaction; how many there were."""
    now, table = services.clock.now(), store.ORDERS
    async with services.database.read() as connection:
        due = list(
            await connection.scalars(select(table.c.id).where(store.IS_WORKING, table.c.expire_at <= now).limit(BATCH))
        )
    count = 0
    for order_id in due:
        async with services.database.write() as tx:
            portfolio = await lock(tx, store.portfolio_of(order_id), None)
            order = await store.get(tx, order_id) if portfolio else None
            if portfolio and order and order.working and is_due(order, now):
                after = expired(order, now)
                await store.change(tx, portfolio, order, after)
                tx.record(facts.of_order(EventType.ORDER_EXPIRED, after, None))
                count += 1
    return count
