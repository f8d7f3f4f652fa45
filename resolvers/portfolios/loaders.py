"""Portfolios and what they are worth, many at a time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import and_, or_, select

from infrastructure.rows import columns
from models.marketdata import Quote
from models.portfolios import Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from models.positions import Position, PositionRow, day_of
from models.valuation import Valuation, buying_power, value
from resolvers.context import Context
from resolvers.loading import mine_by_id
from resolvers.paging import Listing
from resolvers.portfolios.store import MARKET, PORTFOLIOS
from resolvers.positions.store import POSITIONS


@dataclass(frozen=True, slots=True)
class Worth:
    """A portfolio's valuation and its buying power, both at the same moment and prices.

    `holdings`: its open positions, and those closed in the same UTC day.
    """

    portfolio: Portfolio
    holdings: Sequence[Position]
    valuation: Valuation
    buying_power: Decimal


_PORTFOLIO, _POSITION = columns(PortfolioRow, Portfolio), columns(PositionRow, Position)

portfolios_by_id = mine_by_id(PortfolioRow, Portfolio)
transactions_by_id = mine_by_id(TransactionRow, Transaction)


async def worth_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[Worth | None]:
    """A loader's batch: what the viewer's portfolios are worth at the latest prices.

    Portfolio and positions are read in one statement: a fill that came between two would make up a figure.
    """
    held = and_(
        POSITIONS.c.portfolio_id == PORTFOLIOS.c.id,
        or_(POSITIONS.c.closed_at.is_(None), POSITIONS.c.closed_at >= day_of(ctx.now)),
    )
    statement = (
        select(*_PORTFOLIO, *_POSITION)
        .select_from(PORTFOLIOS.outerjoin(POSITIONS, held))
        .where(PORTFOLIOS.c.id.in_(ids), PORTFOLIOS.c.owner_id == ctx.owner_id)
    )
    portfolios: dict[UUID, Portfolio] = {}
    holdings: dict[UUID, list[Position]] = defaultdict(list)
    async with ctx.services.database.read() as connection:
        for row in (await connection.execute(statement)).all():
            fields = tuple(row)
            portfolio = Portfolio(*fields[: len(_PORTFOLIO)])
            portfolios[portfolio.id] = portfolio
            if fields[len(_PORTFOLIO)] is not None:
                holdings[portfolio.id].append(Position(*fields[len(_PORTFOLIO) :]))
    found: list[Worth | None] = []
    for key in ids:
        mine, positions = portfolios.get(key), holdings[key]
        found.append(None if mine is None else _worth(ctx, mine, positions))
    return found


def _worth(ctx: Context, portfolio: Portfolio, held: list[Position]) -> Worth:
    stale_after, quotes = timedelta(milliseconds=ctx.services.settings.quote_stale_after_ms), latest(ctx, held)
    valued = value(portfolio, held, quotes, ctx.now, stale_after)
    return Worth(portfolio, held, valued, buying_power(portfolio, held, quotes))


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
