"""Ending orders whose time in force is over."""

from functools import partial
from uuid import UUID

from sqlalchemy import select

from infrastructure.background import each_apart
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
    # What has not ended works; said as the index says it.
    statement = select(table.c.id).where(table.c.closed_at.is_(None), table.c.expire_at <= now)
    async with services.database.read() as connection:
        due = list(await connection.scalars(statement.order_by(table.c.expire_at).limit(BATCH)))
    return await each_apart("expire an order", due, partial(_expire, services))


async def _expire(services: Services, order_id: UUID) -> bool:
    async with services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(order_id), None)
        order = await store.get(tx, order_id) if portfolio else None
        # Read under the lock: a fill that came before is not dated after it.
        now = services.clock.now()
        if portfolio is None or order is None or not order.working or not is_due(order, now):
            return False
        after = expired(order, now)
        await store.change(tx, portfolio, order, after)
        tx.record(facts.of_order(EventType.ORDER_EXPIRED, after, None))
    return True
