"""What can be asked of notifications."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement

from models.notifications import Notification, NotificationRow
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.context import Context
from resolvers.loading import mine_now_by_id
from resolvers.paging import Listing, Page, PageArgs


@dataclass(frozen=True, slots=True)
class NotificationChoice:
    """Which notifications: all, or those that were not read."""

    unread_only: bool = False


def _conditions(chosen: NotificationChoice) -> Sequence[ColumnElement[bool]]:
    return [NOTIFICATIONS.c.read_at.is_(None)] if chosen.unread_only else []


# Those that were read long ago are forgotten without an event.
notifications_by_id = mine_now_by_id(NotificationRow, Notification)

NOTIFICATIONS_OF_USER = Listing(
    NotificationRow, Notification, ("created_at", "id"), parent="owner_id", descending=True, conditions=_conditions
)


def notification(ctx: Context, notification_id: UUID) -> Awaitable[Notification | None]:
    """A notification of the viewer's; none for anybody else's."""
    return ctx.load_own(notifications_by_id, notification_id)


def notifications_of(
    ctx: Context, user_id: UUID, args: PageArgs, chosen: NotificationChoice
) -> Awaitable[Page[Notification]]:
    """A page of a user's notifications, newest first."""
    return NOTIFICATIONS_OF_USER.page(ctx, args, chosen, user_id)
