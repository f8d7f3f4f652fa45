"""A portfolio's book, an order that is proposed for it, and what that would do at its worst.

Exposure is counted at its worst: the position, and every working order of the same side as if it were filled.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal

from models.enums import OrderSide, OrderType, RiskLimitKind, TimeInForce, TradingState
from models.equity import Figure
from models.hours import ALWAYS_OPEN, MarketClock
from models.lifecycle import reserve
from models.marketdata import Quote
from models.money import ZERO, exact
from models.orders import Order
from models.portfolios import Portfolio, TradingStatus, stricter
from models.positions import Position
from models.risk import RiskLimit
from models.scenarios import Year
from models.valuation import SHORT_RESERVE, buying_power, market_values


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings say: rates as fractions, `max_open_orders` whatever a portfolio's own limit says.

    `price_collar` is how far beyond the market an order may name its price, as a fraction of the last price.
    """

    commission_rate: Decimal
    market_order_margin: Decimal
    short_selling: bool
    max_open_orders: int
    price_collar: Decimal


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
    time_in_force: TimeInForce = TimeInForce.DAY


@dataclass(frozen=True, slots=True)
class Book:
    """A portfolio as the checks need it: open positions by symbol, working orders, limits by kind, quotes by symbol.

    `clock` is that of the market that the proposed order goes to; `losses` is what the limits on losses measure, for
    those that there are, and `year` is there where value at risk is limited.
    """

    portfolio: Portfolio
    market: TradingStatus
    positions: Mapping[str, Position]
    working: Sequence[Order]
    limits: Mapping[RiskLimitKind, RiskLimit]
    quotes: Mapping[str, Quote]
    clock: MarketClock = ALWAYS_OPEN
    losses: Mapping[RiskLimitKind, Figure] = field(default_factory=dict)
    year: Year | None = None

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
        worths = market_values(self.positions.values(), self.quotes)
        return None if worths is None else self.portfolio.cash + sum(worths.values(), ZERO)


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
    """What that position is worth, at the highest of `price`, the last price, and what those orders name."""
    alone: Decimal
    """What the position is worth once only the order itself is filled, negative when short."""
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
    dearest = max(price, mark(book, proposal.symbol, price))
    # What only makes the position smaller is worth no more for what it names.
    named = _named(book.working, proposal.symbol, proposal.side) if after * sign > 0 else []
    return Exposure(
        price=price,
        notional=price * proposal.quantity,
        held=held,
        after=after,
        worth=abs(after) * max([dearest, *named]),
        alone=(held + sign * proposal.quantity) * dearest,
        reduces=held * sign < 0 and pending + proposal.quantity <= abs(held),
    )


@exact
def funds(book: Book, proposal: Proposal, seen: Exposure, rules: Rules) -> Funds:
    """What it needs of the buying power.

    A buy needs what it reserves, less the reserve of the short position that it covers. A sale needs, for the part
    that opens or adds to a short, the short's reserve (at the higher of its price and the last) less the proceeds; as
    much is set apart for working sales.
    """
    free = spare(book.portfolio, book.positions, book.working, book.quotes, rules.commission_rate)
    if proposal.side is OrderSide.BUY:
        needed = reserve(OrderSide.BUY, seen.price, proposal.quantity, rules.commission_rate)
        open_short = max(ZERO, -seen.held - book.pending(proposal.symbol, OrderSide.BUY))
        covered = min(proposal.quantity, open_short)
        return Funds(needed - SHORT_RESERVE * covered * mark(book, proposal.symbol, seen.price), free)
    open_long = max(ZERO, seen.held - book.pending(proposal.symbol, OrderSide.SELL))
    short = max(ZERO, proposal.quantity - open_long)
    return Funds(_short_needs(short, seen.price, mark(book, proposal.symbol, seen.price), rules.commission_rate), free)


def mark(book: Book, symbol: str, otherwise: Decimal) -> Decimal:
    """The last price, if there ever was one."""
    quote = book.quotes.get(symbol)
    return quote.last if quote else otherwise


def _short_needs(quantity: Decimal, price: Decimal, mark: Decimal, rate: Decimal) -> Decimal:
    return quantity * (SHORT_RESERVE * max(price, mark) - price * (1 - rate))


@exact
def spare(
    portfolio: Portfolio,
    positions: Mapping[str, Position],
    working: Sequence[Order],
    quotes: Mapping[str, Quote],
    rate: Decimal,
) -> Decimal:
    """The buying power, less what working sales will need of it for the part that would sell short."""
    return buying_power(portfolio, positions.values(), quotes) - _set_apart(positions, working, quotes, rate)


def _set_apart(
    positions: Mapping[str, Position], working: Sequence[Order], quotes: Mapping[str, Quote], rate: Decimal
) -> Decimal:
    total = ZERO
    for symbol in {order.symbol for order in working if order.side is OrderSide.SELL}:
        held, quote = positions.get(symbol), quotes.get(symbol)
        left = max(ZERO, held.quantity) if held else ZERO
        for order in working:
            if order.symbol == symbol and order.side is OrderSide.SELL:
                short = max(ZERO, order.remaining_quantity - left)
                left = max(ZERO, left - order.remaining_quantity)
                price = max(order.limit_price or ZERO, quote.last if quote else ZERO)
                total += _short_needs(short, price, price, rate)
    return total


@exact
def shortfall(book: Book, order: Order, price: Decimal, rules: Rules) -> Funds | None:
    """What a buy that works already would need at that price, and what there is, where that is less; else none.

    What it holds back itself is there for it.
    """
    if reserve(order.side, price, order.remaining_quantity, rules.commission_rate) <= order.reserved_cash:
        return None
    rest = without(book, order)
    proposal = Proposal(order.symbol, order.side, order.type, order.remaining_quantity, order.limit_price)
    needs = funds(rest, proposal, exposure(rest, proposal, price), rules)
    return None if needs.required <= max(needs.available, ZERO) else needs


@exact
def without(book: Book, order: Order) -> Book:
    """The book as if the working order were not there."""
    portfolio = replace(book.portfolio, reserved_cash=book.portfolio.reserved_cash - order.reserved_cash)
    return replace(book, portfolio=portfolio, working=[each for each in book.working if each.id != order.id])


@exact
def possible_worths(book: Book, proposal: Proposal, seen: Exposure) -> dict[str, list[Decimal]] | None:
    """What each position may be worth once the proposal is accepted, negative when short.

    Once for each side whose working orders may be filled, each at the last price or a higher one that such an order
    names; what the proposal is for, with it. Of every other instrument the last is what is held, with nothing filled.
    None while something that is held has no price.
    """
    orders: dict[str, list[Order]] = {}
    for order in book.working:
        orders.setdefault(order.symbol, []).append(order)
    found: dict[str, list[Decimal]] = {}
    for symbol in {*orders, *book.positions, proposal.symbol}:
        working = orders.get(symbol, [])
        sides = [_side_worth(book, symbol, side, working) for side in OrderSide]
        if symbol == proposal.symbol:
            # The side of the proposal is with it; the other one counts only where something works on it.
            other = 1 if proposal.side is OrderSide.BUY else 0
            idle = not any(order.side is not proposal.side for order in working)
            sides = [seen.worth.copy_sign(seen.after), *([] if idle else [sides[other]])]
        elif working:
            sides.append(_side_worth(book, symbol, OrderSide.BUY, []))
        known = [worth for worth in sides if worth is not None]
        if len(known) < len(sides):
            return None
        found[symbol] = known
    return found


def _side_worth(book: Book, symbol: str, side: OrderSide, orders: Sequence[Order]) -> Decimal | None:
    """What a position is worth once its working orders of that side are filled; none where nothing gives it a price."""
    quote, held, sign = book.quotes.get(symbol), book.held(symbol), 1 if side is OrderSide.BUY else -1
    after = held + sign * sum((order.remaining_quantity for order in orders if order.side is side), ZERO)
    named = [*([] if quote is None else [quote.last]), *_named(orders, symbol, side)]
    if after == 0:
        return ZERO
    if quote is None and (held or not named):
        return None
    return after * (max(named) if after * sign > 0 else named[0])


def _named(orders: Iterable[Order], symbol: str, side: OrderSide) -> list[Decimal]:
    """The limits and stops of the orders of that side."""
    of_side = [order for order in orders if order.symbol == symbol and order.side is side]
    return [price for each in of_side for price in (each.limit_price, each.stop_price) if price is not None]
