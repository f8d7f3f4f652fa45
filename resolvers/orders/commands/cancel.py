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
from resolvers.portfolios.store import lock, locked
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
        _, order = await _cancel(tx, portfolio, order, reason or BY_CALLER, ctx.services, viewer.user.id)
    return Done(order, tx.position)


@needs(ApiScope.TRADE)
async def cancel_all_orders(ctx: Context, portfolio_id: UUID, symbol: str | None = None) -> Done[list[Order]]:
    """Cancel every working order of a portfolio of the viewer's, or those of one instrument; all of them or none."""
    viewer = ctx.signed_in()
    async with ctx.services.database.write() as tx:
        portfolio, ended = await locked(tx, ctx, portfolio_id), []
        for order in await store.working(tx, portfolio_id):
            if symbol is None or order.symbol == symbol:
                portfolio, after = await _cancel(tx, portfolio, order, BY_CALLER, ctx.services, viewer.user.id)
                ended.append(after)
    return Done(ended, tx.position if ended else ctx.position)


async def drop_order(services: Services, order_id: UUID, version: int, reason: str) -> Order | None:
    """The broker gives up an order as it was at `version` (the rest of an IOC); none if it has changed since."""
    async with services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(order_id), None)
        order = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or order is None or order.version != version or not order.working:
            return None
        return (await _cancel(tx, portfolio, order, reason, services, None))[1]


async def _cancel(
    tx: UnitOfWork, portfolio: Portfolio, order: Order, reason: str, services: Services, actor_id: UUID | None
) -> tuple[Portfolio, Order]:
    after = cancelled(order, reason, services.clock.now())
    portfolio = await store.change(tx, portfolio, order, after)
    tx.record(facts.of_order(EventType.ORDER_CANCELLED, after, actor_id))
    return portfolio, after
