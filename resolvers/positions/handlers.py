"""What follows when a position was closed."""

from datetime import tzinfo

from sqlalchemy import ColumnElement, select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure import log
from infrastructure.database import Transaction
from infrastructure.rows import columns, read_all, table, values
from infrastructure.services import Services
from models import notices
from models.accounts import User
from models.enums import AggregateType, TransactionKind
from models.events import EventFilter, RecordedEvent
from models.facts import fill_of, position_of
from models.money import CURRENCY
from models.notifications import Notice
from models.orders import Fill, FillRow
from models.portfolios import TransactionRow
from models.positions import Position
from models.trades import TradeSummaryRow, retold, summarized
from resolvers.alerts.store import tell_owner

POSITION_CLOSED = "position-closed"
SUMMARIES, FILLS, TRANSACTIONS = table(TradeSummaryRow), table(FillRow), table(TransactionRow)
PART = 500


async def summarize_trade(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Keep the summary of the trade that the position was, and send it to its owner."""
    summary = summarized(await _story(tx, event))
    await tx.execute(insert(SUMMARIES).values(values(summary)).on_conflict_do_nothing())

    def words(zone: tzinfo, user: User) -> Notice | None:
        return notices.position_closed(summary, CURRENCY, zone) if user.notify_on_fill else None

    await tell_owner(services, tx, event, POSITION_CLOSED, words)


async def _story(tx: Transaction, closing: RecordedEvent) -> list[tuple[Position, Fill]]:
    """The position after each of its events up to this one, and the fill that did it; what is archived by the fills."""
    chosen = EventFilter(
        aggregate_type=AggregateType.POSITION, aggregate_id=closing.aggregate_id, version_max=closing.version
    )
    found: list[tuple[Position, Fill]] = []
    after = version = 0
    while after < closing.seq:
        events = await log.read_after(tx.connection, after, chosen, PART)
        if not events or events[0].version != version + 1:
            return await _by_fills(tx, closing)
        for event in events:
            after, version = event.seq, event.version
            if fill := fill_of(event):
                found.append((position_of(event), fill))
    return found


async def _by_fills(tx: Transaction, closing: RecordedEvent) -> list[tuple[Position, Fill]]:
    """The same by the ledger, which has every fill, in the order in which they were booked."""
    closed, last = position_of(closing), fill_of(closing)
    if last is None:
        raise ValueError(f"event {closing.seq} does not tell which fill closed the position")
    ledger, trade = TRANSACTIONS.c, TransactionKind.TRADE
    end = select(ledger.number).where(ledger.fill_id == last.id, ledger.kind == trade, _of(closed)).scalar_subquery()
    fills = (
        select(*columns(FillRow, Fill))
        .join(TRANSACTIONS, FILLS.c.id == ledger.fill_id)
        .where(_of(closed), ledger.kind == trade, FILLS.c.symbol == closed.symbol, ledger.number <= end)
        .order_by(ledger.number)
    )
    return retold(closed, await read_all(tx.connection, Fill, fills))


def _of(position: Position) -> ColumnElement[bool]:
    return TRANSACTIONS.c.portfolio_id == position.portfolio_id
