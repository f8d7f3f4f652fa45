"""What an order takes in, checked: every fault at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.settings import Settings
from models.enums import ErrorCode, OrderSide, OrderType, TimeInForce
from models.errors import Fault, invalid
from models.marketdata import Instrument
from models.money import is_multiple, text
from models.positions import day_of
from models.pretrade import Proposal, Rules
from resolvers.portfolios.inputs import amount_faults, key_faults
from resolvers.requests import request_hash


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order as it is asked for. Without a `client_order_id` it can't be repeated safely."""

    portfolio_id: UUID
    symbol: str
    side: OrderSide
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    client_order_id: str | None = None

    @property
    def proposal(self) -> Proposal:
        """What the checks look at."""
        return Proposal(self.symbol, self.side, self.type, self.quantity, self.limit_price)

    @property
    def hash(self) -> str:
        """The same for the same order, however it was written."""
        return request_hash(
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            quantity=self.quantity,
            limit_price=self.limit_price,
            time_in_force=self.time_in_force,
        )

    def expire_at(self, now: datetime) -> datetime | None:
        """When its time in force ends: a DAY order at the end of the UTC day."""
        return day_of(now) + timedelta(days=1) if self.time_in_force is TimeInForce.DAY else None


def order_faults(request: PlaceOrder) -> list[Fault]:
    """What is wrong with the order in itself."""
    faults = [*amount_faults(request.quantity, "quantity"), *key_faults(request.client_order_id, "clientOrderId")]
    if request.type is OrderType.LIMIT and request.limit_price is None:
        faults.append(invalid("`limitPrice` is required for a LIMIT order.", "limitPrice"))
    if request.type is OrderType.MARKET and request.limit_price is not None:
        faults.append(invalid("`limitPrice` has no place in a MARKET order.", "limitPrice"))
    if request.type is OrderType.LIMIT and request.limit_price is not None:
        faults.extend(amount_faults(request.limit_price, "limitPrice"))
    return faults


def instrument_faults(request: PlaceOrder, instrument: Instrument | None, currency: str) -> list[Fault]:
    """What is wrong with the order for its instrument."""
    if instrument is None:
        return [Fault(ErrorCode.NOT_FOUND, f"There is no instrument {request.symbol!r}.", ("input", "symbol"))]
    if not instrument.tradable or instrument.currency != currency or instrument.multiplier != 1:
        message = f"{instrument.symbol} can't be traded in a {currency} portfolio."
        if not instrument.tradable:
            message = f"{instrument.symbol} can't be traded now."
        return [Fault(ErrorCode.INSTRUMENT_NOT_TRADABLE, message, ("input", "symbol"))]
    faults = []
    if not is_multiple(request.quantity, instrument.lot_size):
        faults.append(
            invalid(
                f"`quantity` is {text(request.quantity)}: it has to be a multiple of the lot size "
                f"{text(instrument.lot_size)}.",
                "quantity",
            )
        )
    if request.limit_price is not None and not is_multiple(request.limit_price, instrument.tick_size):
        faults.append(
            invalid(
                f"`limitPrice` is {text(request.limit_price)}: it has to be a multiple of the tick size "
                f"{text(instrument.tick_size)}.",
                "limitPrice",
            )
        )
    return faults


def rules_of(settings: Settings) -> Rules:
    """The settings that the checks go by."""
    return Rules(
        commission_rate=settings.commission_rate,
        market_order_margin=settings.market_order_margin,
        short_selling=settings.short_selling,
        max_open_orders=settings.max_open_orders,
    )
