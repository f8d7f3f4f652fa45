"""Alerts of breached limits, and what happens to risk, on the wire."""

from collections.abc import AsyncIterator
from datetime import datetime
from decimal import Decimal

import strawberry

import models.portfolios as portfolios_domain
import models.risk_alerts as domain
from graph.base import (
    Connection,
    Info,
    Input,
    Node,
    command,
    following,
    identified,
    input_id,
    later,
    local_id,
    resolved,
    stands_for,
)
from graph.belonging import portfolio_of
from graph.errors import Payload, answering
from graph.events import CURSOR, PREVIOUS, OfPortfolio, Resume
from graph.risk import TradingStatus
from models.enums import EventType, RiskLimitKind, Severity
from resolvers.events import risk_events
from resolvers.risk import commands


@strawberry.type(description="A limit was breached.")
class RiskAlert(Node):
    """Shows `models.risk_alerts.RiskAlert`."""

    is_type_of = stands_for(domain.RiskAlert)

    id: strawberry.ID = identified("RiskAlert")
    portfolio: portfolios_domain.Portfolio = resolved(
        portfolio_of, "The portfolio whose limit it was.", later("portfolios", "Portfolio")
    )
    kind: RiskLimitKind = strawberry.field(description="Which limit.")
    severity: Severity = strawberry.field(
        description="How much it matters, as the limit said; CRITICAL pauses trading."
    )
    message: str = strawberry.field(description="It in words.")
    threshold: Decimal = strawberry.field(description="What was allowed.")
    current: Decimal = strawberry.field(description="What was measured.")
    raised_at: datetime = strawberry.field(description="When it was found.")
    acknowledged_at: datetime | None = strawberry.field(
        description="When its owner said that they know; null while they have not."
    )


@strawberry.type(description="A page of risk alerts.")
class RiskAlertConnection(Connection[RiskAlert]):
    """Newest first."""


@strawberry.type(description="A limit was breached or its alert acknowledged, or trading was paused or resumed.")
class RiskEvent:
    """Shows `resolvers.events.risk_events.RiskEvent`."""

    is_type_of = stands_for(risk_events.RiskEvent)

    cursor: str = strawberry.field(description=CURSOR)
    previous_cursor: str | None = strawberry.field(description=PREVIOUS)
    type: EventType = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When.")
    alert: domain.RiskAlert | None = strawberry.field(
        graphql_type=RiskAlert | None,
        description="The alert as it was after that event, also when replayed later; null where it is of trading.",
    )
    trading_status: portfolios_domain.TradingStatus | None = strawberry.field(
        graphql_type=TradingStatus | None,
        description="What trading was let through from then on, in the portfolio or everybody's; null for an alert's.",
    )


@strawberry.type(description="What acknowledging an alert answers with.")
class RiskAlertPayload(Payload):
    """An alert, or why not."""

    risk_alert: domain.RiskAlert | None = strawberry.field(
        graphql_type=RiskAlert | None, default=None, description="The alert as it is now."
    )


@strawberry.input(description="An alert that its owner knows of.")
class AcknowledgeRiskAlertInput:
    """For `acknowledgeRiskAlert`."""

    alert_id: strawberry.ID = strawberry.field(description="The alert.")


@answering(RiskAlertPayload)
async def _acknowledge(info: Info, asked: Input[AcknowledgeRiskAlertInput]) -> RiskAlertPayload:
    done = await commands.acknowledge_risk_alert(info.context, input_id(asked.alert_id, "RiskAlert", "alertId"))
    return RiskAlertPayload(risk_alert=done.value)


@strawberry.type
class RiskAlertMutations:
    """What can be done about alerts."""

    acknowledge_risk_alert: RiskAlertPayload = command(
        _acknowledge, "Say that one knows of an alert. It changes nothing about the limit, nor about a pause."
    )


def _follow_risk(
    info: Info, portfolio_id: OfPortfolio = None, after: Resume = None
) -> AsyncIterator[risk_events.RiskEvent]:
    chosen = None if portfolio_id is None else local_id(portfolio_id, "Portfolio", "portfolioId")
    return risk_events.follow(info.context, chosen, after)


@strawberry.type
class RiskAlertSubscriptions:
    """What happens to risk, as it happens."""

    risk_events: RiskEvent = following(
        _follow_risk,
        "Breached limits, acknowledged alerts, trading paused and resumed: of the caller's portfolios and for "
        "everybody, or with `portfolioId` of that portfolio alone. Without `after`: from now on; with it: every event "
        "since, none lost, none twice.",
        RiskEvent,
    )
