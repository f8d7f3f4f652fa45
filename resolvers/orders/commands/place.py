"""Placing an order: checked, written and recorded under the portfolio's lock, once for each key."""

from dataclasses import dataclass
from uuid import UUID

from infrastructure.database import Transaction as UnitOfWork
from models import facts
from models.enums import ApiScope, ErrorCode, EventType, OrderSide, OrderStatus, OrderType
from models.errors import ConflictFault, Refused, refuse_if
from models.lifecycle import reserve
from models.money import ZERO
from models.orders import Order
from models.portfolios import Portfolio
from models.triggers import TRIGGERED_TYPES
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
    refuse_if(order_faults(request))
    async with ctx.services.database.write() as tx:
        portfolio = await locked(tx, ctx, request.portfolio_id)
        placed = await place_in(tx, ctx, portfolio, request)
    return Done(placed.order, tx.position if placed.new else ctx.position)


@dataclass(frozen=True, slots=True)
class Placed:
    """An order, and whether this request made it or one before."""

    order: Order
    new: bool


async def place_in(
    tx: UnitOfWork, ctx: Context, portfolio: Portfolio, request: PlaceOrder, body: str | None = None
) -> Placed:
    """Place an order whose own faults were looked for, in a transaction that holds the portfolio.

    `body` is the hash of what was asked, where that was something else than the order itself.
    """
    body = body or request.hash
    if standing := await placed_before(tx, portfolio.id, request.client_order_id, body):
        return Placed(standing, new=False)
    appraisal = await appraise(tx, portfolio, request, ctx.services)
    refuse_if(faults_of(appraisal.checks))
    order = _accepted(ctx, request, portfolio, appraisal)
    await store.create(tx, portfolio, order, body)
    tx.record(facts.of_order(EventType.ORDER_PLACED, order, ctx.owner_id))
    return Placed(order, new=True)


async def placed_before(tx: UnitOfWork, portfolio_id: UUID, key: str | None, body: str) -> Order | None:
    """The order that the same request made before; refused as a conflict if another request has used its key."""
    standing = None if key is None else await store.by_key(tx, portfolio_id, key)
    if standing is None:
        return None
    order, request_hash = standing
    if request_hash != body:
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
        stop_price=appraisal.proposal.stop_price,
        trail_amount=request.trail_amount,
        trail_percent=request.trail_percent,
        high_water_mark=appraisal.mark if request.type is OrderType.TRAILING_STOP else None,
        average_fill_price=None,
        # What waits for a trigger is not at the market yet; anything else is, once it is accepted.
        status=OrderStatus.PENDING if request.type in TRIGGERED_TYPES else OrderStatus.OPEN,
        commission=ZERO,
        reserve_price=worst,
        reserved_cash=reserve(request.side, worst, request.quantity, rate),
        reject_reason=None,
        cancel_reason=None,
        triggered_at=None,
        expire_at=request.ends_at(now),
        closed_at=None,
        version=1,
        placed_at=now,
        ranked_at=now,
        updated_at=now,
    )
