"""What a day may cost: the days of the past year, played on the positions of now. Statistics, and so in floats."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.equity import Figure
from models.money import ZERO

CONFIDENCE: Final = Decimal("0.95")
"""Of a limit on value at risk, for a horizon of one day."""
SPAN: Final = timedelta(days=365)
"""How far back the days go that are played."""
DAYS_MIN: Final = 60
"""Fewer days say nothing of the worst in twenty."""
CENT: Final = Decimal("0.01")

Floats = NDArray[np.float64]


class Year:
    """The daily closes of a year, by symbol."""

    def __init__(self, closes: Iterable[tuple[str, datetime, Decimal]]) -> None:
        """Of each its symbol, the moment that its candle closed at, and the price."""
        self._closes: dict[str, dict[datetime, Decimal]] = defaultdict(dict)
        for symbol, moment, price in closes:
            self._closes[symbol][moment] = price
        self._played: dict[tuple[str, ...], Floats] = {}

    def value_at_risk(self, worths: Mapping[str, Decimal]) -> Figure:
        """The loss of a day that 95% of the year's days would not have exceeded, to the cent; 0 for a gain.

        `worths` are what positions are worth by symbol, negative when short. A day is played where all of them closed
        on it and before; where there are too few such days there is no figure.
        """
        return self.worst_value_at_risk({symbol: [worth] for symbol, worth in worths.items()})

    def worst_value_at_risk(self, worths: Mapping[str, Sequence[Decimal]]) -> Figure:
        """The same of positions that may each be worth any of these: each day counts with those that are worst on it.

        So it is no less than that of any choice among them, and one more possibility never makes it less.
        """
        held = {symbol: possible for symbol, possible in sorted(worths.items()) if any(possible)}
        if not held:
            return Figure(ZERO)
        returns = self._returns(tuple(held))
        if len(returns) < DAYS_MIN:
            why = f"{len(returns)} days of the past year have prices of all positions: {DAYS_MIN} are needed."
            return Figure(None, why)
        outcomes = np.zeros(len(returns))
        for column, possible in enumerate(held.values()):
            outcomes += np.outer(returns[:, column], np.array(possible, dtype=np.float64)).min(axis=1)
        return Figure(value_at_risk(outcomes, CONFIDENCE))

    def _returns(self, symbols: tuple[str, ...]) -> Floats:
        """A row for each day, a column for each symbol; a symbol that did not close on a day leaves that day out."""
        if symbols not in self._played:
            days = sorted(set.intersection(*({*self._closes[symbol]} for symbol in symbols)))
            rows = [[self._closes[symbol][day] for symbol in symbols] for day in days]
            prices = np.array(rows, dtype=np.float64).reshape(len(days), len(symbols))
            self._played[symbols] = prices[1:] / prices[:-1] - 1
        return self._played[symbols]


def value_at_risk(outcomes: Floats, confidence: Decimal) -> Decimal:
    """The loss that so large a part of the outcomes does not exceed, to the cent, as a positive amount; 0 for a gain.

    Of n outcomes it is the `ceil(n x (1 - confidence))`-th worst: of 100 at 95% the fifth.
    """
    rank = int((len(outcomes) * (1 - confidence)).to_integral_value(ROUND_CEILING))
    loss = -np.partition(outcomes, rank - 1)[rank - 1]
    return max(ZERO, Decimal(f"{loss:.2f}"))
