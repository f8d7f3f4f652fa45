"""Rows and events by the million, in one transaction: COPY on PostgreSQL, statements of many rows on SQLite."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Table, insert, select, text, update

from infrastructure.database import Transaction
from infrastructure.log import EVENTS, HEAD, VERSIONS
from infrastructure.rows import values
from models.columns import Words
from models.events import Event, chained

_VERSION = ("aggregate_type", "aggregate_id", "version")


class BulkLoad:
    """Fills tables within an unhurried transaction that commits as a whole: what is broken off leaves nothing.

    It holds the log from its first row on, so that every other writer waits, or gives up, until it is done.
    """

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self._copies = transaction.connection.dialect.name == "postgresql"
        self._seq, self._link = 0, b""

    async def begin(self) -> None:
        """Take the log, however long others hold it."""
        if self._copies:
            await self._transaction.execute(text("SET LOCAL lock_timeout = 0"))
        head = await self._transaction.execute(select(HEAD.c.seq, HEAD.c.hash).with_for_update(key_share=True))
        row = head.one()
        self._seq, self._link = row.seq, row.hash

    async def add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert rows, all with the same columns."""
        if not rows:
            return
        if not self._copies:
            await self._transaction.execute(insert(table), rows)
            return
        raw = await self._transaction.connection.get_raw_connection()
        driver: Any = raw.driver_connection
        # Of the types of ours only this one has another form in Python than what the driver takes.
        listed = [name for name in rows[0] if isinstance(table.c[name].type, Words)]
        records = [tuple({**row, **{name: ",".join(row[name]) for name in listed}}.values()) for row in rows]
        await driver.copy_records_to_table(table.name, records=records, columns=list(rows[0]))

    async def append(self, events: Sequence[Event]) -> None:
        """Append events to the log, in their order."""
        rows = []
        for event in events:
            self._seq += 1
            self._link = chained(self._link, event.digest)
            rows.append({**values(event), "seq": self._seq, "payload": event.payload.decode(), "hash": self._link})
        await self.add(VERSIONS, [{name: row[name] for name in _VERSION} for row in rows])
        await self.add(EVENTS, rows)

    async def end(self) -> int:
        """Leave the log where it is now, which is the answer, and tell the planner what there is."""
        await self._transaction.execute(update(HEAD).values(seq=self._seq, hash=self._link))
        await self._transaction.execute(text("ANALYZE"))
        return self._seq
