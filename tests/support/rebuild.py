"""Builds everything again from the event log alone, and compares it with the tables.

`verify` sees one moment of the database, so that it may run beside a server that writes.
"""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure import log
from infrastructure.database import Database
from infrastructure.rows import columns, read_all, table
from models.accounts import Session, SessionRow, User, UserRow
from models.enums import AggregateType, EventType, OrderStatus
from models.events import GENESIS, Event, EventFilter, RecordedEvent, chained
from models.facts import fill_of
from models.keys import ApiKey, ApiKeyRow
from models.money import exact
from models.orders import Fill, FillRow, Order, OrderRow
from models.payloads import read
from models.portfolios import MarketStateRow, Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from models.positions import Position, PositionRow
from models.risk import RiskLimit, RiskLimitRow

EVERYTHING = EventFilter()
BATCH = 1_000
# The aggregates whose every event has all of it: its name in the payload, and what it is stored as.
WHOLE: dict[AggregateType, tuple[str, Any, Any]] = {
    AggregateType.USER: ("user", UserRow, User),
    AggregateType.SESSION: ("session", SessionRow, Session),
    AggregateType.API_KEY: ("apiKey", ApiKeyRow, ApiKey),
    AggregateType.ORDER: ("order", OrderRow, Order),
    AggregateType.POSITION: ("position", PositionRow, Position),
}


@dataclass
class Rebuilt:
    """What the log says."""

    versions: dict[tuple[AggregateType, UUID], int] = field(default_factory=lambda: defaultdict(int))
    whole: dict[AggregateType, dict[UUID, Any]] = field(default_factory=lambda: defaultdict(dict))
    fills: dict[UUID, Fill] = field(default_factory=dict)
    portfolios: dict[UUID, Portfolio] = field(default_factory=dict)
    ledger: dict[UUID, list[Transaction]] = field(default_factory=lambda: defaultdict(list))
    limits: dict[tuple[UUID, str], RiskLimit] = field(default_factory=dict)
    reserved: dict[UUID, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    realized: dict[UUID, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    cash: dict[UUID, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    """Of each portfolio: the sums over its working orders, its positions, its ledger."""
    market: TradingStatus | None = None

    @exact
    def take(self, event: RecordedEvent) -> None:
        """The next event."""
        key = (event.aggregate_type, event.aggregate_id)
        self.versions[key] += 1
        assert event.version == self.versions[key], f"event {event.seq}: version {event.version} of {key}"
        fill = fill_of(event)
        if fill is not None:
            assert self.fills.setdefault(fill.id, fill) == fill, f"event {event.seq}: another fill {fill.id}"
        if event.aggregate_type in WHOLE:
            name, _, kind = WHOLE[event.aggregate_type]
            before = self.whole[event.aggregate_type].get(event.aggregate_id)
            after = self.whole[event.aggregate_type][event.aggregate_id] = read(kind, event.data[name])
            self._sum(before, after)
        elif event.aggregate_type is AggregateType.PORTFOLIO:
            self._take_portfolio(event)
        elif event.aggregate_type is AggregateType.MARKET:
            self.market = read(TradingStatus, event.data["tradingStatus"])

    def _sum(self, before: Any, after: Any) -> None:
        if isinstance(after, Order):
            assert after.working or not after.reserved_cash, f"ended, and holds something back: {after}"
            self.reserved[after.portfolio_id] += after.reserved_cash - (before.reserved_cash if before else 0)
        elif isinstance(after, Position):
            self.realized[after.portfolio_id] += after.realized_pnl - (before.realized_pnl if before else 0)

    def _take_portfolio(self, event: RecordedEvent) -> None:
        if event.type is EventType.RISK_LIMIT_CHANGED:
            limit = read(RiskLimit, event.data["riskLimit"])
            if event.data["removed"]:
                assert self.limits.pop((limit.portfolio_id, limit.kind)) == limit
            else:
                self.limits[limit.portfolio_id, limit.kind] = limit
            portfolio = replace(self.portfolios[event.aggregate_id], version=event.version)
        else:
            portfolio = read(Portfolio, event.data["portfolio"])
        rows = [read(Transaction, each) for each in event.data.get("transactions", ())]
        self.ledger[portfolio.id].extend(rows)
        self.cash[portfolio.id] += sum((row.amount for row in rows), Decimal(0))
        assert portfolio.version == event.version, f"event {event.seq}: {portfolio}"
        # What an event shows is as of that event: what open orders held back, what positions had brought in.
        self.portfolios[portfolio.id] = self.summed(portfolio)
        if event.type is not EventType.RISK_LIMIT_CHANGED:
            assert portfolio == self.portfolios[portfolio.id], f"event {event.seq}: not what came about before it"

    def summed(self, portfolio: Portfolio) -> Portfolio:
        """The portfolio with its sums made anew: of its ledger, its working orders, its positions."""
        return replace(
            portfolio,
            cash=self.cash[portfolio.id],
            ledger_size=len(self.ledger[portfolio.id]),
            reserved_cash=self.reserved[portfolio.id],
            realized_pnl=self.realized[portfolio.id],
        )


async def verify(database: Database) -> None:
    """The log is whole, and what it says is what the tables hold; raises `AssertionError` naming the difference."""
    async with _one_moment(database) as connection:
        rebuilt = await _rebuilt(connection)
        tables = await _tables(connection)
    for name, (kept, said) in _sides(rebuilt, tables).items():
        missing, unexplained = sorted(map(str, said.keys() - kept.keys())), sorted(map(str, kept.keys() - said.keys()))
        assert not missing, f"{name}: in the log, not in the table: {missing}"
        assert not unexplained, f"{name}: in the table, not in the log: {unexplained}"
        for key, value in kept.items():
            assert value == said[key], f"{name} {key}: the table has {value}, the log says {said[key]}"
    _check_sums(rebuilt, tables)


def _sides(rebuilt: Rebuilt, tables: dict[Any, list[Any]]) -> dict[str, tuple[dict[Any, Any], dict[Any, Any]]]:
    """Of each kind of thing: what is stored, and what the log says, by id."""
    sides: dict[str, tuple[dict[Any, Any], dict[Any, Any]]] = {
        kind.value: (
            {row.id: _told(row) for row in tables[stored]},
            {key: _told(each) for key, each in rebuilt.whole[kind].items()},
        )
        for kind, (_, stored, _) in WHOLE.items()
    }
    portfolios = {key: rebuilt.summed(portfolio) for key, portfolio in rebuilt.portfolios.items()}
    ledger = {row.id: row for rows in rebuilt.ledger.values() for row in rows}
    for name, row, said in (
        ("Fill", FillRow, rebuilt.fills),
        ("Portfolio", PortfolioRow, portfolios),
        ("Transaction", TransactionRow, ledger),
    ):
        sides[name] = ({each.id: each for each in tables[row]}, said)
    sides["RiskLimit"] = ({(each.portfolio_id, each.kind): each for each in tables[RiskLimitRow]}, rebuilt.limits)
    if rebuilt.market is not None:
        sides["Market"] = ({1: tables[MarketStateRow][0]}, {1: rebuilt.market})
    return sides


def _told(value: Any) -> Any:
    """Without what no event tells: when a key was last used, where a trailing stop stands while it waits."""
    if isinstance(value, ApiKey):
        return replace(value, last_used_at=None)
    if isinstance(value, Order) and value.high_water_mark is not None and value.status is OrderStatus.PENDING:
        return replace(value, high_water_mark=None, stop_price=None)
    return value


@exact
def _check_sums(rebuilt: Rebuilt, tables: dict[Any, list[Any]]) -> None:
    """Within the tables: each order's fills, the ledger's numbers and balances."""
    fills: dict[UUID, list[Fill]] = defaultdict(list)
    by_portfolio: dict[UUID, list[Fill]] = defaultdict(list)
    for fill in tables[FillRow]:
        fills[fill.order_id].append(fill)
        by_portfolio[fill.portfolio_id].append(fill)
    for order in tables[OrderRow]:
        mine = fills[order.id]
        for name, value in (
            ("filled_quantity", sum((each.quantity for each in mine), Decimal(0))),
            ("filled_notional", sum((each.quantity * each.price for each in mine), Decimal(0))),
            ("commission", sum((each.commission for each in mine), Decimal(0))),
        ):
            assert getattr(order, name) == value, f"Order {order.id}: {name} is not what its fills sum to: {value}"
        assert order.working or order.closed_at is not None, f"Order {order.id} has ended and has no end"
    for portfolio_id, rows in rebuilt.ledger.items():
        balance = Decimal(0)
        for number, row in enumerate(rows, 1):
            balance += row.amount
            assert (row.number, row.balance_after) == (number, balance), f"ledger of {portfolio_id}: {row}"
        trades = {row.fill_id for row in rows if row.fill_id}
        filled = {fill.id for fill in by_portfolio[portfolio_id]}
        assert trades == filled, f"ledger of {portfolio_id}: a fill that is not paid for, or paid for what is none"


async def _rebuilt(connection: AsyncConnection) -> Rebuilt:
    rebuilt, link, seq = Rebuilt(), GENESIS, 0
    while events := await log.read_after(connection, seq, EVERYTHING, BATCH):
        for event in events:
            assert event.seq == seq + 1, f"the log goes from {seq} to {event.seq}"
            link, seq = chained(link, _as_given(event).digest), event.seq
            assert event.hash == link, f"event {seq} does not hang on the one before it"
            rebuilt.take(event)
    head = await log.head(connection)
    assert (head.seq, head.hash) == (seq, link), f"the log ends at {seq}, its head says {head.seq}"
    return rebuilt


def _as_given(recorded: RecordedEvent) -> Event:
    shared = {name: getattr(recorded, name) for name in Event.__dataclass_fields__ if name != "payload"}
    return Event(**shared, payload=recorded.payload.encode())


async def _tables(connection: AsyncConnection) -> dict[Any, list[Any]]:
    stored = [(row, kind) for _, row, kind in WHOLE.values()]
    stored += [(FillRow, Fill), (PortfolioRow, Portfolio), (TransactionRow, Transaction), (RiskLimitRow, RiskLimit)]
    found = {row: await read_all(connection, kind, select(*columns(row, kind))) for row, kind in stored}
    own = table(MarketStateRow).c
    market = select(own.trading_state, own.trading_reason, own.trading_since, own.resume_after)
    found[MarketStateRow] = await read_all(connection, TradingStatus, market)
    return found


@asynccontextmanager
async def _one_moment(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection whose every statement sees the same moment."""
    async with database.read() as connection:
        if database.dialect == "postgresql":
            await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
            return
        await connection.exec_driver_sql("BEGIN")
        try:
            yield connection
        finally:
            await connection.exec_driver_sql("ROLLBACK")
