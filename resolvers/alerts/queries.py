"""What can be asked of notifications."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import ColumnElement

from models.notifications import Notification, NotificationRow
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.context import Context
from resolvers.loading import mine_by_id
from resolvers.paging import Listing, Page, PageArgs


@dataclass(frozen=True, slots=True)
class NotificationChoice:
    """Which notifications: all, or those that were not read."""

    unread_only: bool = False


def _conditions(chosen: NotificationChoice) -> Sequence[ColumnElement[bool]]:
    return [NOTIFICATIONS.c.read_at.is_(None)] if chosen.unread_only else []


notifications_by_id = mine_by_id(NotificationRow, Notification)

NOTIFICATIONS_OF_USER = Listing(
    NotificationRow, Notification, ("created_at", "id"), parent="owner_id", descending=True, conditions=_conditions
)


async def notification(ctx: Context, notification_id: UUID) -> Notification | None:
    """A notification of the viewer's; none for anybody else's."""
    return None if ctx.viewer is None else await ctx.load(notifications_by_id, notification_id)


async def notifications_of(
    ctx: Context, user_id: UUID, args: PageArgs, chosen: NotificationChoice
) -> Page[Notification]:
    """A page of a user's notifications, newest first."""
    return await NOTIFICATIONS_OF_USER.page(ctx, args, chosen, user_id)
