from datetime import datetime, timedelta

from sqlalchemy import delete, or_

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.clock import Clock
from infrastructure.database import Database
from infrastructure.rows import table
from models.marketdata import LeaseRow

LEASES = table(LeaseRow)


class Lease:
    """The right to do the job `name` alone, for `seconds` from when it was last renewed.

    Of all holders on one database at most one has it, as long as their clocks agree. Who stops renewing it, for
    whatever reason, loses it to the next who asks once it has run out.
    """

    def __init__(self, database: Database, name: str, holder: str, seconds: int, clock: Clock) -> None:
        self.name, self.holder = name, holder
        self._database = database
        self._clock = clock
        self._length = timedelta(seconds=seconds)
        self._until: datetime | None = None

    @property
    def held(self) -> bool:
        """Whether this holder had it when it last asked, and it has not run out since. Asks nobody."""
        return self._until is not None and self._clock.now() < self._until

    async def hold(self) -> bool:
        """Take or renew it; whether this holder has it now. Costs nothing in the first third of its length.

        Raises what `Database.write` raises; the lease is then where it was, or renewed.
        """
        asked_at = self._clock.now()
        if self._until is not None and asked_at < self._until - 2 * self._length / 3:
            return True
        expires_at = asked_at + self._length
        row = insert(LEASES).values(name=self.name, holder=self.holder, expires_at=expires_at)
        taken = row.on_conflict_do_update(
            index_elements=[LEASES.c.name],
            set_={"holder": row.excluded.holder, "expires_at": row.excluded.expires_at},
            where=or_(LEASES.c.holder == self.holder, LEASES.c.expires_at < asked_at),
        ).returning(LEASES.c.holder)
        async with self._database.write() as transaction:
            holds = (await transaction.execute(taken)).first() is not None
        # A write that waited longer than the lease lasts has brought nothing: it may be someone else's by now.
        self._until = expires_at if holds else None
        return self.held

    async def release(self) -> None:
        """Give it up, if this holder has it, so that the next need not wait."""
        self._until = None
        mine = (LEASES.c.name == self.name) & (LEASES.c.holder == self.holder)
        async with self._database.write() as transaction:
            await transaction.execute(delete(LEASES).where(mine))
