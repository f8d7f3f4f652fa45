"""Cancelling: always let through, whatever the risk state."""

from uuid import UUID

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.services import Services
from models import facts
from models.enums import ApiScope, ErrorCode, EventType
from models.errors import Fault, Refused, missing, refuse_if
from models.lifecycle import cancelled
from models.orders import Order
from models.portfolios import Portfolio
from resolvers.context import Context
from resolvers.orders import store
from resolvers.portfolios.inputs import reason_faults
from resolvers.portfolios.store import lock
from resolvers.requests import Done
from resolvers.scopes import needs

BY_CALLER = "Cancelled by the caller"


@needs(ApiScope.TRADE)
async def cancel_order(ctx: Context, order_id: UUID, reason: str | None = None) -> Done[Order]:
    """Cancel a working order of the viewer's; what is filled stays filled."""
    viewer = ctx.signed_in()
    if reason is not None:
        refuse_if(reason_faults(reason))
    async with ctx.services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(order_id), ctx.owner_id)
        order = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or order is None:
            raise missing("order", "orderId")
        if not order.working:
            raise Refused(Fault(ErrorCode.ORDER_NOT_OPEN, f"The order is {order.status}.", ("input", "orderId")))
        order = await _cancel(tx, portfolio, order, reason or BY_CALLER, ctx.services, viewer.user.id)
    return Done(order, tx.position)


async def drop_order(services: Services, order_id: UUID, reason: str) -> Order | None:
    """The broker gives up a working order (the rest of an IOC); none if it has ended meanwhile."""
    async with services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(order_id), None)
        order = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or order is None or not order.working:
            return None
        return await _cancel(tx, portfolio, order, reason, services, None)


async def _cancel(
    tx: UnitOfWork, portfolio: Portfolio, order: Order, reason: str, services: Services, actor_id: UUID | None
) -> Order:
    after = cancelled(order, reason, services.clock.now())
    await store.close(tx, portfolio, order, after)
    tx.record(facts.of_order(EventType.ORDER_CANCELLED, after, actor_id))
    return after
