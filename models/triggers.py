"""Stops: when they trigger, and how a trailing one moves. Both look at the last price."""

from dataclasses import replace
from decimal import Decimal

from models.enums import OrderSide, OrderStatus, OrderType
from models.marketdata import Quote
from models.money import exact, to_step
from models.orders import Order

TRIGGERED_TYPES = (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP)
"""What waits for its stop price before it is at the market."""


def reached(order: Order, quote: Quote) -> bool:
    """Whether the last price has come to the stop of a waiting order: a buy's from below, a sale's from above."""
    if order.status is not OrderStatus.PENDING or order.stop_price is None:
        return False
    if order.side is OrderSide.BUY:
        return quote.last >= order.stop_price
    return quote.last <= order.stop_price


def trailed(order: Order, quote: Quote, tick: Decimal) -> Order:
    """The waiting order with its mark at the best last price so far, and its stop behind that; else as it is."""
    if order.status is not OrderStatus.PENDING or order.high_water_mark is None:
        return order
    better = quote.last < order.high_water_mark if order.side is OrderSide.BUY else quote.last > order.high_water_mark
    if not better:
        return order
    stop = trailing_stop(order.side, quote.last, order.trail_amount, order.trail_percent, tick)
    return replace(order, high_water_mark=quote.last, stop_price=stop)


@exact
def trailing_stop(
    side: OrderSide, mark: Decimal, amount: Decimal | None, percent: Decimal | None, tick: Decimal
) -> Decimal:
    """Where a trailing stop stands for a mark: above it for a buy, below it for a sale, rounded half-even to the tick.

    The distance is `amount`, or `percent` of the mark (5 is 5%).
    """
    distance = amount if amount is not None else mark * (percent or 0) / 100
    return to_step(mark + distance if side is OrderSide.BUY else mark - distance, tick)
