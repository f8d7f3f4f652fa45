"""What an order takes in, checked: every fault at once."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.rows import values
from infrastructure.settings import Settings
from models.book import Proposal, Rules
from models.enums import ErrorCode, OrderSide, OrderType, TimeInForce
from models.errors import Fault, invalid
from models.marketdata import Instrument
from models.money import is_multiple, text
from models.payloads import camel
from models.positions import day_of
from resolvers.portfolios.inputs import amount_faults, key_faults
from resolvers.requests import request_hash


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """An order as it is asked for. Without a `client_order_id` it can't be repeated safely.

    `trail_percent` is a percentage of the price (5 is 5%).
    """

    portfolio_id: UUID
    symbol: str
    side: OrderSide
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expire_at: datetime | None = None
    client_order_id: str | None = None

    def proposal(self, quantity: Decimal, stop_price: Decimal | None) -> Proposal:
        """What the checks look at: so much of it, with the stop where it stands now."""
        return Proposal(self.symbol, self.side, self.type, quantity, self.limit_price, stop_price, self.time_in_force)

    @property
    def hash(self) -> str:
        """The same for the same order, however it was written."""
        named = {key: value for key, value in values(self).items() if key not in ("portfolio_id", "client_order_id")}
        return request_hash(**named)

    def ends_at(self, now: datetime) -> datetime | None:
        """When its time in force ends: a DAY order's at the end of the UTC day, a GTD order's when it says."""
        return day_of(now) + timedelta(days=1) if self.time_in_force is TimeInForce.DAY else self.expire_at


_PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: ("limit_price",),
    OrderType.STOP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.TRAILING_STOP: ("trail_amount", "trail_percent"),
}
"""The prices that each type names; of a trailing stop's two, one."""
_PRICED = ("limit_price", "stop_price", "trail_amount", "trail_percent")
_ON_TICK = ("limit_price", "stop_price", "trail_amount")
PERCENT_MAX = 100


def order_faults(request: PlaceOrder) -> list[Fault]:
    """What is wrong with the order in itself."""
    return [
        *amount_faults(request.quantity, "quantity"),
        *key_faults(request.client_order_id, "clientOrderId"),
        *_price_faults(request),
        *_time_faults(request),
    ]


def _price_faults(request: PlaceOrder) -> list[Fault]:
    faults: list[Fault] = []
    kind = f"{'an' if request.type.value[0] in 'AEIO' else 'a'} {request.type} order"
    wanted = _PRICES[request.type]
    for name in _PRICED:
        value: Decimal | None = getattr(request, name)
        field = camel(name)
        if value is None:
            if name in wanted and request.type is not OrderType.TRAILING_STOP:
                faults.append(invalid(f"`{field}` is required for {kind}.", field))
        elif name not in wanted:
            faults.append(invalid(f"`{field}` has no place in {kind}.", field))
        else:
            faults.extend(amount_faults(value, field))
    if request.type is OrderType.TRAILING_STOP:
        if (request.trail_amount is None) == (request.trail_percent is None):
            faults.append(invalid(f"`trailAmount` or `trailPercent`: {kind} has one of them.", "trailAmount"))
        if request.trail_percent is not None and request.trail_percent >= PERCENT_MAX:
            message = f"`trailPercent` is {text(request.trail_percent)}: it has to be less than {PERCENT_MAX}."
            faults.append(invalid(message, "trailPercent"))
    return faults


def _time_faults(request: PlaceOrder) -> list[Fault]:
    if request.time_in_force is not TimeInForce.GTD:
        if request.expire_at is None:
            return []
        return [invalid("`expireAt` is only for `timeInForce: GTD`.", "expireAt")]
    return [] if request.expire_at else [invalid("`expireAt` is required for `timeInForce: GTD`.", "expireAt")]


def past_faults(request: PlaceOrder, now: datetime) -> list[Fault]:
    """What can't begin any more; not asked of a repeated request, whose order may have ended meanwhile."""
    if request.expire_at is not None and request.expire_at <= now:
        return [invalid("`expireAt` has to be in the future.", "expireAt")]
    return []


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
    for name in _ON_TICK:
        price: Decimal | None = getattr(request, name)
        if price is not None and not is_multiple(price, instrument.tick_size):
            message = f"`{camel(name)}` is {text(price)}: it has to be a multiple of the tick size "
            faults.append(invalid(f"{message}{text(instrument.tick_size)}.", camel(name)))
    return faults


def rules_of(settings: Settings) -> Rules:
    """The settings that the checks go by."""
    return Rules(
        commission_rate=settings.commission_rate,
        market_order_margin=settings.market_order_margin,
        short_selling=settings.short_selling,
        max_open_orders=settings.max_open_orders,
        price_collar=settings.price_collar,
    )
