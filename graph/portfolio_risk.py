"""What a portfolio has of risk, on the wire."""

from collections.abc import Awaitable, Sequence
from typing import Annotated, Any

import strawberry

from graph.base import After, Before, First, Info, Last, later, list_of, page_args, paged, resolved
from graph.weights import LIMITS, at_most
from models.risk import RiskLimit
from models.risk_alerts import RiskAlert
from resolvers.paging import Page
from resolvers.risk import queries

Unacknowledged = Annotated[
    bool | None, strawberry.argument(description="Only those that were not acknowledged; all if not given.")
]


def _risk_limits(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Sequence[RiskLimit]]:
    return queries.risk_limits(info.context, parent.id)


def _risk_alerts(
    parent: strawberry.Parent[Any],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    unacknowledged_only: Unacknowledged = None,
) -> Awaitable[Page[RiskAlert]]:
    args = page_args(first, after, last, before)
    return queries.alerts_of(info.context, parent.id, args, queries.AlertChoice(bool(unacknowledged_only)))


@strawberry.type
class PortfolioRisk:
    """Limits, and the alerts of those that were breached."""

    risk_limits: list[RiskLimit] = resolved(
        _risk_limits, "The limits that were set for it.", list_of(later("risk", "RiskLimit")), at_most(LIMITS)
    )
    risk_alerts: Any = paged(
        _risk_alerts,
        "The alerts of its limits that were breached; newest first.",
        later("risk_alerts", "RiskAlertConnection"),
    )
