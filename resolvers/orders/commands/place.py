"""Placing an order: checked, written and recorded under the portfolio's lock, once for each key."""

from infrastructure.database import Transaction as UnitOfWork
from models import facts
from models.enums import ApiScope, ErrorCode, EventType, OrderSide, OrderStatus
from models.errors import ConflictFault, Refused, refuse_if
from models.lifecycle import reserve
from models.money import ZERO
from models.orders import Order
from models.portfolios import Portfolio
from resolvers.context import Context
from resolvers.orders import store
from resolvers.orders.appraisal import Appraisal, appraise, faults_of
from resolvers.orders.inputs import PlaceOrder, order_faults
from resolvers.portfolios.store import locked
from resolvers.requests import Done
from resolvers.scopes import needs


@needs(ApiScope.TRADE)
async def place_order(ctx: Context, request: PlaceOrder) -> Done[Order]:
    """Place an order; the same key with the same input answers with the order that it made, as it is now.

    A refusal (bad input, a check that failed) writes nothing and does not use up the key.
    """
    viewer, settings = ctx.signed_in(), ctx.services.settings
    refuse_if(order_faults(request))
    async with ctx.services.database.write() as tx:
        portfolio = await locked(tx, ctx, request.portfolio_id)
        if standing := await _placed_before(tx, request):
            return Done(standing, ctx.position)
        appraisal = await appraise(tx, portfolio, request, settings, ctx.now)
        refuse_if(faults_of(appraisal.checks))
        order = _accepted(ctx, request, portfolio, appraisal)
        await store.create(tx, portfolio, order, request.hash)
        tx.record(facts.of_order(EventType.ORDER_PLACED, order, viewer.user.id))
    return Done(order, tx.position)


async def _placed_before(tx: UnitOfWork, request: PlaceOrder) -> Order | None:
    if request.client_order_id is None:
        return None
    standing = await store.by_key(tx, request.portfolio_id, request.client_order_id)
    if standing is None:
        return None
    order, request_hash = standing
    if request_hash != request.hash:
        message = "`clientOrderId` was used before, for another order."
        raise Refused(ConflictFault(ErrorCode.CONFLICT, message, ("input", "clientOrderId"), order))
    return order


def _accepted(ctx: Context, request: PlaceOrder, portfolio: Portfolio, appraisal: Appraisal) -> Order:
    order_id, now = ctx.services.ids.new(), ctx.now
    worst = appraisal.price if request.side is OrderSide.BUY else None
    rate = ctx.services.settings.commission_rate
    return Order(
        id=order_id,
        portfolio_id=portfolio.id,
        owner_id=portfolio.owner_id,
        client_order_id=request.client_order_id or str(order_id),
        symbol=request.symbol,
        side=request.side,
        type=request.type,
        time_in_force=request.time_in_force,
        quantity=request.quantity,
        filled_quantity=ZERO,
        filled_notional=ZERO,
        limit_price=request.limit_price,
        average_fill_price=None,
        # Neither type waits for a trigger: accepted is at the market.
        status=OrderStatus.OPEN,
        commission=ZERO,
        reserve_price=worst,
        reserved_cash=reserve(request.side, worst, request.quantity, rate),
        reject_reason=None,
        cancel_reason=None,
        triggered_at=None,
        expire_at=request.expire_at(now),
        closed_at=None,
        version=1,
        placed_at=now,
        updated_at=now,
    )
