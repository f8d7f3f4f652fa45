"""Reading notifications."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import select, update

from infrastructure.rows import columns, read_all
from models import facts
from models.enums import ApiScope, EventType
from models.errors import Refused, invalid, missing
from models.notifications import Notification, NotificationRow
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.context import Context
from resolvers.requests import Done
from resolvers.scopes import needs


@needs(ApiScope.TRADE)
async def mark_notifications_read(ctx: Context, ids: Sequence[UUID]) -> Done[list[Notification]]:
    """Mark notifications of the viewer's as read, all of them or none; those that are already stay as they are."""
    most = ctx.services.settings.page_size_max
    if len(ids) > most:
        raise Refused(invalid(f"`ids` has {len(ids)}: it may have {most} at most.", "ids"))
    async with ctx.services.database.write() as tx:
        mine = select(*columns(NotificationRow, Notification)).where(
            NOTIFICATIONS.c.id.in_(ids), NOTIFICATIONS.c.owner_id == ctx.owner_id
        )
        # In one order, so that two callers wait for each other's rows and never in a circle.
        locked = await read_all(tx.connection, Notification, mine.order_by(NOTIFICATIONS.c.id).with_for_update())
        found = {each.id: each for each in locked}
        if not set(ids) <= set(found):
            raise missing("notification", "ids")
        unread = [each for each in locked if each.read_at is None]
        for each in unread:
            found[each.id] = replace(each, read_at=ctx.now, version=each.version + 1)
            tx.record(facts.of_notification(EventType.NOTIFICATION_READ, found[each.id], ctx.owner_id, ctx.now))
        if unread:
            changed = NOTIFICATIONS.c.id.in_([each.id for each in unread])
            await tx.execute(update(NOTIFICATIONS).where(changed).values(read_at=ctx.now, version=2))
    return Done([found[each] for each in ids], tx.position or ctx.position)
