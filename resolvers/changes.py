"""What an event changes, as the cache's tags: whatever is shown of these is read again."""

from collections.abc import Iterable

from infrastructure.cache import Tag
from models.events import Event, RecordedEvent

OWNER, PORTFOLIO = "owner", "portfolio"
"""All that is somebody's, and all that is in a portfolio; the other tags are the events' own aggregates."""


def tags_of(event: Event | RecordedEvent) -> Iterable[Tag]:
    """The event's aggregate, the portfolio that it is in, and whose it is."""
    yield event.aggregate_type, event.aggregate_id
    if event.portfolio_id is not None:
        yield PORTFOLIO, event.portfolio_id
    if event.owner_id is not None:
        yield OWNER, event.owner_id
