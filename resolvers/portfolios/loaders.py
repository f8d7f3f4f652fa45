"""Portfolios and what they are worth, many at a time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import or_, select

from infrastructure.rows import columns
from models.marketdata import Quote
from models.portfolios import Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from models.positions import Position, PositionRow, day_of
from models.valuation import Valuation, buying_power, value
from resolvers.context import Context
from resolvers.loading import mine_by_id
from resolvers.paging import Listing
from resolvers.portfolios.store import MARKET
from resolvers.positions.store import POSITIONS


@dataclass(frozen=True, slots=True)
class Worth:
    """A portfolio's valuation and its buying power, both at the same prices."""

    portfolio: Portfolio
    valuation: Valuation
    buying_power: Decimal


portfolios_by_id = mine_by_id(PortfolioRow, Portfolio)
transactions_by_id = mine_by_id(TransactionRow, Transaction)


async def holdings_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[list[Position]]:
    """A loader's batch: the open positions of the viewer's portfolios, and those closed today."""
    statement = select(*columns(PositionRow, Position)).where(
        POSITIONS.c.portfolio_id.in_(ids),
        POSITIONS.c.owner_id == ctx.owner_id,
        or_(POSITIONS.c.closed_at.is_(None), POSITIONS.c.closed_at >= day_of(ctx.now)),
    )
    found: dict[UUID, list[Position]] = defaultdict(list)
    async with ctx.services.database.read() as connection:
        for row in await connection.execute(statement):
            found[row.portfolio_id].append(Position(*row))
    return [found[key] for key in ids]


async def worth_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[Worth | None]:
    """A loader's batch: what the viewer's portfolios are worth at the latest prices."""
    portfolios = await ctx.load_many(portfolios_by_id, ids)
    holdings = await ctx.load_many(holdings_by_portfolio, ids)
    stale_after, now = timedelta(milliseconds=ctx.services.settings.quote_stale_after_ms), ctx.now
    found: list[Worth | None] = []
    for portfolio, held in zip(portfolios, holdings, strict=True):
        if portfolio is None:
            found.append(None)
            continue
        quotes = latest(ctx, held)
        found.append(
            Worth(portfolio, value(portfolio, held, quotes, now, stale_after), buying_power(portfolio, held, quotes))
        )
    return found


def latest(ctx: Context, positions: Sequence[Position]) -> dict[str, Quote]:
    """The latest quotes of what is held."""
    quotes = ((position.symbol, ctx.services.quotes.get(position.symbol)) for position in positions)
    return {symbol: quote for symbol, quote in quotes if quote is not None}


async def market_statuses(ctx: Context, keys: Sequence[int]) -> list[TradingStatus]:
    """A loader's batch: what holds for everybody (there is one row, whatever the key)."""
    statement = select(MARKET.c.trading_state, MARKET.c.trading_reason, MARKET.c.trading_since, MARKET.c.resume_after)
    async with ctx.services.database.read() as connection:
        status = TradingStatus(*(await connection.execute(statement)).one())
    return [status for _ in keys]


PORTFOLIOS_OF_USER = Listing(PortfolioRow, Portfolio, ("created_at", "id"), parent="owner_id")
