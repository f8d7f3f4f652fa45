"""One way to look at an order before it is accepted: placing and previewing go through it alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.book import Book, Proposal, without, worst_price
from models.enums import ErrorCode, OrderStatus, OrderType, RiskCheckKind
from models.errors import Fault, FundsFault, RiskFault, invalid, refuse_if
from models.estimates import Estimate, estimate
from models.marketdata import Instrument, Quote
from models.money import ZERO, exact, text
from models.orders import Order
from models.portfolios import Portfolio
from models.pretrade import assess, largest_acceptable
from models.risk import RiskCheck
from models.triggers import TRIGGERED_TYPES, trailing_stop
from resolvers.marketdata.queries import clock_of, instruments_in
from resolvers.orders import store
from resolvers.orders.inputs import PlaceOrder, instrument_faults, past_faults, rules_of


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What an order would meet: `price` is its worst, `checks` all that were made.

    `mark` is the last price that a trailing stop begins at.
    """

    book: Book
    instrument: Instrument
    proposal: Proposal
    mark: Decimal | None
    price: Decimal
    checks: Sequence[RiskCheck]

    @property
    def accepted(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


async def appraise(
    tx: UnitOfWork, portfolio: Portfolio, request: PlaceOrder, services: Services, replacing: Order | None = None
) -> Appraisal:
    """Look at an order under the portfolio's lock; refuses what no check can judge (bad input, no fresh price).

    In place of a working order, what that one holds and would trade is left out, and so is what of it is filled.
    """
    instrument = (await instruments_in(tx.connection, [request.symbol])).get(request.symbol)
    now = services.clock.now()
    refuse_if([*instrument_faults(request, instrument, portfolio.base_currency), *past_faults(request, now)])
    if instrument is None:
        raise AssertionError("an instrument that is missing was refused above")
    clock = clock_of(services, instrument.asset_class)
    book = replace(await store.book(tx, portfolio, [request.symbol]), clock=clock)
    book = await store.with_year(tx, await store.with_losses(tx, book, now), [request.symbol], now)
    quote = book.quotes.get(request.symbol)
    waits = request.type in TRIGGERED_TYPES and (replacing is None or replacing.status is OrderStatus.PENDING)
    refuse_if(_quote_faults(request, quote, services, waits=waits))
    mark, quantity = None if quote is None else quote.last, request.quantity
    if replacing is not None:
        book, quantity = without(book, replacing), remaining(request.quantity, replacing)
        mark = replacing.high_water_mark
    proposal = request.proposal(quantity, _stop(request, mark, instrument) if waits else None)
    refuse_if(_stop_faults(request, proposal))
    rules = rules_of(services.settings)
    price = worst_price(proposal, quote, rules)
    if price is None:
        raise AssertionError("an order without a price was refused above")
    return Appraisal(book, instrument, proposal, mark, price, assess(book, proposal, price, rules))


def _stop(request: PlaceOrder, mark: Decimal | None, instrument: Instrument) -> Decimal | None:
    if request.type is not OrderType.TRAILING_STOP or mark is None:
        return request.stop_price
    return trailing_stop(request.side, mark, request.trail_amount, request.trail_percent, instrument.tick_size)


def _stop_faults(request: PlaceOrder, proposal: Proposal) -> list[Fault]:
    if proposal.stop_price is None or proposal.stop_price > 0:
        return []
    message = f"The stop would be at {text(proposal.stop_price)}: it has to be above 0."
    return [invalid(message, "trailAmount" if request.trail_percent is None else "trailPercent")]


@exact
def remaining(quantity: Decimal, order: Order) -> Decimal:
    """What would be left to trade of an order changed to that quantity."""
    return quantity - order.filled_quantity


def _quote_faults(request: PlaceOrder, quote: Quote | None, services: Services, *, waits: bool) -> list[Fault]:
    if request.limit_price is not None or (waits and request.stop_price is not None):
        return []
    age = None if quote is None else quote.age(services.clock.now())
    if age is None:
        message = f"{request.symbol} has no quote: a {request.type} order can't be priced."
    elif age > timedelta(milliseconds=services.settings.quote_stale_after_ms):
        age_s = int(age.total_seconds())
        message = f"The quote of {request.symbol} is {age_s} s old: a {request.type} order can't be priced."
    else:
        return []
    return [Fault(ErrorCode.INSTRUMENT_NOT_TRADABLE, message, ("input", "symbol"))]


def faults_of(checks: Sequence[RiskCheck]) -> list[Fault]:
    """The failed checks as faults: funds with what was needed and what there is, the others with every check made."""
    faults: list[Fault] = []
    failed = [check for check in checks if not check.passed]
    for check in failed:
        if check.kind is RiskCheckKind.BUYING_POWER:
            required, available = check.projected or ZERO, check.threshold or ZERO
            faults.append(FundsFault(ErrorCode.INSUFFICIENT_FUNDS, check.message, ("input",), required, available))
        elif check.kind in _CODES:
            faults.append(Fault(_CODES[check.kind], check.message, ("input",)))
    others = [check for check in failed if check.kind not in (RiskCheckKind.BUYING_POWER, *_CODES)]
    if others:
        message = " ".join(check.message for check in others)
        faults.append(RiskFault(ErrorCode.RISK_LIMIT_EXCEEDED, message, ("input",), tuple(checks)))
    return faults


_CODES = {
    RiskCheckKind.TRADING_STATE: ErrorCode.TRADING_PAUSED,
    RiskCheckKind.REDUCE_ONLY: ErrorCode.TRADING_PAUSED,
    RiskCheckKind.MARKET_HOURS: ErrorCode.MARKET_CLOSED,
}
"""The checks that have a code of their own, beside buying power."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do, without placing it. Prices and cash in the base currency."""

    estimate: Estimate
    checks: Sequence[RiskCheck]
    largest_acceptable_quantity: Decimal
    accepted: bool


@exact
def preview_of(appraisal: Appraisal, settings: Settings) -> Preview:
    """The estimate, every check, and how much of the order would be let through."""
    rules, proposal = rules_of(settings), appraisal.proposal

    def accepts(part: Proposal) -> bool:
        return all(check.passed for check in assess(appraisal.book, part, appraisal.price, rules))

    most = proposal.quantity
    if not appraisal.accepted:
        lot = appraisal.instrument.lot_size
        most = largest_acceptable(proposal, lot, accepts, int(proposal.quantity // lot))
    return Preview(estimate(appraisal.book, proposal, rules), appraisal.checks, most, accepted=appraisal.accepted)
