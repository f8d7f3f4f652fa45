"""What follows when a position was closed."""

from datetime import tzinfo

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure import log
from infrastructure.database import Transaction
from infrastructure.rows import table, values
from infrastructure.services import Services
from models import notices
from models.accounts import User
from models.enums import AggregateType
from models.events import EventFilter, RecordedEvent
from models.facts import fill_of, position_of
from models.money import CURRENCY
from models.notifications import Notice
from models.orders import Fill
from models.positions import Position
from models.trades import TradeSummaryRow, summarized
from resolvers.alerts.store import tell_owner

POSITION_CLOSED = "position-closed"
SUMMARIES = table(TradeSummaryRow)
PART = 500


async def summarize_trade(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Keep the summary of the trade that the position was, and send it to its owner."""
    summary = summarized(await _story(tx, event))
    await tx.execute(insert(SUMMARIES).values(values(summary)).on_conflict_do_nothing())

    def words(zone: tzinfo, user: User) -> Notice | None:
        return notices.position_closed(summary, CURRENCY, zone) if user.notify_on_fill else None

    await tell_owner(services, tx, event, POSITION_CLOSED, words)


async def _story(tx: Transaction, closing: RecordedEvent) -> list[tuple[Position, Fill]]:
    """The position's events up to this one: the position after each, and the fill that did it."""
    chosen = EventFilter(
        aggregate_type=AggregateType.POSITION, aggregate_id=closing.aggregate_id, version_max=closing.version
    )
    found: list[tuple[Position, Fill]] = []
    after = 0
    while after < closing.seq:
        for event in await log.read_after(tx.connection, after, chosen, PART):
            after = event.seq
            if fill := fill_of(event):
                found.append((position_of(event), fill))
    return found
