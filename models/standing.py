"""Where a portfolio stands against its limits: what each kind of limit measures, with nothing proposed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from models.enums import RiskLimitKind
from models.equity import Figure
from models.money import ZERO, divide, exact
from models.scenarios import Year


@dataclass(frozen=True, slots=True)
class Standing:
    """A portfolio as it is.

    `worths` are what its positions are worth by symbol, negative when short, and `equity` is that and cash: none while
    one of them has no price. `losses` is what the limits on losses measure; `year` is there
    where value at risk is limited.
    """

    worths: Mapping[str, Decimal] | None
    equity: Decimal | None
    open_orders: int
    losses: Mapping[RiskLimitKind, Figure] = field(default_factory=dict)
    year: Year | None = None


@exact
def measured(kind: RiskLimitKind, standing: Standing) -> Decimal | None:
    """What a limit of that kind measures; none where it measures single orders, or can't say."""
    if kind is RiskLimitKind.MAX_OPEN_ORDERS:
        return Decimal(standing.open_orders)
    if kind in standing.losses:
        return standing.losses[kind].value
    if kind is RiskLimitKind.MAX_ORDER_NOTIONAL or standing.worths is None:
        return None
    if kind is RiskLimitKind.MAX_VALUE_AT_RISK:
        return None if standing.year is None else standing.year.value_at_risk(standing.worths).value
    sizes = [abs(worth) for worth in standing.worths.values()]
    if kind is RiskLimitKind.MAX_POSITION_NOTIONAL:
        return max(sizes, default=ZERO)
    if kind is RiskLimitKind.MAX_GROSS_EXPOSURE:
        return sum(sizes, ZERO)
    part = max(sizes, default=ZERO) if kind is RiskLimitKind.MAX_CONCENTRATION else sum(sizes, ZERO)
    return divide(part, standing.equity) if standing.equity is not None and standing.equity > 0 else None
