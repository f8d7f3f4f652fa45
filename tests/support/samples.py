"""Fills, positions and portfolios as plain values, and Hypothesis's strategies (`tests.support.orders` has orders)."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, get_args, get_type_hints
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st

from models.enums import OrderSide, PositionSide, TradingState
from models.orders import Fill
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
PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    Decimal: amounts | amounts.map(lambda amount: -amount),
    datetime: moments,
    str: words,
    int: st.integers(0, 2**31),
    UUID: st.uuids(),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a dataclass, or of what its fields are."""
    if kind in PLAIN:
        return PLAIN[kind]
    if get_args(kind):
        [inner] = [each for each in get_args(kind) if each is not type(None)]
        return st.none() | any_of(inner)
    if issubclass(kind, StrEnum):
        return st.sampled_from(list(kind))
    return st.builds(kind, **{name: any_of(hint) for name, hint in get_type_hints(kind).items()})


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
