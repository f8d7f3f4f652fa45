"""What an order would likely do, were it filled now."""

from dataclasses import dataclass
from decimal import Decimal

from models.book import Book, Proposal, Rules, mark
from models.enums import OrderSide
from models.lifecycle import commission
from models.money import ZERO, exact
from models.valuation import SHORT_RESERVE, buying_power


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
    shorts_moved = (max(ZERO, -after) - max(ZERO, -held)) * mark(book, proposal.symbol, price)
    power = buying_power(book.portfolio, book.positions.values(), book.quotes)
    return Estimate(
        price=price,
        notional=notional,
        commission=cost,
        cash_after=book.portfolio.cash + cash_moved,
        buying_power_after=power + cash_moved - SHORT_RESERVE * shorts_moved,
        position_after=after,
    )
