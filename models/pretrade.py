"""The pre-trade checks: pure functions of the book as it stands under the portfolio's lock.

Exposure is counted at its worst: the position, and every working order of the same side as if it were filled.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from models.enums import OrderSide, OrderType, RiskCheckKind, RiskLimitKind, TradingState
from models.lifecycle import commission, reserve
from models.marketdata import Quote
from models.money import ZERO, divide, exact, text
from models.orders import Order
from models.portfolios import Portfolio, TradingStatus, stricter
from models.positions import Position
from models.risk import RiskCheck, RiskLimit
from models.valuation import SHORT_RESERVE, buying_power


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say: rates as fractions, `max_open_orders` whatever a portfolio's own limit says."""

    commission_rate: Decimal
    market_order_margin: Decimal
    short_selling: bool
    max_open_orders: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """The order in question."""

    symbol: str
    side: OrderSide
    type: OrderType
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None = None
    """Of a trailing stop: where it begins."""


@dataclass(frozen=True, slots=True)
class Book:
    """A portfolio as the checks need it: open positions by symbol, working orders, limits by kind, quotes by symbol."""

    portfolio: Portfolio
    market: TradingStatus
    positions: Mapping[str, Position]
    working: Sequence[Order]
    limits: Mapping[RiskLimitKind, RiskLimit]
    quotes: Mapping[str, Quote]

    @property
    def state(self) -> TradingState:
        """The stricter of the portfolio's state and the market's."""
        return stricter(self.portfolio.trading_state, self.market.state)

    def held(self, symbol: str) -> Decimal:
        """The signed open quantity."""
        position = self.positions.get(symbol)
        return position.quantity if position else ZERO

    @exact
    def pending(self, symbol: str, side: OrderSide) -> Decimal:
        """What working orders of that side would still trade."""
        return sum((o.remaining_quantity for o in self.working if o.symbol == symbol and o.side is side), ZERO)

    @exact
    def equity(self) -> Decimal | None:
        """Cash and positions at the last prices; none while one has no price."""
        total = self.portfolio.cash
        for position in self.positions.values():
            quote = self.quotes.get(position.symbol)
            if quote is None:
                return None
            total += position.quantity * quote.last
        return total


@dataclass(frozen=True, slots=True)
class Exposure:
    """What the proposal would do at its worst: prices in the base currency, quantities signed."""

    price: Decimal
    """The price that its notional is counted at: a buy's worst; a sale's limit, or the bid where that is higher."""
    notional: Decimal
    held: Decimal
    after: Decimal
    """The position once it and every working order of its side are filled."""
    worth: Decimal
    """What that position is worth, at the higher of `price` and the last price."""
    reduces: bool
    """Whether it only makes the position smaller, whatever else is working."""


@dataclass(frozen=True, slots=True)
class Funds:
    """What the proposal needs of the buying power, and what there is of it."""

    required: Decimal
    available: Decimal


@exact
def worst_price(proposal: Proposal, quote: Quote | None, rules: Rules) -> Decimal | None:
    """What a unit may cost or bring at worst; none where nothing says so.

    A limit is its own worst. Without one a buy may cost the ask, or its stop if that is higher, and a margin. A sale
    is counted at what it may bring at best: its limit or stop, or the bid where that is higher.
    """
    touch = None if quote is None else quote.touch(proposal.side)
    named = [price for price in (proposal.stop_price, touch) if price is not None]
    if proposal.side is OrderSide.BUY:
        if proposal.limit_price is not None:
            return proposal.limit_price
        return max(named) * (1 + rules.market_order_margin) if named else None
    return max([*named, *([] if proposal.limit_price is None else [proposal.limit_price])], default=None)


@exact
def exposure(book: Book, proposal: Proposal, price: Decimal) -> Exposure:
    """The proposal at its worst."""
    held = book.held(proposal.symbol)
    pending = book.pending(proposal.symbol, proposal.side)
    sign = 1 if proposal.side is OrderSide.BUY else -1
    after = held + sign * (pending + proposal.quantity)
    return Exposure(
        price=price,
        notional=price * proposal.quantity,
        held=held,
        after=after,
        worth=abs(after) * max(price, _mark(book, proposal.symbol, price)),
        reduces=held * sign < 0 and pending + proposal.quantity <= abs(held),
    )


@exact
def funds(book: Book, proposal: Proposal, seen: Exposure, rules: Rules) -> Funds:
    """What it needs of the buying power.

    A buy needs what it reserves, less the reserve of the short position that it covers. A sale needs, for the part
    that opens or adds to a short, the short's reserve (at the higher of its price and the last) less the proceeds; as
    much is set apart for working sales.
    """
    free = buying_power(book.portfolio, book.positions.values(), book.quotes) - _pending_shorts(book, rules)
    if proposal.side is OrderSide.BUY:
        needed = reserve(OrderSide.BUY, seen.price, proposal.quantity, rules.commission_rate)
        open_short = max(ZERO, -seen.held - book.pending(proposal.symbol, OrderSide.BUY))
        covered = min(proposal.quantity, open_short)
        return Funds(needed - SHORT_RESERVE * covered * _mark(book, proposal.symbol, seen.price), free)
    open_long = max(ZERO, seen.held - book.pending(proposal.symbol, OrderSide.SELL))
    short = max(ZERO, proposal.quantity - open_long)
    return Funds(_short_needs(short, seen.price, _mark(book, proposal.symbol, seen.price), rules), free)


def _mark(book: Book, symbol: str, otherwise: Decimal) -> Decimal:
    quote = book.quotes.get(symbol)
    return quote.last if quote else otherwise


def _short_needs(quantity: Decimal, price: Decimal, mark: Decimal, rules: Rules) -> Decimal:
    return quantity * (SHORT_RESERVE * max(price, mark) - price * (1 - rules.commission_rate))


def _pending_shorts(book: Book, rules: Rules) -> Decimal:
    total = ZERO
    for symbol in {order.symbol for order in book.working if order.side is OrderSide.SELL}:
        left = max(ZERO, book.held(symbol))
        for order in book.working:
            if order.symbol == symbol and order.side is OrderSide.SELL:
                short = max(ZERO, order.remaining_quantity - left)
                left = max(ZERO, left - order.remaining_quantity)
                price = max(order.limit_price or ZERO, _mark(book, symbol, ZERO))
                total += _short_needs(short, price, price, rules)
    return total


@exact
def assess(book: Book, proposal: Proposal, price: Decimal, rules: Rules) -> list[RiskCheck]:
    """Every check, passed or not, each with what it saw and what it allows; `price` is the proposal's worst."""
    seen = exposure(book, proposal, price)
    return [
        _trading_state(book),
        _reduce_only(book, seen),
        _short_selling(seen, proposal, rules),
        _buying_power(funds(book, proposal, seen, rules)),
        _open_orders(book, rules),
        *_order_notional(book, seen),
        *_position_notional(book, seen),
        *_concentration(book, seen),
    ]


def _trading_state(book: Book) -> RiskCheck:
    paused = book.state is TradingState.PAUSED
    return RiskCheck(
        RiskCheckKind.TRADING_STATE, not paused, None, None, "Trading is paused." if paused else "Trading is open."
    )


def _reduce_only(book: Book, seen: Exposure) -> RiskCheck:
    limited = book.state is TradingState.REDUCE_ONLY
    message = (
        "Only orders that make a position smaller are let through." if limited else "Orders may make positions larger."
    )
    return RiskCheck(RiskCheckKind.REDUCE_ONLY, seen.reduces or not limited, None, None, message)


def _short_selling(seen: Exposure, proposal: Proposal, rules: Rules) -> RiskCheck:
    short = max(ZERO, -seen.after) if proposal.side is OrderSide.SELL else ZERO
    passed = rules.short_selling or short == ZERO or seen.reduces
    message = (
        f"{text(short)} would be sold short, which is " + ("allowed." if rules.short_selling else "not allowed.")
        if short
        else "Nothing would be sold short."
    )
    return RiskCheck(RiskCheckKind.SHORT_SELLING, passed, None if rules.short_selling else ZERO, short, message)


def _buying_power(needs: Funds) -> RiskCheck:
    passed = needs.required <= max(needs.available, ZERO)
    message = f"Needs {text(needs.required)} of {text(needs.available)} buying power."
    return RiskCheck(RiskCheckKind.BUYING_POWER, passed, needs.available, needs.required, message)


def _open_orders(book: Book, rules: Rules) -> RiskCheck:
    limit = book.limits.get(RiskLimitKind.MAX_OPEN_ORDERS)
    bound = Decimal(rules.max_open_orders)
    allowed = min(limit.threshold, bound) if limit else bound
    count = Decimal(len(book.working) + 1)
    message = f"It would be open order {text(count)} of at most {text(allowed)}."
    return RiskCheck(RiskCheckKind.MAX_OPEN_ORDERS, count <= allowed, allowed, count, message)


def _order_notional(book: Book, seen: Exposure) -> list[RiskCheck]:
    limit = book.limits.get(RiskLimitKind.MAX_ORDER_NOTIONAL)
    if limit is None:
        return []
    message = f"The order is worth {text(seen.notional)}, at most {text(limit.threshold)} is allowed."
    passed = seen.notional <= limit.threshold
    return [RiskCheck(RiskCheckKind.MAX_ORDER_NOTIONAL, passed, limit.threshold, seen.notional, message)]


def _position_notional(book: Book, seen: Exposure) -> list[RiskCheck]:
    limit = book.limits.get(RiskLimitKind.MAX_POSITION_NOTIONAL)
    if limit is None:
        return []
    message = f"The position would be worth {text(seen.worth)}, at most {text(limit.threshold)} is allowed."
    passed = seen.worth <= limit.threshold or seen.reduces
    return [RiskCheck(RiskCheckKind.MAX_POSITION_NOTIONAL, passed, limit.threshold, seen.worth, message)]


def _concentration(book: Book, seen: Exposure) -> list[RiskCheck]:
    limit = book.limits.get(RiskLimitKind.MAX_CONCENTRATION)
    if limit is None:
        return []
    equity = book.equity()
    kind = RiskCheckKind.MAX_CONCENTRATION
    if equity is None or equity <= 0:
        message = (
            "The portfolio has no equity to measure against." if equity is not None else "A position has no price."
        )
        return [RiskCheck(kind, seen.reduces, limit.threshold, None, message)]
    share = divide(seen.worth, equity)
    message = f"The position would be {text(share)} of total equity, at most {text(limit.threshold)} is allowed."
    # Compared without the rounding of the figure that is shown.
    passed = seen.worth <= limit.threshold * equity or seen.reduces
    return [RiskCheck(kind, passed, limit.threshold, share, message)]


def largest_acceptable(proposal: Proposal, lot: Decimal, accepts: Callable[[Proposal], bool], lots_max: int) -> Decimal:
    """The most of the proposal, in whole lots up to `lots_max`, that `accepts`; zero if no part of it is."""
    low, high = 0, lots_max
    while low < high:
        middle = (low + high + 1) // 2
        if accepts(replace(proposal, quantity=lot * middle)):
            low = middle
        else:
            high = middle - 1
    return lot * low


@dataclass(frozen=True, slots=True)
class Estimate:
    """What an order would do if it were filled whole at `price` now."""

    price: Decimal | None
    notional: Decimal | None
    commission: Decimal | None
    cash_after: Decimal | None
    buying_power_after: Decimal | None
    position_after: Decimal


@exact
def estimate(book: Book, proposal: Proposal, rules: Rules) -> Estimate:
    """The likely outcome: at its limit, else at its stop, else at the touch."""
    quote = book.quotes.get(proposal.symbol)
    sign = 1 if proposal.side is OrderSide.BUY else -1
    held = book.held(proposal.symbol)
    after = held + sign * proposal.quantity
    touch = None if quote is None else quote.touch(proposal.side)
    price = next((each for each in (proposal.limit_price, proposal.stop_price, touch) if each is not None), None)
    if price is None:
        return Estimate(None, None, None, None, None, after)
    notional = price * proposal.quantity
    cost = commission(notional, rules.commission_rate)
    cash_moved = -sign * notional - cost
    mark = _mark(book, proposal.symbol, price)
    shorts_moved = (max(ZERO, -after) - max(ZERO, -held)) * mark
    power = buying_power(book.portfolio, book.positions.values(), book.quotes)
    return Estimate(
        price=price,
        notional=notional,
        commission=cost,
        cash_after=book.portfolio.cash + cash_moved,
        buying_power_after=power + cash_moved - SHORT_RESERVE * shorts_moved,
        position_after=after,
    )
