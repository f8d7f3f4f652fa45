"""How far beyond the market an order may name its price."""

from decimal import Decimal

from models.book import Proposal
from models.enums import OrderSide, OrderType
from models.money import ZERO, divide, exact


@exact
def beyond(proposal: Proposal, last: Decimal) -> tuple[Decimal, Decimal]:
    """How far the price that is furthest beyond the market is beyond it, and what it is measured against.

    Beyond the market is where it would trade, or trigger, at once: a buy's limit above the last price, a sale's below
    it; a stop on the side that it need not wait for. What waits for the market to come is as far away as it likes. The
    limit of a stop-limit order is measured against its stop where that is further on, as it trades only then. Where a
    trailing stop is follows from the market, so it is none of this.
    """
    sign = 1 if proposal.side is OrderSide.BUY else -1
    found = [(ZERO, last)]
    if proposal.limit_price is not None:
        stop = proposal.stop_price
        reference = last if stop is None or (stop - last) * sign < 0 else stop
        found.append(((proposal.limit_price - reference) * sign, reference))
    if proposal.stop_price is not None and proposal.type is not OrderType.TRAILING_STOP:
        found.append(((last - proposal.stop_price) * sign, last))
    return max(found, key=_share)


def _share(found: tuple[Decimal, Decimal]) -> Decimal:
    distance, reference = found
    return divide(distance, reference, 20)
