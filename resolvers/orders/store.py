"""Orders as commands read and write them, under the portfolio's lock."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select, update

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_all, read_one, saving, table, values
from models.book import Book
from models.enums import RiskLimitKind
from models.money import exact
from models.orders import Fill, FillRow, Order, OrderRow
from models.portfolios import Portfolio
from models.risk import RiskLimit, RiskLimitRow
from resolvers.marketdata.queries import quotes_in, year_in
from resolvers.portfolios import store as portfolios
from resolvers.portfolios.past import Measured, losses
from resolvers.positions.store import open_positions

FILLS, LIMITS = table(FillRow), table(RiskLimitRow)
ORDERS, IS_WORKING, working = portfolios.ORDERS, portfolios.IS_WORKING, portfolios.working


def portfolio_of(order_id: UUID) -> ColumnElement[UUID]:
    """The portfolio of an order, to lock it by."""
    return select(ORDERS.c.portfolio_id).where(ORDERS.c.id == order_id).scalar_subquery()


async def get(tx: UnitOfWork, order_id: UUID) -> Order | None:
    """An order as it stands, held until the transaction ends: trailing stops move without the portfolio's lock."""
    statement = select(*columns(OrderRow, Order)).where(ORDERS.c.id == order_id)
    return await read_one(tx.connection, Order, statement.with_for_update(key_share=True))


async def by_key(tx: UnitOfWork, portfolio_id: UUID, client_order_id: str) -> tuple[Order, str] | None:
    """The order that has this key, and the hash of the input that made it."""
    statement = select(*columns(OrderRow, Order), ORDERS.c.request_hash).where(
        ORDERS.c.portfolio_id == portfolio_id, ORDERS.c.client_order_id == client_order_id
    )
    row = (await tx.execute(statement)).one_or_none()
    if row is None:
        return None
    *fields, request_hash = tuple(row)
    return Order(*fields), request_hash


async def book(tx: UnitOfWork, portfolio: Portfolio, symbols: Iterable[str]) -> Book:
    """The locked portfolio as the checks need it, with quotes of what it holds, works and is asked for."""
    positions = await open_positions(tx, portfolio.id)
    orders = await working(tx, portfolio.id)
    limits_set = select(*columns(RiskLimitRow, RiskLimit)).where(LIMITS.c.portfolio_id == portfolio.id)
    limits = await read_all(tx.connection, RiskLimit, limits_set)
    market, _ = await portfolios.market_status(tx, hold=True)
    involved = {*symbols, *(each.symbol for each in positions), *(each.symbol for each in orders)}
    return Book(
        portfolio=portfolio,
        market=market,
        positions={each.symbol: each for each in positions},
        working=orders,
        limits={limit.kind: limit for limit in limits},
        quotes=await quotes_in(tx.connection, sorted(involved)),
    )


async def with_losses(tx: UnitOfWork, book: Book, now: datetime) -> Book:
    """The book with what its limits on losses measure; nothing is read where there is none."""
    held = {symbol: position.quantity for symbol, position in book.positions.items()}
    asked = Measured(book.portfolio, held, book.equity(), frozenset(book.limits))
    found = await losses(tx.connection, [asked], now)
    return replace(book, losses=found.get(book.portfolio.id, {}))


async def with_year(tx: UnitOfWork, book: Book, symbols: Iterable[str], now: datetime) -> Book:
    """The book with the past year's closes of what it holds, works and is asked for, where value at risk is limited."""
    if RiskLimitKind.MAX_VALUE_AT_RISK not in book.limits:
        return book
    involved = {*symbols, *book.positions, *(order.symbol for order in book.working)}
    return replace(book, year=await year_in(tx.connection, involved, now))


async def create(tx: UnitOfWork, portfolio: Portfolio, order: Order, request_hash: str) -> Portfolio:
    """Write a new order; the portfolio holds back what it needs."""
    await tx.execute(insert(ORDERS), {**values(order), "request_hash": request_hash})
    return await _hold(tx, portfolio, reserved(portfolio, None, order))


async def save(tx: UnitOfWork, order: Order) -> None:
    """Write a changed order back."""
    await tx.execute(saving(ORDERS, order))


async def change(tx: UnitOfWork, portfolio: Portfolio, before: Order, after: Order) -> Portfolio:
    """Write a changed order; the portfolio holds back what that changed."""
    await save(tx, after)
    return await _hold(tx, portfolio, reserved(portfolio, before, after))


async def add_fill(tx: UnitOfWork, fill: Fill) -> None:
    """Write a fill."""
    await tx.execute(insert(FILLS), values(fill))


@exact
def reserved(portfolio: Portfolio, before: Order | None, after: Order) -> Portfolio:
    """The portfolio with its reserved cash moved by what the order's reserve changed."""
    held = before.reserved_cash - after.reserved_cash if before else -after.reserved_cash
    return replace(portfolio, reserved_cash=portfolio.reserved_cash - held)


async def _hold(tx: UnitOfWork, before: Portfolio, after: Portfolio) -> Portfolio:
    if before.reserved_cash != after.reserved_cash:
        table_ = portfolios.PORTFOLIOS
        await tx.execute(update(table_).where(table_.c.id == after.id).values(reserved_cash=after.reserved_cash))
    return after
