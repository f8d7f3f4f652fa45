"""Portfolios as commands read and write them: locked first, then changed."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from sqlalchemy import ColumnElement, insert, select

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_all, read_one, saving, table, values
from models.errors import missing
from models.orders import Order, OrderRow
from models.portfolios import MarketStateRow, Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from resolvers.context import Context

PORTFOLIOS, TRANSACTIONS, MARKET = table(PortfolioRow), table(TransactionRow), table(MarketStateRow)
ORDERS = table(OrderRow)
# Said like the condition of the index: bound words for the states would not let it be used.
IS_WORKING: ColumnElement[bool] = ORDERS.c.closed_at.is_(None)


async def working(tx: UnitOfWork, portfolio_id: UUID) -> list[Order]:
    """A portfolio's orders that can still change, oldest first."""
    statement = select(*columns(OrderRow, Order)).where(ORDERS.c.portfolio_id == portfolio_id, IS_WORKING)
    return await read_all(tx.connection, Order, statement.order_by(ORDERS.c.placed_at, ORDERS.c.id))


async def lock(tx: UnitOfWork, portfolio_id: UUID | ColumnElement[UUID], owner_id: UUID | None) -> Portfolio | None:
    """The portfolio, held until the transaction ends; none if it is not there or not the owner's.

    An `owner_id` of none is the system's own access. The lock lets foreign keys to the row be written meanwhile.
    """
    statement = select(*columns(PortfolioRow, Portfolio)).where(PORTFOLIOS.c.id == portfolio_id)
    if owner_id is not None:
        statement = statement.where(PORTFOLIOS.c.owner_id == owner_id)
    return await read_one(tx.connection, Portfolio, statement.with_for_update(key_share=True))


async def locked(tx: UnitOfWork, ctx: Context, portfolio_id: UUID) -> Portfolio:
    """The viewer's portfolio, held until the transaction ends; refused as missing if it is anybody else's."""
    portfolio = await lock(tx, portfolio_id, ctx.owner_id)
    if portfolio is None:
        raise missing("portfolio", "portfolioId")
    return portfolio


async def create(tx: UnitOfWork, portfolio: Portfolio) -> None:
    """Write a new one."""
    await tx.execute(insert(PORTFOLIOS), values(portfolio))


async def save(tx: UnitOfWork, portfolio: Portfolio) -> None:
    """Write a locked one back."""
    await tx.execute(saving(PORTFOLIOS, portfolio))


async def book(
    tx: UnitOfWork, booked: Sequence[Transaction], key: str | None = None, request_hash: str | None = None
) -> None:
    """Append ledger rows; the key belongs to the first."""
    rows = [{**values(row), "idempotency_key": None, "request_hash": None} for row in booked]
    if rows:
        rows[0] |= {"idempotency_key": key, "request_hash": request_hash}
        await tx.execute(insert(TRANSACTIONS), rows)


async def market_status(tx: UnitOfWork, *, lock: bool = False, hold: bool = False) -> tuple[TradingStatus, int]:
    """What holds for everybody, and its version.

    Until the transaction ends nobody else changes it with `lock` or `hold`; many may `hold` it at once.
    """
    status = (MARKET.c.trading_state, MARKET.c.trading_reason, MARKET.c.trading_since, MARKET.c.resume_after)
    statement = select(*status, MARKET.c.version)
    if lock or hold:
        statement = statement.with_for_update(read=not lock)
    row = (await tx.execute(statement)).one()
    *fields, version = tuple(row)
    return TradingStatus(*fields), version


def status_of(portfolio: Portfolio) -> TradingStatus:
    """The portfolio's own, whatever the market's is."""
    return TradingStatus(
        portfolio.trading_state, portfolio.trading_reason, portfolio.trading_since, portfolio.resume_after
    )


def with_status(portfolio: Portfolio, status: TradingStatus) -> Portfolio:
    """The portfolio in that trading state, one version on."""
    return replace(
        portfolio,
        trading_state=status.state,
        trading_reason=status.reason,
        trading_since=status.since,
        resume_after=status.resume_after,
        version=portfolio.version + 1,
    )
