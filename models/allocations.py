"""Target allocations: what share of a portfolio's total equity each instrument is meant to have."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from sqlmodel import Field, SQLModel

from models.columns import Exact, more_than_zero
from models.errors import Fault, invalid
from models.money import ZERO, exact, is_multiple, text

ALLOCATIONS_MAX = 100
PLACES_MAX = 6
SMALLEST = Decimal(1).scaleb(-PLACES_MAX)
"""A weight is given to a ten-thousandth of a percent."""


@dataclass(frozen=True, slots=True)
class TargetAllocation:
    """One instrument's share: `weight` is a fraction of total equity (0.25 is 25%). What is left over is cash."""

    portfolio_id: UUID
    symbol: str
    weight: Decimal


class TargetAllocationRow(SQLModel, table=True):
    """Stored targets; a portfolio's are replaced together, under its lock."""

    __tablename__ = "target_allocations"
    __table_args__ = (more_than_zero("weight"),)

    portfolio_id: UUID = Field(primary_key=True, foreign_key="portfolios.id")
    symbol: str = Field(primary_key=True, foreign_key="instruments.symbol")
    owner_id: UUID = Field(foreign_key="users.id")
    weight: Decimal = Field(sa_type=Exact)


@exact
def allocation_faults(given: Sequence[tuple[str, Decimal]]) -> list[Fault]:
    """What is wrong with symbols and weights, each by itself and together."""
    if len(given) > ALLOCATIONS_MAX:
        return [invalid(f"`allocations` has {len(given)} entries: there may be {ALLOCATIONS_MAX}.", "allocations")]
    faults, seen = [], set[str]()
    for place, (symbol, weight) in enumerate(given):
        path = ("allocations", str(place))
        if symbol in seen:
            faults.append(invalid(f"`symbol` {symbol!r} stands there twice.", *path, "symbol"))
        seen.add(symbol)
        if not ZERO < weight <= 1:
            message = f"`weight` is {text(weight)}: it has to be more than 0 and at most 1 (0.25 is 25%)."
            faults.append(invalid(message, *path, "weight"))
        elif not is_multiple(weight, SMALLEST):
            faults.append(invalid(f"`weight` may have {PLACES_MAX} places after the point.", *path, "weight"))
    total = sum((weight for _, weight in given), ZERO)
    if not faults and total > 1:
        faults.append(invalid(f"The weights sum to {text(total)}: they may sum to 1 at most.", "allocations"))
    return faults
