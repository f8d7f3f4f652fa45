"""What a portfolio's limits measure, inside the transaction that holds it."""

from datetime import datetime
from decimal import Decimal

from infrastructure.database import Transaction as UnitOfWork
from models.portfolios import Portfolio
from models.risk import RiskLimit
from models.standing import Standing, measured
from models.valuation import market_values
from resolvers.orders import store


async def figures(tx: UnitOfWork, portfolio: Portfolio, now: datetime) -> list[tuple[RiskLimit, Decimal | None]]:
    """The limits of a locked portfolio, each with what it measures by the database; none where that can't be said."""
    book = await store.with_losses(tx, await store.book(tx, portfolio, []), now)
    book = await store.with_year(tx, book, [], now)
    worths = market_values(book.positions.values(), book.quotes)
    standing = Standing(worths, book.equity(), len(book.working), book.losses, book.year)
    return [(limit, measured(kind, standing)) for kind, limit in sorted(book.limits.items())]
