"""What positions and portfolios are worth. Where a price is missing a figure is none: it is never made up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from models.marketdata import Quote
from models.money import ZERO, divide, exact
from models.portfolios import Portfolio
from models.positions import Position, day_of

NO_PRICE = "A position has no price."
SHORT_RESERVE = Decimal("1.5")
"""What a short position holds back, as a multiple of its market value."""


@dataclass(frozen=True, slots=True)
class PositionMark:
    """A position at a price, in the base currency; `weight` is a fraction of the portfolio's total value, signed."""

    market_price: Decimal | None
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    unrealized_pnl_percent: Decimal | None
    day_pnl: Decimal | None
    weight: Decimal | None


@dataclass(frozen=True, slots=True)
class Valuation:
    """A portfolio's worth. `stale`: a quote behind it is too old. `unpriced`: symbols that have no price at all."""

    as_of: datetime
    cash: Decimal
    market_value: Decimal | None
    total_value: Decimal | None
    unrealized_pnl: Decimal | None
    realized_pnl: Decimal
    day_pnl: Decimal | None
    stale: bool
    unpriced: tuple[str, ...]


@exact
def day_pnl(position: Position, quote: Quote | None, now: datetime) -> Decimal | None:
    """Profit or loss since the UTC day began, commissions apart.

    What is held now at the last price, less what was held when the day began at the previous close, plus the cash
    that the day's trades brought in.
    """
    if position.day_start == day_of(now):
        begun, cash = position.day_open_quantity, position.day_cash
    else:
        begun, cash = position.quantity, ZERO
    if quote is None:
        return None
    # Where nothing was quoted since midnight, the last price is the one that the day began with.
    previous = quote.last if quote.as_of < day_of(now) else quote.previous_close
    if begun and previous is None:
        return None
    return position.quantity * quote.last - begun * (previous or ZERO) + cash


@exact
def mark(position: Position, quote: Quote | None, now: datetime, total_value: Decimal | None) -> PositionMark:
    """The position at the quote's last price."""
    if quote is None:
        return PositionMark(None, None, None, None, None, None)
    value, cost = position.quantity * quote.last, position.quantity * position.average_price
    return PositionMark(
        market_price=quote.last,
        market_value=value,
        unrealized_pnl=value - cost,
        unrealized_pnl_percent=divide((value - cost) * 100, abs(cost)) if cost else None,
        day_pnl=day_pnl(position, quote, now),
        weight=divide(value, total_value) if total_value else None,
    )


@exact
def value(
    portfolio: Portfolio,
    positions: Iterable[Position],
    quotes: Mapping[str, Quote],
    now: datetime,
    stale_after: timedelta,
) -> Valuation:
    """The portfolio at the quotes' last prices; `positions` are its open ones and those closed in the same UTC day."""
    market_value = unrealized = day = ZERO
    unpriced: list[str] = []
    day_known, stale = True, False
    for position in positions:
        quote = quotes.get(position.symbol)
        of_day = day_pnl(position, quote, now)
        day_known = day_known and of_day is not None
        day += of_day or ZERO
        if not position.quantity:
            continue
        if quote is None:
            unpriced.append(position.symbol)
            continue
        stale = stale or quote.age(now) > stale_after
        market_value += position.quantity * quote.last
        unrealized += position.quantity * (quote.last - position.average_price)
    priced = not unpriced
    return Valuation(
        as_of=now,
        cash=portfolio.cash,
        market_value=market_value if priced else None,
        total_value=portfolio.cash + market_value if priced else None,
        unrealized_pnl=unrealized if priced else None,
        realized_pnl=portfolio.realized_pnl,
        day_pnl=day if day_known else None,
        stale=stale,
        unpriced=tuple(sorted(unpriced)),
    )


@exact
def short_value(positions: Iterable[Position], quotes: Mapping[str, Quote]) -> Decimal:
    """The market value of what is sold short, as a positive amount; at cost where there never was a quote."""
    total = ZERO
    for position in positions:
        if position.quantity < 0:
            quote = quotes.get(position.symbol)
            total -= position.quantity * (quote.last if quote else position.average_price)
    return total


@exact
def buying_power(portfolio: Portfolio, positions: Iterable[Position], quotes: Mapping[str, Quote]) -> Decimal:
    """Cash, less what open orders hold back, less one and a half times the market value of short positions."""
    return portfolio.cash - portfolio.reserved_cash - SHORT_RESERVE * short_value(positions, quotes)


@exact
def market_values(positions: Iterable[Position], quotes: Mapping[str, Quote]) -> dict[str, Decimal] | None:
    """What open positions are worth at the last prices by symbol, negative when short; none while one has no price."""
    found: dict[str, Decimal] = {}
    for position in positions:
        if position.quantity:
            quote = quotes.get(position.symbol)
            if quote is None:
                return None
            found[position.symbol] = position.quantity * quote.last
    return found
