"""The simulated market once a day: enough for a year of orders, and known in a moment."""

from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from models.catalogue import Listing
from models.marketdata import Quote
from models.simulation import price_at

NOON = timedelta(hours=12)
SIZE = Decimal(10_000)


class DailyPrices:
    """One quote of each instrument for each day: the simulated market's price at noon, a tick to each side."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self.quote = cache(self._quote)

    def _quote(self, listing: Listing, day: datetime) -> Quote:
        tick, last = listing.tick_size, price_at(self._seed, listing, day + NOON)
        return Quote(
            symbol=listing.symbol,
            bid=last - tick,
            bid_size=SIZE * listing.lot_size,
            ask=last + tick,
            ask_size=SIZE * listing.lot_size,
            last=last,
            open=last,
            high=last,
            low=last,
            previous_close=last,
            volume=SIZE * listing.lot_size,
            as_of=day,
        )
