"""Notifications that were read long ago are forgotten, where the settings say so."""

import asyncio
from datetime import timedelta

import structlog
from sqlalchemy import delete, select

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.background import Background
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown
from infrastructure.leases import Lease
from infrastructure.rows import table
from infrastructure.services import Services
from models.notifications import ForgottenRow
from resolvers.alerts.store import NOTIFICATIONS

FORGOTTEN = table(ForgottenRow)
PART = 500
"""Notifications that leave in one transaction."""
PAUSE_S = 600.0

logger = structlog.get_logger(__name__)


async def forget_some(services: Services, days: int) -> int:
    """Remove the first of those that were read more than so many days ago; how many, `PART` at most.

    Up to which event there may be some that are gone is kept, for who verifies that everybody was told.
    """
    own, before = NOTIFICATIONS.c, services.clock.now() - timedelta(days=days)
    chosen = select(own.id, own.event_seq).where(own.read_at < before).order_by(own.read_at).limit(PART)
    async with services.database.write() as tx:
        found = (await tx.execute(chosen)).all()
        if found:
            row = insert(FORGOTTEN).values(id=1, event_seq=max(each.event_seq for each in found))
            seq = row.excluded.event_seq
            further = row.on_conflict_do_update(
                index_elements=[FORGOTTEN.c.id], set_={"event_seq": seq}, where=FORGOTTEN.c.event_seq < seq
            )
            await tx.execute(further)
            await tx.execute(delete(NOTIFICATIONS).where(own.id.in_([each.id for each in found])))
    return len(found)


class Forgetting:
    """Forgets them as time goes by. One process does it, by a lease."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lease = Lease(
            services.database, "notifications", str(services.ids.new()), services.settings.lease_s, services.clock
        )
        self._task = Background("notifications", self._watch)

    async def start(self) -> None:
        """Begin, if any are to be forgotten."""
        if self._services.settings.notification_days is not None:
            self._task.start()

    async def stop(self) -> None:
        """Stop; what is left is forgotten another time."""
        await self._task.stop()

    async def _watch(self) -> None:
        while True:
            try:
                await self._forget()
            except (DatabaseUnavailable, OutcomeUnknown) as error:
                logger.warning("old notifications could not be forgotten", error=str(error), again_in_s=PAUSE_S)
            await asyncio.sleep(PAUSE_S)

    async def _forget(self) -> None:
        days = self._services.settings.notification_days
        while days is not None and await self._lease.hold():
            if await forget_some(self._services, days) < PART:
                return
