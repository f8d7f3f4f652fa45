"""The life of an order: which state may follow which, and what each step changes."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from models.enums import OrderSide, OrderStatus
from models.money import ZERO, divide, exact
from models.orders import Order

_S = OrderStatus

TRANSITIONS: dict[OrderStatus, frozenset[OrderStatus]] = {
    # Accepted, not yet at the market. It may expire there: a stop that nothing triggered in its time.
    _S.PENDING: frozenset({_S.OPEN, _S.FILLED, _S.PARTIALLY_FILLED, _S.REJECTED, _S.CANCELLED, _S.EXPIRED}),
    _S.OPEN: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    # A further part may be filled without ending it.
    _S.PARTIALLY_FILLED: frozenset({_S.PARTIALLY_FILLED, _S.FILLED, _S.CANCELLED, _S.EXPIRED}),
    _S.FILLED: frozenset(),
    _S.CANCELLED: frozenset(),
    _S.REJECTED: frozenset(),
    _S.EXPIRED: frozenset(),
}
"""Every transition there is; any other raises `IllegalTransition`."""


class IllegalTransition(Exception):  # noqa: N818 - reason: the name says what it is
    """An order was asked to go where its state does not lead."""

    def __init__(self, order: Order, status: OrderStatus) -> None:
        super().__init__(f"order {order.id} is {order.status} and cannot become {status}")


class Overfill(Exception):  # noqa: N818 - reason: likewise
    """A fill of more than what remains."""


def _moved(order: Order, status: OrderStatus, now: datetime) -> Order:
    if status not in TRANSITIONS[order.status]:
        raise IllegalTransition(order, status)
    ended = not TRANSITIONS[status]
    return replace(
        order,
        status=status,
        version=order.version + 1,
        updated_at=now,
        closed_at=now if ended else None,
        reserved_cash=ZERO if ended else order.reserved_cash,
    )


@exact
def commission(notional: Decimal, rate: Decimal) -> Decimal:
    """What a fill costs on top; exact, never rounded."""
    return notional * rate


@exact
def reserve(side: OrderSide, price: Decimal | None, quantity: Decimal, rate: Decimal) -> Decimal:
    """What an order of that side holds back: a buy its worst price x quantity and the commission on it, a sale none."""
    if side is OrderSide.SELL or price is None:
        return ZERO
    return price * quantity * (1 + rate)


@exact
def filled(order: Order, quantity: Decimal, price: Decimal, rate: Decimal, now: datetime) -> Order:
    """The order after an execution of `quantity` at `price`; raises `Overfill` beyond what remains."""
    if not ZERO < quantity <= order.remaining_quantity:
        raise Overfill(f"order {order.id}: {quantity} of {order.remaining_quantity}")
    whole = quantity == order.remaining_quantity
    moved = _moved(order, OrderStatus.FILLED if whole else OrderStatus.PARTIALLY_FILLED, now)
    total, notional = order.filled_quantity + quantity, order.filled_notional + quantity * price
    return replace(
        moved,
        filled_quantity=total,
        filled_notional=notional,
        average_fill_price=divide(notional, total),
        commission=order.commission + commission(quantity * price, rate),
        reserved_cash=reserve(order.side, order.reserve_price, order.quantity - total, rate),
    )


def cancelled(order: Order, reason: str, now: datetime) -> Order:
    """The order, cancelled for that reason."""
    return replace(_moved(order, OrderStatus.CANCELLED, now), cancel_reason=reason)


def expired(order: Order, now: datetime) -> Order:
    """The order at the end of its time in force."""
    return _moved(order, OrderStatus.EXPIRED, now)


def triggered(order: Order, reserve_price: Decimal | None, rate: Decimal, now: datetime) -> Order:
    """The order at the market: its stop price was reached. `reserve_price` is the worst that it may pay now."""
    return replace(
        _moved(order, OrderStatus.OPEN, now),
        triggered_at=now,
        ranked_at=now,
        reserve_price=reserve_price,
        reserved_cash=reserve(order.side, reserve_price, order.remaining_quantity, rate),
    )


@exact
def replaced(order: Order, terms: Mapping[str, Any], rate: Decimal, now: datetime) -> Order:
    """The working order with other terms, in the state it was in; raises `IllegalTransition` if it has ended."""
    if not order.working:
        raise IllegalTransition(order, order.status)
    after = replace(order, **terms, version=order.version + 1, updated_at=now)
    held = reserve(after.side, after.reserve_price, after.quantity - after.filled_quantity, rate)
    return replace(after, reserved_cash=held)


def rejected(order: Order, reason: str, now: datetime) -> Order:
    """The order, refused after it had been accepted."""
    return replace(_moved(order, OrderStatus.REJECTED, now), reject_reason=reason)


def is_due(order: Order, now: datetime) -> bool:
    """Whether its time in force has ended."""
    return order.expire_at is not None and order.expire_at <= now
