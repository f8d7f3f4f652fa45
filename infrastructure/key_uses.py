"""When API keys were last used: noted at once, written beside the requests, at most once a minute for each key."""

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, or_, update

from infrastructure.background import Background
from infrastructure.database import Database, DatabaseUnavailable, OutcomeUnknown
from infrastructure.rows import table
from models.columns import Moment
from models.keys import ApiKeyRow

KEYS = table(ApiKeyRow)
APART_MIN: Final = timedelta(minutes=1)
"""How far two written uses of a key are apart, whichever process they are written by."""
GATHER_S: Final = 1.0
"""How long uses are gathered before they are written together."""

_STALE = or_(KEYS.c.last_used_at.is_(None), KEYS.c.last_used_at <= bindparam("before", type_=Moment))
_USED = (
    update(KEYS).where(KEYS.c.id == bindparam("key_id"), _STALE).values(last_used_at=bindparam("used_at", type_=Moment))
)


class KeyUses:
    """The last uses of keys that this process has seen and not yet written. No request waits for them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._noted: dict[UUID, datetime] = {}
        self._some = asyncio.Event()
        self._writing = Background("key uses", self._keep_writing)

    def note(self, key_id: UUID, last_used_at: datetime | None, now: datetime) -> None:
        """A key was used; `last_used_at` is what is stored of it."""
        if last_used_at is None or now - last_used_at >= APART_MIN:
            self._noted[key_id] = now
            self._some.set()

    async def write(self) -> None:
        """Write what has been noted. What fails to be written is noted again by the key's next use."""
        noted, self._noted = self._noted, {}
        if not noted:
            return
        # In the order of ids, so that two processes that write the same keys do not wait for each other.
        uses = [{"key_id": key, "used_at": at, "before": at - APART_MIN} for key, at in sorted(noted.items())]
        async with self._database.write() as transaction:
            await transaction.execute(_USED, uses)

    async def start(self) -> None:
        """Write from now on."""
        self._writing.start()

    async def stop(self) -> None:
        """Write what is left, and no more."""
        await self._writing.stop()
        with contextlib.suppress(DatabaseUnavailable, OutcomeUnknown):  # none of it is worth a stop that fails
            await self.write()

    async def _keep_writing(self) -> None:
        while True:
            await self._some.wait()
            self._some.clear()
            await self.write()
            await asyncio.sleep(GATHER_S)
