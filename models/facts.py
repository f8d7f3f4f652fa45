"""The events of the domain: for each kind of change, what it records and whose it is to see."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from models.allocations import TargetAllocation
from models.enums import AggregateType, EventType
from models.events import Event, RecordedEvent, payload
from models.market_alerts import MarketAlert
from models.notifications import Notification
from models.orders import Fill, Order
from models.payloads import read
from models.portfolios import Portfolio, TradingStatus, Transaction
from models.positions import Position
from models.risk import RiskLimit
from models.risk_alerts import RiskAlert
from models.sentiment import Sentiment
from models.valuation import PositionMark

MARKET_ID = UUID(int=0)
"""The aggregate that stands for everybody's trading."""


@dataclass(frozen=True, slots=True)
class OrderAsOf(Order):
    """An order as it was after one event."""


@dataclass(frozen=True, slots=True)
class PositionAsOf(Position):
    """A position as it was after one event, with what it was worth then."""

    mark: PositionMark


@dataclass(frozen=True, slots=True)
class NotificationAsOf(Notification):
    """A notification as it was after one event, and that event's cursor."""

    cursor: str


def of_order(kind: EventType, order: Order, actor_id: UUID | None, fill: Fill | None = None) -> Event:
    """Something happened to an order; its time is the order's `updated_at`."""
    return Event(
        type=kind,
        aggregate_type=AggregateType.ORDER,
        aggregate_id=order.id,
        version=order.version,
        owner_id=order.owner_id,
        portfolio_id=order.portfolio_id,
        actor_id=actor_id,
        occurred_at=order.updated_at,
        payload=payload(order=order, fill=fill),
    )


def of_position(position: Position, mark: PositionMark, fill: Fill) -> Event:
    """A fill opened, changed or closed a position."""
    kind = EventType.POSITION_CHANGED
    if position.version == 1:
        kind = EventType.POSITION_OPENED
    elif position.closed_at is not None:
        kind = EventType.POSITION_CLOSED
    return Event(
        type=kind,
        aggregate_type=AggregateType.POSITION,
        aggregate_id=position.id,
        version=position.version,
        owner_id=position.owner_id,
        portfolio_id=position.portfolio_id,
        actor_id=None,
        occurred_at=position.updated_at,
        payload=payload(position=position, mark=mark, fill=fill),
    )


def of_portfolio(kind: EventType, portfolio: Portfolio, actor_id: UUID | None, now: datetime) -> Event:
    """A portfolio was made, renamed, paused or resumed; `version` has grown already."""
    return _portfolio_event(kind, portfolio, actor_id, now, payload(portfolio=portfolio))


def of_cash(portfolio: Portfolio, booked: Sequence[Transaction], actor_id: UUID | None, now: datetime) -> Event:
    """Cash moved: the ledger rows of one command, and the portfolio after them."""
    return _portfolio_event(
        EventType.CASH_MOVED, portfolio, actor_id, now, payload(portfolio=portfolio, transactions=list(booked))
    )


def of_limit(portfolio: Portfolio, limit: RiskLimit, actor_id: UUID, now: datetime, *, removed: bool) -> Event:
    """A risk limit was set or removed."""
    return _portfolio_event(
        EventType.RISK_LIMIT_CHANGED, portfolio, actor_id, now, payload(riskLimit=limit, removed=removed)
    )


def of_targets(portfolio: Portfolio, targets: Sequence[TargetAllocation], actor_id: UUID, now: datetime) -> Event:
    """What the portfolio is meant to hold was set anew: all of it."""
    return _portfolio_event(
        EventType.TARGET_ALLOCATIONS_CHANGED, portfolio, actor_id, now, payload(targetAllocations=list(targets))
    )


def of_market(kind: EventType, status: TradingStatus, version: int, actor_id: UUID | None, now: datetime) -> Event:
    """Everybody's trading was paused or resumed; everybody may see it."""
    return Event(
        type=kind,
        aggregate_type=AggregateType.MARKET,
        aggregate_id=MARKET_ID,
        version=version,
        owner_id=None,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(tradingStatus=status),
    )


def of_notification(kind: EventType, notification: Notification, actor_id: UUID | None, now: datetime) -> Event:
    """A user was told of something, or has read it."""
    return Event(
        type=kind,
        aggregate_type=AggregateType.NOTIFICATION,
        aggregate_id=notification.id,
        version=notification.version,
        owner_id=notification.owner_id,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(notification=notification),
    )


def of_alert(kind: EventType, alert: RiskAlert, actor_id: UUID | None, now: datetime) -> Event:
    """A limit was found breached, or its alert was acknowledged."""
    return Event(
        type=kind,
        aggregate_type=AggregateType.RISK_ALERT,
        aggregate_id=alert.id,
        version=alert.version,
        owner_id=alert.owner_id,
        portfolio_id=alert.portfolio_id,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(riskAlert=alert),
    )


def of_market_alert(
    kind: EventType, alert: MarketAlert, actor_id: UUID | None, now: datetime, value: Decimal | None = None
) -> Event:
    """A market alert was made, deleted, or went off at `value`."""
    return Event(
        type=kind,
        aggregate_type=AggregateType.MARKET_ALERT,
        aggregate_id=alert.id,
        version=alert.version,
        owner_id=alert.owner_id,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=now,
        payload=payload(marketAlert=alert, value=value),
    )


def of_sentiment(sentiment: Sentiment, actor_id: UUID) -> Event:
    """What is felt about an instrument was analysed; everybody may see it."""
    return Event(
        type=EventType.SENTIMENT_ANALYSIS_COMPLETED,
        aggregate_type=AggregateType.SENTIMENT,
        aggregate_id=sentiment.id,
        version=1,
        owner_id=None,
        portfolio_id=None,
        actor_id=actor_id,
        occurred_at=sentiment.analyzed_at,
        payload=payload(sentiment=sentiment),
    )


def author_of(event: Event | RecordedEvent) -> UUID | None:
    """Who is shown next what that made: whose it is, or who paused or resumed everybody's trading."""
    return event.actor_id if event.aggregate_id == MARKET_ID else event.owner_id


def places(events: Sequence[Event], position: int) -> dict[UUID, int]:
    """Of each author of these events, which one transaction appended up to `position`, the place of their last one."""
    numbered = enumerate(events, position - len(events) + 1)
    return {author: seq for seq, event in numbered if (author := author_of(event)) is not None}


def order_of(event: RecordedEvent) -> OrderAsOf:
    """The order as it was after an order's event."""
    return read(OrderAsOf, event.data["order"])


def position_of(event: RecordedEvent) -> PositionAsOf:
    """The position as it was after a position's event."""
    data = event.data
    return read(PositionAsOf, {**data["position"], "mark": data["mark"]})


def notification_of(event: RecordedEvent, cursor: str) -> NotificationAsOf:
    """The notification as it was after its event."""
    return read(NotificationAsOf, {**event.data["notification"], "cursor": cursor})


def alert_of(event: RecordedEvent) -> RiskAlert:
    """The alert as it was after its event."""
    return read(RiskAlert, event.data["riskAlert"])


def market_alert_of(event: RecordedEvent) -> tuple[MarketAlert, Decimal | None]:
    """The market alert as it was after its event, and what it watches, where it went off."""
    data = event.data
    return read(MarketAlert, data["marketAlert"]), None if data["value"] is None else Decimal(data["value"])


def sentiment_of(event: RecordedEvent) -> Sentiment:
    """The analysis that an event tells of."""
    return read(Sentiment, event.data["sentiment"])


def portfolio_of(event: RecordedEvent) -> Portfolio | None:
    """The portfolio after its event; none where it is not about one."""
    shown = event.data.get("portfolio")
    return None if shown is None else read(Portfolio, shown)


def status_of(event: RecordedEvent) -> TradingStatus:
    """What trading was let through after it was paused or resumed, in a portfolio or for everybody."""
    portfolio = portfolio_of(event)
    if portfolio is None:
        return read(TradingStatus, event.data["tradingStatus"])
    return TradingStatus(
        portfolio.trading_state, portfolio.trading_reason, portfolio.trading_since, portfolio.resume_after
    )


def fill_of(event: RecordedEvent) -> Fill | None:
    """The fill that caused the event, if one did."""
    fill = event.data.get("fill")
    return None if fill is None else read(Fill, fill)


def _portfolio_event(kind: EventType, portfolio: Portfolio, actor_id: UUID | None, now: datetime, data: bytes) -> Event:
    return Event(
        type=kind,
        aggregate_type=AggregateType.PORTFOLIO,
        aggregate_id=portfolio.id,
        version=portfolio.version,
        owner_id=portfolio.owner_id,
        portfolio_id=portfolio.id,
        actor_id=actor_id,
        occurred_at=now,
        payload=data,
    )
