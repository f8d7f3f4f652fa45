"""Orders and quotes as plain values, for what is pure."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from models.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from models.marketdata import Quote
from models.orders import Order
from tests.support.clock import START

D = Decimal


def an_order(**changes: Any) -> Order:
    """A BUY of 10 AAPL at 100 that works; `changes` are its fields."""
    order = Order(
        id=UUID(int=1),
        portfolio_id=UUID(int=2),
        owner_id=UUID(int=3),
        client_order_id="key",
        symbol="AAPL",
        side=OrderSide.BUY,
        type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        quantity=D(10),
        filled_quantity=D(0),
        filled_notional=D(0),
        limit_price=D(100),
        stop_price=None,
        trail_amount=None,
        trail_percent=None,
        high_water_mark=None,
        average_fill_price=None,
        status=OrderStatus.OPEN,
        commission=D(0),
        reserve_price=D(100),
        reserved_cash=D(1001),
        reject_reason=None,
        cancel_reason=None,
        triggered_at=None,
        expire_at=None,
        closed_at=None,
        version=1,
        placed_at=START,
        ranked_at=START,
        updated_at=START,
    )
    return replace(order, **changes)


def a_stop(side: str, stop: str, **changes: Any) -> Order:
    """A STOP order that waits."""
    kept = {"type": OrderType.STOP, "status": OrderStatus.PENDING, "limit_price": None, "stop_price": D(stop)}
    return an_order(side=OrderSide(side), **(kept | changes))


def a_trailing_stop(side: str, mark: str, stop: str, **changes: Any) -> Order:
    """A TRAILING_STOP order that waits; by 5 if not said otherwise."""
    kept = {"type": OrderType.TRAILING_STOP, "high_water_mark": D(mark), "trail_amount": D(5)}
    return a_stop(side, stop, **(kept | changes))


def a_quote(last: str, bid: str | None = None, ask: str | None = None, size: str = "1000") -> Quote:
    """A quote of AAPL, a cent wide on both sides of the last price if not said otherwise."""
    price = D(last)
    return Quote(
        symbol="AAPL",
        bid=price - D("0.01") if bid is None else D(bid),
        bid_size=D(size),
        ask=price + D("0.01") if ask is None else D(ask),
        ask_size=D(size),
        last=price,
        open=None,
        high=None,
        low=None,
        previous_close=None,
        volume=D(0),
        as_of=START,
    )
