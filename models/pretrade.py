"""The pre-trade checks: pure functions of the book as it stands under the portfolio's lock."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

from models.book import Book, Exposure, Funds, Proposal, Rules, exposure, funds, possible_worths
from models.collar import beyond
from models.enums import OrderSide, OrderType, RiskCheckKind, RiskLimitKind, TimeInForce, TradingState
from models.equity import LOSSES, Figure
from models.money import ZERO, divide, exact, text
from models.risk import RiskCheck
from models.triggers import TRIGGERED_TYPES
from models.valuation import NO_PRICE

NO_EQUITY = "The portfolio has no equity to measure against."


@exact
def assess(book: Book, proposal: Proposal, price: Decimal, rules: Rules) -> list[RiskCheck]:
    """Every check, passed or not, each with what it saw and what it allows; `price` is the proposal's worst."""
    seen = exposure(book, proposal, price)
    return [
        _trading_state(book),
        _reduce_only(book, seen),
        _market_hours(book, proposal),
        _price_collar(book, proposal, rules),
        _short_selling(seen, proposal, rules),
        _buying_power(funds(book, proposal, seen, rules)),
        _open_orders(book, rules),
        *_order_notional(book, seen),
        *_position_notional(book, seen),
        *_concentration(book, seen),
        *_whole_book(book, proposal, seen),
        *_losses(book, seen),
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


def _market_hours(book: Book, proposal: Proposal) -> RiskCheck:
    """What trades at once or never needs an open market; what may wait is let in at any time."""
    waits = proposal.type in TRIGGERED_TYPES or (
        proposal.type is not OrderType.MARKET and proposal.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK)
    )
    if book.clock.open:
        message = "The market is open."
    else:
        opens = "" if book.clock.next_open is None else f" until {book.clock.next_open:%Y-%m-%d %H:%M} UTC"
        message = f"The market is closed{opens}: " + ("the order would wait." if waits else "the order can't wait.")
    return RiskCheck(RiskCheckKind.MARKET_HOURS, book.clock.open or waits, None, None, message)


def _price_collar(book: Book, proposal: Proposal, rules: Rules) -> RiskCheck:
    kind, quote = RiskCheckKind.PRICE_COLLAR, book.quotes.get(proposal.symbol)
    if quote is None:
        message = "There is no price to compare its own with."
        return RiskCheck(kind, passed=True, threshold=rules.price_collar, projected=None, message=message)
    distance, reference = beyond(proposal, quote.last)
    passed, share = distance <= rules.price_collar * reference, divide(distance, reference)
    message = "It names no price beyond the market."
    if distance:
        message = f"Its price is {text(share)} beyond the market, at most {text(rules.price_collar)} is allowed."
    return RiskCheck(kind, passed, rules.price_collar, share, message)


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
    return _of_equity(
        RiskLimitKind.MAX_CONCENTRATION, book, seen, seen.worth, "The position would be {} of total equity"
    )


def _whole_book(book: Book, proposal: Proposal, seen: Exposure) -> list[RiskCheck]:
    """The limits of what the whole book would be worth: looked at only where there is one."""
    whole = (RiskLimitKind.MAX_GROSS_EXPOSURE, RiskLimitKind.MAX_LEVERAGE, RiskLimitKind.MAX_VALUE_AT_RISK)
    if not book.limits.keys() & {*whole}:
        return []
    worths = possible_worths(book, proposal, seen)
    gross = None if worths is None else sum((max(map(abs, each)) for each in worths.values()), ZERO)
    return [
        *_gross_exposure(book, seen, gross),
        *_of_equity(RiskLimitKind.MAX_LEVERAGE, book, seen, gross, "Gross exposure would be {} times total equity"),
        *_value_at_risk(book, proposal, seen),
    ]


def _gross_exposure(book: Book, seen: Exposure, gross: Decimal | None) -> list[RiskCheck]:
    limit = book.limits.get(RiskLimitKind.MAX_GROSS_EXPOSURE)
    if limit is None:
        return []
    kind = RiskCheckKind.MAX_GROSS_EXPOSURE
    if gross is None:
        return [RiskCheck(kind, seen.reduces, limit.threshold, None, NO_PRICE)]
    message = f"Gross exposure would be {text(gross)}, at most {text(limit.threshold)} is allowed."
    return [RiskCheck(kind, gross <= limit.threshold or seen.reduces, limit.threshold, gross, message)]


def _value_at_risk(book: Book, proposal: Proposal, seen: Exposure) -> list[RiskCheck]:
    """What makes the value at risk no larger than it is passes too: a hedge that is in another instrument, say."""
    limit = book.limits.get(RiskLimitKind.MAX_VALUE_AT_RISK)
    if limit is None:
        return []
    kind, threshold, figure = RiskCheckKind.MAX_VALUE_AT_RISK, limit.threshold, _risked(book, proposal, seen)
    if figure.value is None:
        return [RiskCheck(kind, seen.reduces, threshold, None, figure.why)]
    passed = figure.value <= threshold or seen.reduces
    if not passed:
        nothing = replace(proposal, quantity=ZERO)
        before = _risked(book, nothing, exposure(book, nothing, seen.price)).value
        passed = before is not None and figure.value <= before
    message = f"A day in twenty would cost {text(figure.value)} or more, at most {text(threshold)} is allowed."
    return [RiskCheck(kind, passed, threshold, figure.value, message)]


def _risked(book: Book, proposal: Proposal, seen: Exposure) -> Figure:
    """The value at risk once the proposal is filled, and what works too wherever that is worse.

    An order that works may never be filled: it makes nothing safer.
    """
    if book.year is None:
        raise AssertionError("a book whose value at risk is limited has the year that it is played on")
    worths = possible_worths(book, proposal, seen)
    if worths is None:
        return Figure(None, NO_PRICE)
    worths[proposal.symbol].append(seen.alone)
    worst = book.year.worst_value_at_risk(worths)
    # What works may have few days: those that it leaves out were perhaps the bad ones of what is held.
    unfilled = book.year.value_at_risk({symbol: possible[-1] for symbol, possible in worths.items()})
    if worst.value is None or unfilled.value is None or worst.value >= unfilled.value:
        return worst
    return unfilled


def _losses(book: Book, seen: Exposure) -> list[RiskCheck]:
    """What was lost is lost whatever is ordered: at the limit or beyond, only what reduces passes."""
    found = []
    for limited in LOSSES:
        limit = book.limits.get(limited)
        if limit is None:
            continue
        figure = book.losses[limited]
        passed, message = False, figure.why
        if figure.value is not None:
            passed = limit.keeps(figure.value)
            message = (
                f"{_LOST[limited]} {text(figure.value)}: from {text(limit.threshold)} on, only reducing is allowed."
            )
        kind = RiskCheckKind(limited)
        found.append(RiskCheck(kind, passed or seen.reduces, limit.threshold, figure.value, message))
    return found


_LOST = {
    RiskLimitKind.MAX_DAILY_LOSS: "The loss of the day is",
    RiskLimitKind.MAX_WEEKLY_LOSS: "The loss of the week is",
    RiskLimitKind.MAX_MONTHLY_LOSS: "The loss of the month is",
    RiskLimitKind.MAX_DRAWDOWN: "The fraction lost since the peak is",
}


def _of_equity(
    limited: RiskLimitKind, book: Book, seen: Exposure, amount: Decimal | None, said: str
) -> list[RiskCheck]:
    """The check of a limit on an amount as a part of total equity; without a figure only what reduces passes."""
    limit = book.limits.get(limited)
    if limit is None:
        return []
    kind, equity = RiskCheckKind(limited), book.equity()
    if amount is None or equity is None or equity <= 0:
        message = NO_PRICE if amount is None or equity is None else NO_EQUITY
        return [RiskCheck(kind, seen.reduces, limit.threshold, None, message)]
    share = divide(amount, equity)
    message = f"{said.format(text(share))}, at most {text(limit.threshold)} is allowed."
    # Compared without the rounding of the figure that is shown.
    passed = amount <= limit.threshold * equity or seen.reduces
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
