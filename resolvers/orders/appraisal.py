"""One way to look at an order before it is accepted: placing and previewing go through it alike."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.settings import Settings
from models.enums import ErrorCode, OrderType, RiskCheckKind
from models.errors import Fault, FundsFault, RiskFault, refuse_if
from models.marketdata import Instrument, Quote
from models.money import ZERO, exact
from models.portfolios import Portfolio
from models.pretrade import Book, Estimate, Proposal, assess, estimate, largest_acceptable, worst_price
from models.risk import RiskCheck
from resolvers.marketdata.queries import instruments_in
from resolvers.orders import store
from resolvers.orders.inputs import PlaceOrder, instrument_faults, rules_of


@dataclass(frozen=True, slots=True)
class Appraisal:
    """What an order would meet: `price` is its worst, `checks` all that were made."""

    book: Book
    instrument: Instrument
    price: Decimal
    checks: Sequence[RiskCheck]

    @property
    def accepted(self) -> bool:
        """Whether every check passed."""
        return all(check.passed for check in self.checks)


async def appraise(
    tx: UnitOfWork, portfolio: Portfolio, request: PlaceOrder, settings: Settings, now: datetime
) -> Appraisal:
    """Look at an order under the portfolio's lock; refuses what no check can judge (bad input, no fresh price)."""
    instrument = (await instruments_in(tx.connection, [request.symbol])).get(request.symbol)
    refuse_if(instrument_faults(request, instrument, portfolio.base_currency))
    if instrument is None:
        raise AssertionError("an instrument that is missing was refused above")
    book = await store.book(tx, portfolio, [request.symbol])
    quote = book.quotes.get(request.symbol)
    refuse_if(_price_faults(request, quote, settings, now))
    rules = rules_of(settings)
    price = worst_price(request.proposal, quote, rules)
    if price is None:
        raise AssertionError("an order without a price was refused above")
    return Appraisal(book, instrument, price, assess(book, request.proposal, price, rules))


def _price_faults(request: PlaceOrder, quote: Quote | None, settings: Settings, now: datetime) -> list[Fault]:
    if request.type is not OrderType.MARKET:
        return []
    if quote is None:
        message = f"{request.symbol} has no quote: a MARKET order can't be priced."
    elif quote.age(now) > timedelta(milliseconds=settings.quote_stale_after_ms):
        age_s = int(quote.age(now).total_seconds())
        message = f"The quote of {request.symbol} is {age_s} s old: a MARKET order can't be priced."
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
        elif check.kind in (RiskCheckKind.TRADING_STATE, RiskCheckKind.REDUCE_ONLY):
            faults.append(Fault(ErrorCode.TRADING_PAUSED, check.message, ("input",)))
    others = [check for check in failed if check.kind not in _OF_THEIR_OWN]
    if others:
        message = " ".join(check.message for check in others)
        faults.append(RiskFault(ErrorCode.RISK_LIMIT_EXCEEDED, message, ("input",), tuple(checks)))
    return faults


_OF_THEIR_OWN = (RiskCheckKind.BUYING_POWER, RiskCheckKind.TRADING_STATE, RiskCheckKind.REDUCE_ONLY)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an order would do, without placing it. Prices and cash in the base currency."""

    estimate: Estimate
    checks: Sequence[RiskCheck]
    largest_acceptable_quantity: Decimal
    accepted: bool


@exact
def preview_of(appraisal: Appraisal, request: PlaceOrder, settings: Settings) -> Preview:
    """The estimate, every check, and how much of the order would be let through."""
    rules = rules_of(settings)

    def accepts(proposal: Proposal) -> bool:
        return all(check.passed for check in assess(appraisal.book, proposal, appraisal.price, rules))

    most = request.quantity
    if not appraisal.accepted:
        lot = appraisal.instrument.lot_size
        most = largest_acceptable(request.proposal, lot, accepts, int(request.quantity // lot))
    return Preview(
        estimate(appraisal.book, request.proposal, rules), appraisal.checks, most, accepted=appraisal.accepted
    )
