"""Positions on the wire."""

import operator
from collections.abc import Awaitable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

import models.positions as domain
from graph.base import Connection, Id, Info, Node, identified, later, local_id, resolved, stands_for
from graph.belonging import instrument_of, portfolio_of
from graph.marketdata import Instrument
from models.enums import PositionSide
from models.errors import BadRequest
from models.facts import PositionAsOf
from models.trades import TradeSummary as DomainSummary
from resolvers.context import LOAD_MAX, made_of
from resolvers.portfolios.queries import marked
from resolvers.positions import queries


def _marked(name: str, description: str) -> Any:
    """A field of a position's mark."""
    figure = operator.attrgetter(name)

    def resolve(parent: strawberry.Parent[domain.Position], info: Info) -> Any:
        if isinstance(parent, PositionAsOf):  # which says what it was worth then
            return figure(parent.mark)
        return made_of(marked(info.context, parent), figure)

    return resolved(resolve, description)


@strawberry.type(description="A closed position in figures.")
class TradeSummary:
    """Shows `models.trades.TradeSummary`."""

    quantity: Decimal = strawberry.field(description="All that was opened, also in parts.")
    entry_price: Decimal = strawberry.field(description="What a unit was opened at, on average.")
    exit_price: Decimal = strawberry.field(description="What a unit was closed at, on average.")
    realized_pnl: Decimal = strawberry.field(description="Profit or loss, commissions apart.")
    commission: Decimal = strawberry.field(description="The commissions of its fills.")
    return_percent: float | None = strawberry.field(
        description="`realizedPnl` as a percentage of what was opened (5 is 5%)."
    )
    held_seconds: int = strawberry.field(description="For how long it was held.")


def _trade_summary(parent: strawberry.Parent[domain.Position], info: Info) -> Awaitable[DomainSummary | None] | None:
    return None if parent.closed_at is None else queries.trade_summary(info.context, parent)


@strawberry.type(description="One cycle of holding an instrument, from flat to flat.")
class Position(Node):
    """Shows `models.positions.Position`."""

    is_type_of = stands_for(domain.Position)

    id: strawberry.ID = identified("Position")
    portfolio: Any = resolved(portfolio_of, "The portfolio that holds it.", later("portfolios", "Portfolio"))
    instrument: Instrument = resolved(instrument_of, "What is held.")
    side: PositionSide = strawberry.field(description="Whether it gains when the price rises or when it falls.")
    quantity: Decimal = strawberry.field(description="How much is held: negative when short, 0 once closed.")
    average_price: Decimal = strawberry.field(description="What a unit cost on average, commissions apart.")
    market_price: Decimal | None = _marked("market_price", "The last price.")
    market_value: Decimal | None = _marked("market_value", "What it is worth at it; negative when short.")
    cost_basis: Decimal = strawberry.field(description="What it cost: `quantity` at `averagePrice`.")
    unrealized_pnl: Decimal | None = _marked("unrealized_pnl", "`marketValue` less `costBasis`.")
    unrealized_pnl_percent: float | None = _marked("unrealized_pnl_percent", "The same as a percentage of the cost.")
    day_pnl: Decimal | None = _marked("day_pnl", "Profit or loss since the UTC day began, commissions apart.")
    weight: float | None = _marked("weight", "Share of the portfolio's total value, signed.")
    realized_pnl: Decimal = strawberry.field(description="Profit or loss of what was closed, commissions apart.")
    opened_at: datetime = strawberry.field(description="When it was opened.")
    closed_at: datetime | None = strawberry.field(description="When it was closed; null while it is open.")
    trade_summary: DomainSummary | None = resolved(
        _trade_summary, "It in figures, soon after it was closed; null before.", TradeSummary | None
    )


@strawberry.type(description="A page of positions.")
class PositionConnection(Connection[Position]):
    """Oldest first."""


@strawberry.input(description="Which positions: every field that is given has to match.")
class PositionFilter:
    """Becomes a `PositionChoice`."""

    open: bool | None = strawberry.field(default=None, description="Open ones (if not given), or closed ones.")
    symbols: list[str] | None = strawberry.field(
        default=None, description=f"In one of these instruments, {LOAD_MAX} at most."
    )

    @property
    def choice(self) -> queries.PositionChoice:
        """For the query; raises `BadRequest` for too many symbols."""
        symbols = None if self.symbols is None else tuple(sorted(set(self.symbols)))
        if symbols is not None and len(symbols) > LOAD_MAX:
            raise BadRequest(f"`symbols` may name {LOAD_MAX} at most.", "symbols")
        return queries.PositionChoice(self.open is not False, symbols)


ChosenPositions = Annotated[
    PositionFilter | None,
    strawberry.argument(name="filter", description="Which positions; the open ones if not given."),
]


def _position(info: Info, given: Id) -> Awaitable[domain.Position | None]:
    return queries.position(info.context, local_id(given, "Position", "id"))


@strawberry.type
class PositionQueries:
    """What can be asked of positions."""

    position: Position | None = resolved(_position, "A position of the caller's, open or closed; null for any other.")
