"""Matching orders against a quote: what the paper broker fills, and at what price."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from models.enums import OrderSide, TimeInForce
from models.marketdata import Quote
from models.money import ZERO, whole_steps
from models.orders import Order


@dataclass(frozen=True, slots=True)
class Execution:
    """So much of an order, at that price."""

    order: Order
    quantity: Decimal
    price: Decimal


@dataclass(slots=True)
class Touch:
    """A quote, and what is left of the size at its bid and ask."""

    quote: Quote
    bid_left: Decimal
    ask_left: Decimal

    @classmethod
    def of(cls, quote: Quote, lot: Decimal) -> "Touch":
        """The size of a fresh quote, in whole lots: a part of one can't be traded."""
        return cls(quote, whole_steps(quote.bid_size, lot), whole_steps(quote.ask_size, lot))

    def give_back(self, executions: "Iterable[Execution]") -> None:
        """Sizes that were not traded after all."""
        for execution in executions:
            if execution.order.side is OrderSide.BUY:
                self.ask_left += execution.quantity
            else:
                self.bid_left += execution.quantity


def priority(order: Order) -> tuple[Decimal, object, object]:
    """What goes first: market orders, then the better price, then the earlier order."""
    if order.limit_price is None:
        rank = Decimal("-Infinity")
    else:
        rank = -order.limit_price if order.side is OrderSide.BUY else order.limit_price
    return rank, order.ranked_at, order.id


def match(orders: Iterable[Order], touch: Touch) -> list[Execution]:
    """Fill working orders of one instrument at the touch, by priority, until its size is used up.

    `touch` keeps count of what is left of it.
    """
    executions: list[Execution] = []
    for order in sorted(orders, key=priority):
        if not order.at_market or not _crosses(order, touch.quote):
            continue
        buys = order.side is OrderSide.BUY
        quantity = min(order.remaining_quantity, touch.ask_left if buys else touch.bid_left)
        if quantity == ZERO or (order.time_in_force is TimeInForce.FOK and quantity < order.remaining_quantity):
            continue
        if buys:
            touch.ask_left -= quantity
        else:
            touch.bid_left -= quantity
        executions.append(Execution(order, quantity, touch.quote.ask if buys else touch.quote.bid))
    return executions


def _crosses(order: Order, quote: Quote) -> bool:
    if order.limit_price is None:
        return True
    return order.limit_price >= quote.ask if order.side is OrderSide.BUY else order.limit_price <= quote.bid
