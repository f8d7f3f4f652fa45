"""What has to hold of a database after whatever happened to its server."""

from collections import defaultdict
from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

from sqlalchemy import select

from graph.base import parsed_id
from infrastructure.database import Database
from infrastructure.rows import columns, read_all, table
from models.enums import AggregateType, EventType, TransactionKind
from models.events import RecordedEvent
from models.orders import Fill, FillRow, Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow, Transaction, TransactionRow
from models.positions import Position, PositionRow
from tests.support.log_race import check_chain

TRANSACTIONS = table(TransactionRow)


async def check_books(database: Database) -> None:
    """The log is whole, everything has its events, and the ledger adds up."""
    events = await check_chain(database)
    versions: dict[tuple[AggregateType, UUID], list[int]] = defaultdict(list)
    for event in events:
        versions[event.aggregate_type, event.aggregate_id].append(event.version)
    orders = await _all(database, OrderRow, Order)
    positions = await _all(database, PositionRow, Position)
    portfolios = await _all(database, PortfolioRow, Portfolio)
    for kind, things in (
        (AggregateType.ORDER, orders),
        (AggregateType.POSITION, positions),
        (AggregateType.PORTFOLIO, portfolios),
    ):
        found = {key: steps for (of, key), steps in versions.items() if of is kind}
        assert found == {each.id: list(range(1, each.version + 1)) for each in things}
    fills = await _all(database, FillRow, Fill)
    assert {(fill.order_id, fill.order_version) for fill in fills} == {
        (event.aggregate_id, event.version) for event in events if event.type is EventType.ORDER_EXECUTED
    }
    _check_fills(orders, fills)
    _check_ledger(portfolios, await _all(database, TransactionRow, Transaction), fills)


def _check_fills(orders: list[Order], fills: list[Fill]) -> None:
    filled: dict[UUID, Decimal] = defaultdict(Decimal)
    for fill in fills:
        filled[fill.order_id] += fill.quantity
    assert {order.id: order.filled_quantity for order in orders if order.filled_quantity} == filled


def _check_ledger(portfolios: list[Portfolio], rows: list[Transaction], fills: list[Fill]) -> None:
    for portfolio in portfolios:
        mine = sorted((row for row in rows if row.portfolio_id == portfolio.id), key=lambda row: row.number)
        assert [row.number for row in mine] == list(range(1, portfolio.ledger_size + 1))
        balance = Decimal(0)
        for row in mine:
            balance += row.amount
            assert row.balance_after == balance
        assert portfolio.cash == balance
    for kind in (TransactionKind.TRADE, TransactionKind.COMMISSION):
        booked = [row.fill_id for row in rows if row.kind is kind]
        assert len(booked) == len(set(booked))
        assert set(booked) == {fill.id for fill in fills}


async def check_orders(database: Database, portfolio_id: str, acknowledged: Mapping[str, str]) -> None:
    """The portfolio has exactly the orders that were acknowledged, by their keys."""
    mine = [order for order in await _all(database, OrderRow, Order) if order.portfolio_id == _key(portfolio_id)]
    expected = {key: _key(order_id) for key, order_id in acknowledged.items()}
    assert {order.client_order_id: order.id for order in mine} == expected
    assert len(mine) == len(expected)


async def check_deposits(database: Database, portfolio_id: str, acknowledged: Mapping[str, str]) -> None:
    """The portfolio has exactly the deposits that were acknowledged, by their keys."""
    chosen = select(TRANSACTIONS.c.idempotency_key, TRANSACTIONS.c.amount).where(
        TRANSACTIONS.c.portfolio_id == _key(portfolio_id), TRANSACTIONS.c.idempotency_key.is_not(None)
    )
    async with database.read() as connection:
        rows = (await connection.execute(chosen)).all()
    assert {row[0]: row[1] for row in rows} == {key: Decimal(amount) for key, amount in acknowledged.items()}
    assert len(rows) == len(acknowledged)


def positions_of(events: list[RecordedEvent]) -> list[RecordedEvent]:
    """The events of positions."""
    return [event for event in events if event.aggregate_type is AggregateType.POSITION]


def _key(given: str) -> UUID:
    parsed = parsed_id(given)
    assert parsed is not None
    assert isinstance(parsed[1], UUID)
    return parsed[1]


async def _all(database: Database, row: Any, kind: Any) -> list[Any]:
    async with database.read() as connection:
        return await read_all(connection, kind, select(*columns(row, kind)))
