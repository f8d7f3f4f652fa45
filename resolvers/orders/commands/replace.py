"""Replacing: a working order is changed in place, checked as if it were new."""

import dataclasses
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import values
from models import facts
from models.enums import ApiScope, ErrorCode, EventType, OrderSide, OrderStatus, TimeInForce
from models.errors import ConflictFault, Fault, Refused, invalid, missing, refuse_if
from models.lifecycle import is_due, replaced
from models.money import text
from models.orders import Order
from models.payloads import camel
from models.portfolios import Portfolio
from resolvers.context import Context
from resolvers.orders import store
from resolvers.orders.appraisal import Appraisal, appraise, faults_of
from resolvers.orders.inputs import PlaceOrder, order_faults
from resolvers.portfolios.store import lock
from resolvers.requests import Done
from resolvers.scopes import needs


@dataclass(frozen=True, slots=True)
class ReplaceOrder:
    """What is to be changed; what is none stays. With `expected_version` only the order as it was seen is changed."""

    order_id: UUID
    expected_version: int | None = None
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce | None = None
    expire_at: datetime | None = None


@needs(ApiScope.TRADE)
async def replace_order(ctx: Context, wish: ReplaceOrder) -> Done[Order]:
    """Change a working order of the viewer's: it keeps its id, and is refused below what is filled.

    A better or worse price, or a larger quantity, costs it its place in the queue. Without a change nothing is written.
    """
    async with ctx.services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(wish.order_id), ctx.owner_id)
        order = await store.get(tx, wish.order_id) if portfolio else None
        if portfolio is None or order is None:
            raise missing("order", "orderId")
        _refuse_outdated(order, wish, ctx.now)
        request = _changed(order, wish)
        if request == _as_request(order):
            return Done(order, ctx.position)
        refuse_if([*order_faults(request), *_quantity_faults(order, request), *_stop_faults(order, request)])
        appraisal = await appraise(tx, portfolio, request, ctx.services, replacing=order)
        refuse_if(faults_of(appraisal.checks))
        order = await _write(tx, ctx, portfolio, order, request, appraisal)
    return Done(order, tx.position)


def _refuse_outdated(order: Order, wish: ReplaceOrder, now: datetime) -> None:
    if not order.working or is_due(order, now):
        message = "The order's time is over." if order.working else f"The order is {order.status}."
        raise Refused(Fault(ErrorCode.ORDER_NOT_OPEN, message, ("input", "orderId")))
    if wish.expected_version is not None and wish.expected_version != order.version:
        message = f"The order is at version {order.version}, not {wish.expected_version}."
        raise Refused(ConflictFault(ErrorCode.CONFLICT, message, ("input", "expectedVersion"), order))


def _as_request(order: Order) -> PlaceOrder:
    trails = order.high_water_mark is not None
    return PlaceOrder(
        portfolio_id=order.portfolio_id,
        symbol=order.symbol,
        side=order.side,
        type=order.type,
        quantity=order.quantity,
        limit_price=order.limit_price,
        stop_price=None if trails else order.stop_price,
        trail_amount=order.trail_amount,
        trail_percent=order.trail_percent,
        time_in_force=order.time_in_force,
        expire_at=order.expire_at if order.time_in_force is TimeInForce.GTD else None,
    )


def _changed(order: Order, wish: ReplaceOrder) -> PlaceOrder:
    """The order as a request with the wish put in; another time in force or kind of trail takes the old one away."""
    given = {name: value for name, value in values(wish).items() if value is not None}
    del given["order_id"]
    given.pop("expected_version", None)
    if given.get("time_in_force", TimeInForce.GTD) is not TimeInForce.GTD:
        given.setdefault("expire_at", None)
    for one, other in (("trail_amount", "trail_percent"), ("trail_percent", "trail_amount")):
        if one in given and other not in given:
            given[other] = None
    return dataclasses.replace(_as_request(order), **given)


def _quantity_faults(order: Order, request: PlaceOrder) -> list[Fault]:
    if request.quantity > order.filled_quantity:
        return []
    message = f"`quantity` is {text(request.quantity)}: {text(order.filled_quantity)} is filled, it has to be more."
    return [invalid(message, "quantity")]


def _stop_faults(order: Order, request: PlaceOrder) -> list[Fault]:
    """Once it is at the market there is no stop to move."""
    if order.triggered_at is None:
        return []
    before = _as_request(order)
    return [
        invalid(f"The order was triggered: `{camel(name)}` can't be changed any more.", camel(name))
        for name in ("stop_price", "trail_amount", "trail_percent")
        if getattr(request, name) not in (None, getattr(before, name))
    ]


async def _write(
    tx: UnitOfWork, ctx: Context, portfolio: Portfolio, order: Order, request: PlaceOrder, appraisal: Appraisal
) -> Order:
    now = ctx.now
    waits = order.status is OrderStatus.PENDING
    keeps_place = request.limit_price == order.limit_price and request.quantity <= order.quantity
    terms = {
        "quantity": request.quantity,
        "limit_price": request.limit_price,
        # Once triggered it is what it was triggered at.
        "stop_price": appraisal.proposal.stop_price if waits else order.stop_price,
        "trail_amount": request.trail_amount,
        "trail_percent": request.trail_percent,
        "time_in_force": request.time_in_force,
        "expire_at": request.ends_at(now),
        "ranked_at": order.ranked_at if keeps_place else now,
        "reserve_price": appraisal.price if order.side is OrderSide.BUY else None,
    }
    after = replaced(order, terms, ctx.services.settings.commission_rate, now)
    await store.change(tx, portfolio, order, after)
    tx.record(facts.of_order(EventType.ORDER_REPLACED, after, ctx.owner_id))
    return after
