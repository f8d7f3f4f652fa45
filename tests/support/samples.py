"""Values of the domain for tests: one of each to change with `replace`, and Hypothesis's strategies for any of them."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st

from models.enums import OrderSide, OrderStatus, OrderType, PositionSide, TimeInForce, TradingState
from models.marketdata import Quote
from models.orders import Fill, Order
from models.portfolios import Portfolio
from models.positions import Position
from tests.support.clock import START

D = Decimal


ORDER_ID, PORTFOLIO_ID, OWNER_ID, POSITION_ID = (UUID(int=number) for number in range(1, 5))
# A busy machine is no failure.
unhurried = settings(deadline=None)

amounts = st.decimals(min_value=0, max_value=10**12, places=8)
quantities = st.integers(1, 10**6).map(D)
prices = st.integers(1, 10**7).map(lambda ticks: D(ticks) / 100)
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis asks for naive bounds
words = st.text(st.characters(codec="utf-8"), max_size=20)
uuids = st.uuids()


def an_order(**given: Any) -> Order:
    """An open buy of 10 AAPL at 100, GTC; `given` are other fields."""
    limit = given.get("limit_price", D(100))
    values: dict[str, Any] = {
        "id": ORDER_ID,
        "portfolio_id": PORTFOLIO_ID,
        "owner_id": OWNER_ID,
        "client_order_id": "key",
        "symbol": "AAPL",
        "side": OrderSide.BUY,
        "type": OrderType.MARKET if limit is None else OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "quantity": D(10),
        "filled_quantity": D(0),
        "filled_notional": D(0),
        "limit_price": limit,
        "average_fill_price": None,
        "status": OrderStatus.OPEN,
        "commission": D(0),
        "reserve_price": limit,
        "reserved_cash": D(0),
        "reject_reason": None,
        "cancel_reason": None,
        "triggered_at": None,
        "expire_at": None,
        "closed_at": None,
        "version": 1,
        "placed_at": START,
        "updated_at": START,
    }
    return Order(**values | given)


def a_fill(side: str = "BUY", quantity: Decimal | str = "10", price: Decimal | str = "100", **given: Any) -> Fill:
    """A fill of AAPL without commission."""
    values: dict[str, Any] = {
        "id": UUID(int=9),
        "order_id": ORDER_ID,
        "portfolio_id": PORTFOLIO_ID,
        "owner_id": OWNER_ID,
        "symbol": "AAPL",
        "side": OrderSide(side),
        "quantity": D(quantity),
        "price": D(price),
        "commission": D(0),
        "order_version": 2,
        "executed_at": START,
    }
    return Fill(**values | given)


def a_position(quantity: Decimal | str = "10", average: Decimal | str = "100", **given: Any) -> Position:
    """AAPL, held since before today (what is held now was held when the day began)."""
    values: dict[str, Any] = {
        "id": POSITION_ID,
        "portfolio_id": PORTFOLIO_ID,
        "owner_id": OWNER_ID,
        "symbol": "AAPL",
        "side": PositionSide.LONG if D(quantity) >= 0 else PositionSide.SHORT,
        "quantity": D(quantity),
        "average_price": D(average),
        "realized_pnl": D(0),
        "day_start": datetime(2026, 1, 2, tzinfo=UTC),
        "day_open_quantity": D(0),
        "day_cash": D(0),
        "opened_at": START - timedelta(days=3),
        "closed_at": None,
        "version": 1,
        "updated_at": START,
    }
    return Position(**values | given)


def a_portfolio(cash: Decimal | str = "100000", **given: Any) -> Portfolio:
    """One that trades freely."""
    values: dict[str, Any] = {
        "id": PORTFOLIO_ID,
        "owner_id": OWNER_ID,
        "name": "Main",
        "base_currency": "USD",
        "cash": D(cash),
        "reserved_cash": D(0),
        "realized_pnl": D(0),
        "ledger_size": 0,
        "trading_state": TradingState.ACTIVE,
        "trading_reason": None,
        "trading_since": START,
        "resume_after": None,
        "version": 1,
        "created_at": START,
    }
    return Portfolio(**values | given)


def a_quote(bid: Decimal | str = "100", ask: Decimal | str = "101", **given: Any) -> Quote:
    """AAPL, a thousand on each side, last at the bid, no previous close."""
    values: dict[str, Any] = {
        "symbol": "AAPL",
        "bid": D(bid),
        "bid_size": D(1000),
        "ask": D(ask),
        "ask_size": D(1000),
        "last": D(bid),
        "open": None,
        "high": None,
        "low": None,
        "previous_close": None,
        "volume": D(0),
        "as_of": START,
    }
    return Quote(**values | given)
