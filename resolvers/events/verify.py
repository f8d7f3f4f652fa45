"""Whether the log is whole, and whether the tables are what it says."""

from collections.abc import AsyncIterator, Callable, Hashable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.archive import ArchiveUnsound, read_events
from infrastructure.database import Database
from infrastructure.rows import columns, table
from models.accounts import Session, SessionRow, User, UserRow
from models.allocations import TargetAllocation, TargetAllocationRow
from models.effects import Effects, Progress
from models.enums import AggregateType
from models.events import GENESIS, EventFilter, RecordedEvent
from models.keys import ApiKey, ApiKeyRow
from models.market_alerts import MarketAlert, MarketAlertRow
from models.notifications import Notification, NotificationRow
from models.orders import Fill, FillRow, Order, OrderRow
from models.payloads import written
from models.portfolios import MarketStateRow, Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from models.positions import Position, PositionRow
from models.rebuilt import NAMES, Chain, Flaw, Rebuilt, Told, Unreadable, differing, fingerprint
from models.risk import RiskLimit, RiskLimitRow
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.events import effects as done
from resolvers.events.archive import segments
from resolvers.risk.handlers import RISK_LIMIT_BREACHED

BATCH = 1_000
EVERYTHING = EventFilter()
WHOLE: dict[AggregateType, tuple[Any, Any]] = {
    AggregateType.USER: (UserRow, User),
    AggregateType.SESSION: (SessionRow, Session),
    AggregateType.API_KEY: (ApiKeyRow, ApiKey),
    AggregateType.ORDER: (OrderRow, Order),
    AggregateType.POSITION: (PositionRow, Position),
    AggregateType.NOTIFICATION: (NotificationRow, Notification),
    AggregateType.RISK_ALERT: (RiskAlertRow, RiskAlert),
    AggregateType.MARKET_ALERT: (MarketAlertRow, MarketAlert),
}
"""What the aggregates of `NAMES` are stored as."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found: the flaws, from behind which event and up to which the log was read, and the hash it ends with.

    Who keeps `seq` and `hash` in another place can show later that the log up to there is still the same.
    """

    flaws: list[Flaw]
    floor: int
    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Receipt:
    """What an earlier verification ended with."""

    seq: int
    hash: bytes


async def verify(
    database: Database,
    receipt: Receipt | None = None,
    progress: Callable[[int, int], None] | None = None,
    folder: Path | None = None,
) -> Verdict:
    """Read the whole log at one moment, and hold the tables against it; it may go on beside a server that writes.

    What is archived is read from the files in `folder`; if not all of them are there the log is read from behind them.
    `progress` is told which event was read, and which one is the last.
    """
    async with one_moment(database) as connection:
        head, floor, sealed = await log.head(connection), await log.floor(connection), await segments(connection)
        files = [folder / segment.file for segment in sealed] if folder else []
        whole = not sealed or (bool(files) and all(path.exists() for path in files))
        begin = log.Floor(0, GENESIS) if whole else floor
        rebuilt, effects, chain = Rebuilt(whole), Effects(whole), Chain(begin.seq, begin.hash)
        # Where segments end is known without their files.
        hashes = {0: GENESIS} | {segment.last_seq: segment.last_hash for segment in sealed}
        async for event in _events(connection, files if whole else [], floor.seq):
            if isinstance(event, Flaw):
                rebuilt.flaws.append(event)
                continue
            if wrong := chain.take(event):
                rebuilt.flaws.append(Flaw(event.seq, wrong))
            if receipt is not None and event.seq == receipt.seq:
                hashes[event.seq] = event.hash
            if isinstance(event, RecordedEvent):
                rebuilt.take(event)
                effects.take(event, done.TOLD_OF)
            if progress is not None and not event.seq % BATCH:
                progress(event.seq, head.seq)
        rebuilt.end()
        if receipt is not None and hashes.get(receipt.seq) != receipt.hash:
            rebuilt.flaws.append(_of_receipt(receipt, known=receipt.seq in hashes or receipt.seq > begin.seq))
        if wrong_end := chain.ends(head.seq, head.hash):
            rebuilt.flaws.append(Flaw(None, wrong_end))
        reached = await done.progress(connection)
        await _Tables(connection, rebuilt, reached, await done.forgotten(connection)).compare()
        rebuilt.flaws += await done.compare(connection, effects, reached, begin.seq)
    return Verdict(rebuilt.flaws, begin.seq, head.seq, head.hash)


def _of_receipt(receipt: Receipt, *, known: bool) -> Flaw:
    if known:
        return Flaw(None, f"the log up to event {receipt.seq} is not the one of the receipt")
    return Flaw(None, f"the receipt can't be checked: event {receipt.seq} is archived, and not all files are here")


async def _events(
    connection: AsyncConnection, sealed: Sequence[Path], floor: int
) -> AsyncIterator[RecordedEvent | Unreadable | Flaw]:
    """What is in the files, then what is in the table behind them."""
    for path in sealed:
        try:
            for event in read_events(path):
                yield event
        except ArchiveUnsound as error:
            yield Flaw(None, str(error))
    seq, batch = floor, BATCH
    while True:
        try:
            events = await log.read_after(connection, seq, EVERYTHING, batch)
        except (ArithmeticError, LookupError, TypeError, ValueError) as error:
            if batch > 1:  # come to it one by one
                batch = 1
                continue
            events, batch = [], BATCH
            unreadable = await _unreadable(connection, seq, error)
            yield unreadable
            seq = unreadable.seq
            continue
        if not events:
            return
        for event in events:
            yield event
        seq = events[-1].seq


async def _unreadable(connection: AsyncConnection, seq: int, error: Exception) -> Unreadable:
    """The event behind that number, of which no more can be said."""
    own = log.EVENTS.c
    statement = select(own.seq, own.hash).where(own.seq > seq).order_by(own.seq).limit(1)
    row = (await connection.execute(statement)).one()
    return Unreadable(row.seq, row.hash, repr(error))


@asynccontextmanager
async def one_moment(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection whose every statement sees the same moment, however long they and what is between them take."""
    async with database.read(unhurried=True) as connection:
        if database.dialect == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            yield connection
            return
        await connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            await connection.exec_driver_sql("ROLLBACK")


class _Tables:
    """The tables, beside what the log says of them."""

    def __init__(
        self, connection: AsyncConnection, rebuilt: Rebuilt, reached: Mapping[str, Progress], forgotten: int
    ) -> None:
        self._connection = connection
        self._rebuilt = rebuilt
        self._reached = reached
        self._forgotten = forgotten

    async def compare(self) -> None:
        """Every row of every table; what differs is a flaw that names the last event of it."""
        rebuilt = self._rebuilt
        for kind, (row, entity) in WHOLE.items():
            await self._rows(kind.value, (row, entity), rebuilt.told[kind], lambda each: each.id, kind)
        await self._rows("Fill", (FillRow, Fill), rebuilt.fills, lambda each: each.id)
        await self._rows("Transaction", (TransactionRow, Transaction), rebuilt.ledger, lambda each: each.id)
        limits = (RiskLimitRow, RiskLimit)
        await self._rows("RiskLimit", limits, rebuilt.limits, lambda each: (each.portfolio_id, each.kind.value))
        targets = (TargetAllocationRow, TargetAllocation)
        await self._rows("TargetAllocation", targets, rebuilt.targets, lambda each: (each.portfolio_id, each.symbol))
        await self._portfolios()
        await self._market()

    async def _rows(
        self,
        name: str,
        kept: tuple[Any, Any],
        told: dict[Any, Told],
        key_of: Callable[[Any], Hashable],
        kind: AggregateType | None = None,
    ) -> None:
        left = dict(told)
        async for entity in self._stored(*kept):
            key = key_of(entity)
            expected = left.pop(key, None)
            if expected is None:
                if self._rebuilt.whole:
                    self._flaw(None, f"{name} {_named(key)}: in the table, not in the log")
            elif fingerprint(kind, written(entity)) != expected.print:
                self._flaw(expected.seq, await self._difference(name, key, entity, expected.seq, kind))
        for key, expected in left.items():
            if not self._may_lack(kind, key, expected.seq):
                self._flaw(expected.seq, f"{name} {_named(key)}: in the log, not in the table")

    def _may_lack(self, kind: AggregateType | None, key: Any, seq: int) -> bool:
        """Of a breach it is a handler that writes the row, when it comes to it; a notification may be forgotten."""
        if kind is AggregateType.NOTIFICATION:
            return self._forgotten > 0 and key in self._rebuilt.read
        handler = self._reached.get(RISK_LIMIT_BREACHED)
        return kind is AggregateType.RISK_ALERT and (handler is None or not handler.owes(seq))

    async def _difference(self, name: str, key: Any, entity: Any, seq: int, kind: AggregateType | None) -> str:
        """What of a row is not as the event says."""
        message = f"{name} {_named(key)}: the table does not have what the log says"
        found = await log.read_after(self._connection, seq - 1, EVERYTHING, 1)
        if not found or found[0].seq != seq:
            return message  # it is archived
        [event] = found
        said = [
            event.data.get(NAMES[kind] if kind else name[0].lower() + name[1:]),
            *event.data.get("transactions", ()),
            *event.data.get("targetAllocations", ()),
        ]
        kept = written(entity)
        named = "id" if "id" in kept else "symbol"
        same = (each for each in said if each is not None and each.get(named) == kept[named])
        return message + differing(kept, next(same, {}))

    async def _portfolios(self) -> None:
        left = set(self._rebuilt.portfolios)
        async for portfolio in self._stored(PortfolioRow, Portfolio):
            if portfolio.id not in left:
                if self._rebuilt.whole:
                    self._flaw(None, f"Portfolio {portfolio.id}: in the table, not in the log")
                continue
            left.remove(portfolio.id)
            kept, said = written(portfolio), self._rebuilt.summed(portfolio.id)
            if wrong := differing(kept, {name: kept[name] if it is None else it for name, it in said.items()}):
                self._flaw(None, f"Portfolio {portfolio.id}: the table does not have what the log says{wrong}")
        for key in left:
            self._flaw(None, f"Portfolio {key}: in the log, not in the table")

    async def _market(self) -> None:
        own, said = table(MarketStateRow).c, self._rebuilt.market
        statement = select(own.trading_state, own.trading_reason, own.trading_since, own.resume_after)
        status = TradingStatus(*(await self._connection.execute(statement)).one())
        if said is not None and (wrong := differing(written(status), said)):
            self._flaw(None, f"Market: the table does not have what the log says{wrong}")

    async def _stored(self, row: Any, entity: Any) -> AsyncIterator[Any]:
        async with self._connection.stream(select(*columns(row, entity))) as rows:
            async for each in rows:
                yield entity(*each)

    def _flaw(self, seq: int | None, message: str) -> None:
        self._rebuilt.flaws.append(Flaw(seq, message))


def _named(key: Any) -> str:
    return str(key) if isinstance(key, UUID) else f"{key[1]} of {key[0]}"
