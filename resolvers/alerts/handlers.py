"""What follows when a market alert went off, and when sentiment was analysed."""

from datetime import datetime, timedelta, tzinfo
from typing import Any

from sqlalchemy import ColumnElement, Select, literal, select, update

from infrastructure.database import Transaction
from infrastructure.log import EVENTS
from infrastructure.rows import table
from infrastructure.services import Services
from models import facts, notices
from models.accounts import User
from models.enums import SentimentSignal
from models.events import RecordedEvent
from models.notifications import Notice
from models.positions import PositionRow
from models.sentiment import SentimentRow, signal_of, trend_after
from resolvers.alerts.store import NOTIFICATIONS, USERS, tell, tell_owner, users_in

MARKET_ALERT, SENTIMENT = "market-alert", "sentiment"
QUIET = timedelta(minutes=15)
"""For how long a holder is not told again that an alert of somebody's has gone off for the same instrument: by when the
alerts did, not by when the handler came to them."""
POSITIONS, SENTIMENTS = table(PositionRow), table(SentimentRow)


async def tell_of_alert(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Tell the alert's maker, and those who hold the instrument, though not each time that somebody's goes off."""
    alert, value = facts.market_alert_of(event)
    if value is None:
        raise ValueError(f"event {event.seq} does not tell what the market came to")

    def words(_zone: tzinfo, user: User) -> Notice | None:
        return notices.market_alert(alert, value) if user.notify_on_market_alert else None

    await tell_owner(services, tx, event, MARKET_ALERT, words)
    holders = await users_in(tx, _holds(alert.symbol) & USERS.c.id.not_in(_told(alert.symbol, event.occurred_at)))
    await tell(services, tx, event, MARKET_ALERT, holders, words)


def _told(symbol: str, at: datetime) -> Select[Any]:
    """Who was told of an alert for the instrument that went off around then, whenever that was."""
    went_off = EVENTS.c.occurred_at
    return (
        select(NOTIFICATIONS.c.owner_id)
        .join(EVENTS, EVENTS.c.seq == NOTIFICATIONS.c.event_seq)
        .where(
            # In so many words, by which a database knows the index of just these.
            NOTIFICATIONS.c.handler == literal(MARKET_ALERT, literal_execute=True),
            NOTIFICATIONS.c.subject_id == symbol,
            # Told after it went off, by a clock that may be another one: this is for the index.
            NOTIFICATIONS.c.created_at > at - 2 * QUIET,
            went_off > at - QUIET,
            went_off < at + QUIET,
        )
    )


def _holds(symbol: str) -> ColumnElement[bool]:
    holders: Select[Any] = select(POSITIONS.c.owner_id).where(
        POSITIONS.c.symbol == symbol, POSITIONS.c.closed_at.is_(None)
    )
    return USERS.c.id.in_(holders)


async def work_into_signal(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Work an analysis into the instrument's trend and signal; when that turns, tell those who hold it."""
    sentiment = facts.sentiment_of(event)
    own = SENTIMENTS.c.symbol == sentiment.symbol
    stored = select(SENTIMENTS.c.trend, SENTIMENTS.c.signal, SENTIMENTS.c.trend_seq).where(own)
    row = (await tx.execute(stored.with_for_update())).one()
    if row.trend_seq >= event.seq:
        return  # replayed: it is in there
    trend = trend_after(row.trend, sentiment)
    signal = signal_of(trend, row.signal)
    await tx.execute(update(SENTIMENTS).where(own).values(trend=trend, signal=signal, trend_seq=event.seq))
    if signal is row.signal or (row.signal is None and signal is SentimentSignal.NEUTRAL):
        return

    def words(_zone: tzinfo, user: User) -> Notice | None:
        return notices.sentiment_turned(sentiment, signal) if user.notify_on_market_alert else None

    await tell(services, tx, event, SENTIMENT, await users_in(tx, _holds(sentiment.symbol)), words)
