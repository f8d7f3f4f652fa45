"""The event log on the wire: the audit trail, and the streams."""

from collections.abc import AsyncIterator, Awaitable
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import strawberry

import models.events as domain
from graph.base import (
    After,
    Before,
    Connection,
    First,
    Info,
    Last,
    Node,
    following,
    global_id,
    identified,
    local_id,
    page_args,
    paged,
    parsed_id,
    resolved,
    stands_for,
)
from graph.orders import Fill, Order
from graph.positions import Position
from graph.scalars import JSON
from graph.weights import HELD, at_most
from models.enums import AggregateType, EventType
from models.errors import BadRequest
from resolvers.events import queries, streams
from resolvers.paging import Page

_TYPES = {
    "order": "Order",
    "fill": "Fill",
    "position": "Position",
    "portfolio": "Portfolio",
    "riskLimit": "RiskLimit",
    "transactions": "Transaction",
    "user": "User",
    "session": "Session",
    "apiKey": "ApiKey",
    "owner": "User",
    "actor": "User",
    "notification": "Notification",
    "riskAlert": "RiskAlert",
    "marketAlert": "MarketAlert",
    "sentiment": "Sentiment",
}
"""The type of what stands under a key of a payload, and of what a key and `Id` refers to."""


def with_global_ids(value: Any, name: str = "") -> Any:
    """A payload whose internal ids are the API's; `name` is the key that it stands under."""
    if isinstance(value, list):
        return [with_global_ids(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    if "subjectId" in value and value["subjectId"] is not None:
        value = {**value, "subjectId": global_id(value["subjectType"], value["subjectId"])}
    return {key: _globally(key, name, item) for key, item in value.items()}


def _globally(key: str, name: str, item: Any) -> Any:
    type_name = _TYPES.get(name if key == "id" else key.removesuffix("Id")) if key.lower().endswith("id") else None
    if type_name is not None and isinstance(item, str):
        return global_id(type_name, item)
    return with_global_ids(item, key)


def _cursor(parent: strawberry.Parent[domain.RecordedEvent], info: Info) -> str:
    return queries.cursor_of(info.context, parent.seq)


def _aggregate_id(parent: strawberry.Parent[domain.RecordedEvent]) -> strawberry.ID:
    return global_id(parent.aggregate_type, parent.aggregate_id)


def _payload(parent: strawberry.Parent[domain.RecordedEvent]) -> Any:
    return with_global_ids(parent.data)


@strawberry.type(description="One fact that happened, as the event store keeps it.")
class Event(Node):
    """Shows `models.events.RecordedEvent`."""

    is_type_of = stands_for(domain.RecordedEvent)

    id: strawberry.ID = identified("Event", "seq")
    cursor: str = resolved(_cursor, "Give it back as `after` to go on from here, in a query or a subscription.")
    type: EventType = strawberry.field(description="What happened.")
    aggregate_type: str = strawberry.field(description="What it happened to: Order, Position, Portfolio, User …")
    aggregate_id: strawberry.ID = resolved(_aggregate_id, "The id of what it happened to.")
    version: int = strawberry.field(description="The version of what it happened to that it led to.")
    occurred_at: datetime = strawberry.field(description="When.")
    payload: JSON = resolved(_payload, "What there is to know of it: decimals as strings, ids as the API has them.")


@strawberry.type(description="A page of events.")
class EventConnection(Connection[Event]):
    """Oldest first."""


CURSOR = "Give it back as `after` to go on from here."
PREVIOUS = (
    "The event before it in this same stream, so that a reader can prove that it has them all; null for the first."
)


@strawberry.type(description="Something that happened to an order.")
class OrderEvent:
    """Shows `resolvers.events.streams.OrderEvent`."""

    is_type_of = stands_for(streams.OrderEvent)

    cursor: str = strawberry.field(description=CURSOR)
    previous_cursor: str | None = strawberry.field(description=PREVIOUS)
    type: EventType = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When.")
    order: Order = strawberry.field(description="The order as it was after that event, also when replayed later.")
    fill: Fill | None = strawberry.field(description="The fill that it tells of, if it does.")


@strawberry.type(description="A position opened, changed or closed.")
class PositionEvent:
    """Shows `resolvers.events.streams.PositionEvent`."""

    is_type_of = stands_for(streams.PositionEvent)

    cursor: str = strawberry.field(description=CURSOR)
    previous_cursor: str | None = strawberry.field(description=PREVIOUS)
    type: EventType = strawberry.field(description="What happened.")
    occurred_at: datetime = strawberry.field(description="When.")
    position: Position = strawberry.field(description="The position as it was after it, also when replayed later.")
    fill: Fill | None = strawberry.field(description="The fill that caused it.")


@strawberry.type(description="Every open position of a portfolio at one moment, in place of whatever came before.")
class PositionSnapshot:
    """Shows `resolvers.events.streams.PositionSnapshot`."""

    is_type_of = stands_for(streams.PositionSnapshot)

    cursor: str = strawberry.field(description=CURSOR)
    positions: list[Position] = strawberry.field(
        description="The open positions, oldest first; keep these only.", directives=[at_most(HELD)]
    )


@strawberry.type(description="Nothing happened: the stream is alive.")
class StreamHeartbeat:
    """Shows `resolvers.events.streams.StreamHeartbeat`."""

    is_type_of = stands_for(streams.StreamHeartbeat)

    cursor: str = strawberry.field(description=CURSOR)
    at: datetime = strawberry.field(description="When.")


PositionUpdate = Annotated[
    PositionSnapshot | PositionEvent | StreamHeartbeat,
    strawberry.union(name="PositionUpdate", description="What keeps a portfolio's positions complete."),
]


# ---------------------------------------------------------------- which events


@strawberry.input(description="Which events: every field that is given has to match.")
class EventFilter:
    """Becomes a `models.events.EventFilter`."""

    types: list[EventType] | None = strawberry.field(default=None, description="Of one of these types.")
    aggregate_type: str | None = strawberry.field(
        default=None, description="That happened to this kind of thing: Order, Position, Portfolio, User …"
    )
    aggregate_id: strawberry.ID | None = strawberry.field(default=None, description="That happened to this.")
    portfolio_id: strawberry.ID | None = strawberry.field(default=None, description="Of this portfolio.")
    from_: datetime | None = strawberry.field(name="from", default=None, description="Not before this.")
    to: datetime | None = strawberry.field(default=None, description="Not after this.")

    @property
    def choice(self) -> domain.EventFilter:
        """For the query; raises `BadRequest` for what can't be asked."""
        kind, aggregate_id = self._aggregate()
        portfolio_id = self.portfolio_id
        return domain.EventFilter(
            types=None if self.types is None else frozenset(self.types),
            aggregate_type=kind,
            aggregate_id=aggregate_id,
            portfolio_id=None if portfolio_id is None else local_id(portfolio_id, "Portfolio", "portfolioId"),
            since=self.from_,
            until=self.to,
        )

    def _aggregate(self) -> tuple[AggregateType | None, UUID | None]:
        kind = None if self.aggregate_type is None else _aggregate_type(self.aggregate_type)
        if self.aggregate_id is None:
            return kind, None
        found = parsed_id(self.aggregate_id)
        if found is None or found[0] not in list(AggregateType) or not isinstance(found[1], UUID):
            raise BadRequest("`aggregateId` is no id of what has events.", "aggregateId")
        if kind is not None and kind != found[0]:
            raise BadRequest(f"`aggregateId` is the id of another type than {kind}.", "aggregateId")
        return AggregateType(found[0]), found[1]


def _aggregate_type(given: str) -> AggregateType:
    try:
        return AggregateType(given)
    except ValueError:
        known = ", ".join(AggregateType)
        raise BadRequest(f"`aggregateType` has to be one of {known}.", "aggregateType") from None


PortfolioId = Annotated[strawberry.ID, strawberry.argument(description="The portfolio.")]
Heartbeat = Annotated[
    int | None,
    strawberry.argument(description="After how many quiet seconds there is a heartbeat: 1 to 300, 15 if not given."),
]
ChosenEvents = Annotated[
    EventFilter | None, strawberry.argument(name="filter", description="Which events; all if not given.")
]
Resume = Annotated[
    str | None, strawberry.argument(description="Every event behind this cursor; only new ones if not given.")
]
OfPortfolio = Annotated[
    strawberry.ID | None, strawberry.argument(description="Of this portfolio; of all the caller's if not given.")
]


def _chosen(given: EventFilter | None) -> domain.EventFilter:
    return domain.EventFilter() if given is None else given.choice


def _events(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: ChosenEvents = None,
) -> Awaitable[Page[domain.RecordedEvent]]:
    return queries.events(info.context, page_args(first, after, last, before), _chosen(given))


def _stream_cursor(info: Info) -> str:
    return queries.cursor_of(info.context, info.context.position)


@strawberry.type
class EventQueries:
    """What can be asked of the log."""

    events: EventConnection = paged(
        _events, "The audit trail: every domain event that the caller may see, oldest first."
    )
    stream_cursor: str = resolved(
        _stream_cursor,
        "Where the event log stood before this answer was read: give it as `after` to a subscription and nothing is "
        "missed; what the answer already shows may come again.",
    )


# ---------------------------------------------------------------- streams


def _portfolio_id(given: str | None) -> UUID | None:
    return None if given is None else local_id(given, "Portfolio", "portfolioId")


def _keep_positions(
    info: Info, portfolio_id: PortfolioId, after: Resume = None, heartbeat_seconds: Heartbeat = None
) -> AsyncIterator[object]:
    return streams.positions(info.context, local_id(portfolio_id, "Portfolio", "portfolioId"), after, heartbeat_seconds)


def _follow_positions(
    info: Info, portfolio_id: OfPortfolio = None, after: Resume = None
) -> AsyncIterator[streams.PositionEvent]:
    return streams.position_events(info.context, _portfolio_id(portfolio_id), after)


def _follow_orders(
    info: Info, portfolio_id: OfPortfolio = None, after: Resume = None
) -> AsyncIterator[streams.OrderEvent]:
    return streams.order_events(info.context, _portfolio_id(portfolio_id), after)


def _follow_events(info: Info, given: ChosenEvents = None, after: Resume = None) -> AsyncIterator[domain.RecordedEvent]:
    return streams.all_events(info.context, _chosen(given), after)


@strawberry.type
class EventSubscriptions:
    """What can be followed in the log."""

    positions: object = following(
        _keep_positions,
        "A portfolio's positions kept complete: a snapshot first, then each change, a heartbeat when nothing happens; "
        "with an `after` that is too old, or where what comes next is archived before it was read, a new snapshot.",
        PositionUpdate,
    )
    position_events: PositionEvent = following(
        _follow_positions,
        "Opened, changed and closed positions. Without `after`: from now on; with it: every event since, none lost, "
        "none twice.",
        PositionEvent,
    )
    order_events: OrderEvent = following(
        _follow_orders,
        "What happens to orders. Without `after`: from now on; with it: every event since, none lost, none twice.",
        OrderEvent,
    )
    events: Event = following(
        _follow_events,
        "Every event that the caller may see. Without `after`: from now on; with it: every event since.",
        Event,
    )
