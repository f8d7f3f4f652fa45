import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Delete, Update, delete, or_, select, update

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.clock import Clock
from infrastructure.database import Database, Transaction
from infrastructure.rows import table
from models.marketdata import LeaseRow

LEASES = table(LeaseRow)

Changing = TypeVar("Changing", Update, Delete)


class Lease:
    """The right to do the job `name` alone, for `seconds` from when it was last renewed.

    Of all holders on one database at most one has it, as long as their clocks agree. Who stops renewing it, for
    whatever reason, loses it to the next who asks once it has run out.

    `term` is another number each time that somebody else may have had it in between: who does the job then has to read
    anew what the others did.
    """

    def __init__(self, database: Database, name: str, holder: str, seconds: int, clock: Clock) -> None:
        self.name, self.holder = name, holder
        self._database = database
        self._clock = clock
        self._length = timedelta(seconds=seconds)
        self._until: datetime | None = None
        self.term = 0
        self._certain = False
        """Whether nobody else can have had it since its term began, if its name stands there."""

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
            where=LEASES.c.expires_at < asked_at,
        ).returning(LEASES.c.holder)
        async with self._database.write() as transaction:
            # Whoever else had it has put their name there, or has taken the row away.
            renewed = (
                await transaction.execute(self._mine(update(LEASES)).values(expires_at=expires_at))
            ).rowcount == 1
            holds = renewed or (await transaction.execute(taken)).first() is not None
            # Taken anew it is another term, also where it is never told that it was taken.
            same = self._certain = self._certain and renewed
        if holds and not same:
            self.term += 1
        self._certain = holds
        # A write that waited longer than the lease lasts has brought nothing: it may be someone else's by now.
        self._until = expires_at if holds else None
        return self.held

    async def release(self) -> None:
        """Give it up, if this holder has it, so that the next need not wait."""
        self._until, self._certain = None, False
        async with self._database.write() as transaction:
            await transaction.execute(self._mine(delete(LEASES)))

    def _mine(self, statement: Changing) -> Changing:
        return statement.where(LEASES.c.name == self.name, LEASES.c.holder == self.holder)


class SharedLeases:
    """Many jobs of one kind shared between its holders: each job has at most one, and each holder its fair part.

    A holder makes itself known by a lease of its own, by which holders are counted. As with `Lease`, who stops coming
    loses what it had to the others once that has run out.
    """

    def __init__(self, database: Database, kind: str, holder: str, seconds: int, clock: Clock) -> None:
        self.holder = holder
        self._of_kind = LEASES.c.name.startswith(f"{kind}:")
        self._own, self._job = f"{kind}:holder:{holder}", f"{kind}:job:"
        self._database, self._clock = database, clock
        self._length = timedelta(seconds=seconds)

    async def share(self, jobs: Iterable[str]) -> set[str]:
        """Renew, take what is free, give back what is more than a fair part; the jobs that this holder has from now on.

        Raises what `Database.write` raises.
        """
        now = self._clock.now()
        names = sorted(self._job + job for job in jobs)
        async with self._database.write() as transaction:
            rows = (await transaction.execute(select(LEASES).where(self._of_kind))).all()
            standing = {row.name: row.holder for row in rows if row.expires_at >= now}
            wanted = self._part(names, standing)
            gone = [row.name for row in rows if row.name not in standing and row.name not in names]
            gone += [name for name in names if standing.get(name) == self.holder and name not in wanted]
            if gone:
                await transaction.execute(delete(LEASES).where(LEASES.c.name.in_(gone)))
            got = await self._take(transaction, [self._own, *wanted], now)
        return {name.removeprefix(self._job) for name in got if name != self._own}

    def _part(self, names: list[str], standing: dict[str, str]) -> list[str]:
        """What this holder should have: of what it has and of what is free, as much as is its fair part."""
        holders = sorted({*standing.values(), self.holder})
        part = math.ceil(len(names) / len(holders))
        mine = [name for name in names if standing.get(name) == self.holder]
        free = [name for name in names if name not in standing]
        # Each begins elsewhere: those who ask at once should not all ask for the same.
        begin = holders.index(self.holder) * part % (len(free) or 1)
        return [*mine, *free[begin:], *free[:begin]][:part]

    async def _take(self, transaction: Transaction, names: list[str], now: datetime) -> set[str]:
        # In one order, so that two holders wait for each other's rows and never in a circle.
        expires_at = now + self._length
        row = insert(LEASES).values(
            [{"name": name, "holder": self.holder, "expires_at": expires_at} for name in sorted(names)]
        )
        taken = row.on_conflict_do_update(
            index_elements=[LEASES.c.name],
            set_={"holder": row.excluded.holder, "expires_at": row.excluded.expires_at},
            where=or_(LEASES.c.holder == self.holder, LEASES.c.expires_at < now),
        )
        return set((await transaction.execute(taken.returning(LEASES.c.name))).scalars())

    async def release(self) -> None:
        """Give everything up, so that the others need not wait."""
        async with self._database.write() as transaction:
            await transaction.execute(delete(LEASES).where(self._of_kind, LEASES.c.holder == self.holder))
