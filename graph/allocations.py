"""Target allocations on the wire."""

from decimal import Decimal

import strawberry

from graph.base import Info, Input, command, input_id, resolved
from graph.belonging import instrument_of
from graph.errors import answering
from graph.marketdata import Instrument
from graph.portfolios import PortfolioPayload
from models.allocations import ALLOCATIONS_MAX
from resolvers.portfolios.allocations import set_target_allocations


@strawberry.type(description="What share of a portfolio an instrument is meant to have.")
class TargetAllocation:
    """Shows `models.allocations.TargetAllocation`."""

    instrument: Instrument = resolved(instrument_of, "What is to be held.")
    weight: Decimal = strawberry.field(description="The share as a fraction of total equity: 0.25 is 25%.")


@strawberry.input(description="One instrument's share of a portfolio.")
class TargetAllocationInput:
    """A part of `setTargetAllocations`."""

    symbol: str = strawberry.field(description="The instrument.")
    weight: Decimal = strawberry.field(
        description="The share as a fraction of total equity: more than 0, at most 1, to a ten-thousandth of a percent."
    )


@strawberry.input(description="What a portfolio is meant to hold.")
class SetTargetAllocationsInput:
    """For `setTargetAllocations`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    allocations: list[TargetAllocationInput] = strawberry.field(
        description=f"All of it, {ALLOCATIONS_MAX} instruments at most, with weights that sum to 1 at most: what is "
        "left over is meant to be cash. Empty: no targets."
    )


@answering(PortfolioPayload)
async def _set(info: Info, asked: Input[SetTargetAllocationsInput]) -> PortfolioPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    given = [(each.symbol, each.weight) for each in asked.allocations]
    return PortfolioPayload.of(info, await set_target_allocations(info.context, portfolio_id, given))


@strawberry.type
class AllocationMutations:
    """What can be done with target allocations."""

    set_target_allocations: PortfolioPayload = command(
        _set, "Set what a portfolio is meant to hold, in place of what was set before."
    )
