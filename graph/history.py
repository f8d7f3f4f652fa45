"""Portfolios as they were, on the wire."""

from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

from graph.base import resolved
from graph.belonging import instrument_of
from graph.marketdata import Instrument
from graph.portfolios import Valuation
from graph.weights import HELD, at_most
from resolvers.events import history as domain


@strawberry.type(description="What was held of an instrument.")
class HeldPosition:
    """Shows `models.positions.Position`."""

    instrument: Instrument = resolved(instrument_of, "What was held.")
    quantity: Decimal = strawberry.field(description="How much: negative when short.")
    average_price: Decimal = strawberry.field(description="What a unit had cost on average, commissions apart.")
    realized_pnl: Decimal = strawberry.field(
        description="Profit or loss of what had been closed of it by then, commissions apart."
    )


def _itself(parent: strawberry.Parent[domain.PortfolioSnapshot]) -> Any:
    return parent


@strawberry.type(description="A portfolio at one point of the event log.")
class PortfolioSnapshot:
    """Shows `resolvers.events.history.PortfolioSnapshot`."""

    at: datetime = strawberry.field(
        description="The moment that it shows; now, for one that this clock has not reached."
    )
    cursor: str = strawberry.field(
        description="Where the event log stood: as `after` of a subscription it gives what came later."
    )
    cash: Decimal = strawberry.field(description="The cash then.")
    positions: list[HeldPosition] = strawberry.field(
        description="The positions that were open, oldest first.", directives=[at_most(HELD)]
    )
    valuation: Valuation = resolved(
        _itself, "What it was worth, at the last candles that had closed; null figures where one is missing."
    )
