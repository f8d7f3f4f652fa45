"""Minutes of quotes, as they come."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from models.candles import Candle, first_of, opening, with_price
from models.enums import CandleInterval
from models.marketdata import Quote
from models.money import ZERO, exact

_MINUTE = CandleInterval.ONE_MINUTE
_DAY = CandleInterval.ONE_DAY


class MinuteBuilder:
    """Turns quotes into the minutes that they were in, by their last price and by what their volume has gained.

    A minute is closed by the first quote of a later one, or by `close`. What comes for a closed minute is too late and
    is passed over: a minute is given out once.
    """

    def __init__(self) -> None:
        self._forming: dict[str, Candle] = {}
        self._latest: dict[str, Quote] = {}
        self._closed: dict[str, datetime] = {}

    def take(self, quotes: Iterable[Quote]) -> list[Candle]:
        """Count the quotes in, and answer with the minutes that they have closed."""
        closed = []
        for quote in quotes:
            symbol, before = quote.symbol, self._latest.get(quote.symbol)
            minute, forming = opening(_MINUTE, quote.as_of), self._forming.get(symbol)
            if self._too_late(quote, before, minute):
                continue
            gained = _gained(before, quote)
            self._latest[symbol] = quote
            if forming is not None and forming.opened_at == minute:
                self._forming[symbol] = with_price(forming, quote.last, gained)
                continue
            if forming is not None:
                closed.append(self._close(forming))
            self._forming[symbol] = first_of(symbol, _MINUTE, minute, quote.last, gained)
        return closed

    def close(self, now: datetime) -> list[Candle]:
        """The minutes that had ended at `now`, and are closed with it."""
        return [self._close(candle) for candle in [*self._forming.values()] if candle.closes_at <= now]

    def _close(self, candle: Candle) -> Candle:
        del self._forming[candle.symbol]
        self._closed[candle.symbol] = candle.opened_at
        return candle

    def _too_late(self, quote: Quote, before: Quote | None, minute: datetime) -> bool:
        if before is not None and quote.as_of <= before.as_of:
            return True
        closed = self._closed.get(quote.symbol)
        return closed is not None and minute <= closed


@exact
def _gained(before: Quote | None, quote: Quote) -> Decimal:
    """What was traded since the quote before: the volume is that of the day so far."""
    if before is None:
        return ZERO
    if opening(_DAY, before.as_of) == opening(_DAY, quote.as_of):
        return max(quote.volume - before.volume, ZERO)
    return quote.volume
