"""Notifications as handlers and commands write them."""

from collections.abc import Callable, Iterable
from datetime import tzinfo
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.database import Transaction
from infrastructure.rows import columns, read_all, table, values
from infrastructure.services import Services
from models import facts
from models.accounts import User, UserRow
from models.enums import EventType
from models.events import RecordedEvent
from models.notifications import Notice, Notification, NotificationRow

USERS, NOTIFICATIONS = table(UserRow), table(NotificationRow)
PART = 1_000
"""Notifications in one statement: a statement takes 32,767 values at most."""


async def users_in(tx: Transaction, chosen: ColumnElement[bool]) -> list[User]:
    """Users as they are now, with what they prefer."""
    return await read_all(tx.connection, User, select(*columns(UserRow, User)).where(chosen).order_by(USERS.c.id))


async def tell_owner(
    services: Services,
    tx: Transaction,
    event: RecordedEvent,
    handler: str,
    words: Callable[[tzinfo, User], Notice | None],
) -> None:
    """Tell the one whose event it is; nobody if `words` has none for them."""
    if event.owner_id is not None:
        await tell(services, tx, event, handler, await users_in(tx, USERS.c.id == event.owner_id), words)


async def tell(
    services: Services,
    tx: Transaction,
    event: RecordedEvent,
    handler: str,
    users: Iterable[User],
    words: Callable[[tzinfo, User], Notice | None],
) -> None:
    """Tell each of the users what `words` has for them, in their time zone; of one event a handler tells them once.

    Nobody where the event is replayed: who wants to be told, and whom it concerns, is another thing now than it was.
    """
    if tx.replays:
        return
    now = services.clock.now()
    noted = [(user, words(ZoneInfo(user.timezone), user)) for user in users]
    made = [
        Notification(services.ids.new(), user.id, **values(notice), created_at=now, read_at=None, version=1)
        for user, notice in noted
        if notice
    ]
    told: set[UUID] = set()
    for begin in range(0, len(made), PART):
        some = made[begin : begin + PART]
        rows = [{**values(each), "event_seq": event.seq, "handler": handler} for each in some]
        added = insert(NOTIFICATIONS).values(rows).on_conflict_do_nothing().returning(NOTIFICATIONS.c.id)
        told.update((await tx.execute(added)).scalars())
    for each in made:
        if each.id in told:
            tx.record(facts.of_notification(EventType.NOTIFICATION_SENT, each, None, now))
