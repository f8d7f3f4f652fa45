"""Orders and their fills."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, at_least_zero, more_than_zero, one_of
from models.enums import OrderSide, OrderStatus, OrderType, TimeInForce

WORKING = (OrderStatus.PENDING, OrderStatus.OPEN, OrderStatus.PARTIALLY_FILLED)
"""The states in which an order can still change."""


@dataclass(frozen=True, slots=True)
class Order:
    """An order as it stands at one `version`.

    `reserved_cash` is what it holds back in the base currency: `reserve_price`, the worst it may pay (none for a
    sale), for all that remains, with commission. `high_water_mark` is the best last price that a trailing stop has
    seen (for a buy: the lowest), from which its `stop_price` hangs. `ranked_at` is since when it stands at its price.
    """

    id: UUID
    portfolio_id: UUID
    owner_id: UUID
    client_order_id: str
    symbol: str
    side: OrderSide
    type: OrderType
    time_in_force: TimeInForce
    quantity: Decimal
    filled_quantity: Decimal
    filled_notional: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_amount: Decimal | None
    trail_percent: Decimal | None
    high_water_mark: Decimal | None
    average_fill_price: Decimal | None
    status: OrderStatus
    commission: Decimal
    reserve_price: Decimal | None
    reserved_cash: Decimal
    reject_reason: str | None
    cancel_reason: str | None
    triggered_at: datetime | None
    expire_at: datetime | None
    closed_at: datetime | None
    version: int
    placed_at: datetime
    ranked_at: datetime
    updated_at: datetime

    @property
    def remaining_quantity(self) -> Decimal:
        """What is not filled yet."""
        return self.quantity - self.filled_quantity

    @property
    def working(self) -> bool:
        """Whether it can still trade."""
        return self.status in WORKING

    @property
    def at_market(self) -> bool:
        """Whether it can trade now: it works, and waits for no trigger."""
        return self.status in WORKING and self.status is not OrderStatus.PENDING


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of a part of an order. `order_version` is the order's version that it led to."""

    id: UUID
    order_id: UUID
    portfolio_id: UUID
    owner_id: UUID
    symbol: str
    side: OrderSide
    quantity: Decimal
    price: Decimal
    commission: Decimal
    order_version: int
    executed_at: datetime


class OrderRow(SQLModel, table=True):
    """Stored orders. `request_hash` is of the canonical input, so that a retry is told from another order."""

    __tablename__ = "orders"
    __table_args__ = (
        UniqueConstraint("portfolio_id", "client_order_id", name="one_order_for_each_key"),
        one_of("side", OrderSide),
        one_of("type", OrderType),
        one_of("time_in_force", TimeInForce),
        one_of("status", OrderStatus),
        more_than_zero("quantity"),
        at_least_zero("filled_quantity"),
        at_least_zero("reserved_cash"),
        at_least_zero("commission"),
        CheckConstraint("CAST(filled_quantity AS NUMERIC) <= CAST(quantity AS NUMERIC)", name="no_overfill"),
        Index("orders_by_owner", "owner_id", "placed_at", "id"),
        Index("orders_by_portfolio", "portfolio_id", "placed_at", "id"),
        Index("orders_by_owner_changed", "owner_id", "updated_at", "id"),
        Index("orders_by_portfolio_changed", "portfolio_id", "updated_at", "id"),
        Index("orders_by_owner_status", "owner_id", "status", "placed_at", "id"),
        Index(
            "orders_working_by_owner",
            "owner_id",
            "placed_at",
            "id",
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        Index(
            "orders_working",
            "portfolio_id",
            "symbol",
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
        Index(
            "orders_due",
            "expire_at",
            postgresql_where=text("closed_at IS NULL"),
            sqlite_where=text("closed_at IS NULL"),
        ),
    )

    id: UUID = Field(primary_key=True)
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    client_order_id: str
    symbol: str = Field(foreign_key="instruments.symbol")
    side: OrderSide = Field(sa_type=Word(OrderSide))
    type: OrderType = Field(sa_type=Word(OrderType))
    time_in_force: TimeInForce = Field(sa_type=Word(TimeInForce))
    quantity: Decimal = Field(sa_type=Exact)
    filled_quantity: Decimal = Field(sa_type=Exact)
    filled_notional: Decimal = Field(sa_type=Exact)
    limit_price: Decimal | None = Field(default=None, sa_type=Exact)
    stop_price: Decimal | None = Field(default=None, sa_type=Exact)
    trail_amount: Decimal | None = Field(default=None, sa_type=Exact)
    trail_percent: Decimal | None = Field(default=None, sa_type=Exact)
    high_water_mark: Decimal | None = Field(default=None, sa_type=Exact)
    average_fill_price: Decimal | None = Field(default=None, sa_type=Exact)
    status: OrderStatus = Field(sa_type=Word(OrderStatus))
    commission: Decimal = Field(sa_type=Exact)
    reserve_price: Decimal | None = Field(default=None, sa_type=Exact)
    reserved_cash: Decimal = Field(sa_type=Exact)
    reject_reason: str | None = None
    cancel_reason: str | None = None
    triggered_at: datetime | None = Field(default=None, sa_type=Moment)
    expire_at: datetime | None = Field(default=None, sa_type=Moment)
    closed_at: datetime | None = Field(default=None, sa_type=Moment)
    version: int
    placed_at: datetime = Field(sa_type=Moment)
    ranked_at: datetime = Field(sa_type=Moment)
    updated_at: datetime = Field(sa_type=Moment)
    request_hash: str


class FillRow(SQLModel, table=True):
    """Stored fills; never changed."""

    __tablename__ = "fills"
    __table_args__ = (
        one_of("side", OrderSide),
        more_than_zero("quantity"),
        more_than_zero("price"),
        at_least_zero("commission"),
        Index("fills_by_order", "order_id", "executed_at", "id"),
        Index("fills_by_portfolio", "portfolio_id", "executed_at", "id"),
    )

    id: UUID = Field(primary_key=True)
    order_id: UUID = Field(foreign_key="orders.id")
    portfolio_id: UUID = Field(foreign_key="portfolios.id")
    owner_id: UUID = Field(foreign_key="users.id")
    symbol: str = Field(foreign_key="instruments.symbol")
    side: OrderSide = Field(sa_type=Word(OrderSide))
    quantity: Decimal = Field(sa_type=Exact)
    price: Decimal = Field(sa_type=Exact)
    commission: Decimal = Field(sa_type=Exact)
    order_version: int
    executed_at: datetime = Field(sa_type=Moment)
