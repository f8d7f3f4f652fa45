"""Portfolios and what they are worth, many at a time."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from sqlalchemy import and_, bindparam, or_, select

from infrastructure.cache import Kind
from infrastructure.rows import columns
from infrastructure.statements import Among, Statement
from models.enums import AggregateType
from models.facts import MARKET_ID
from models.marketdata import Quote
from models.portfolios import Portfolio, PortfolioRow, TradingStatus, Transaction, TransactionRow
from models.positions import Position, PositionRow, day_of
from models.valuation import Valuation, buying_power, value
from resolvers.caching import TTL_S, Kept, cached
from resolvers.changes import OWNER, PORTFOLIO
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


@dataclass(frozen=True, slots=True)
class Held:
    """A portfolio and its positions: the open ones, and those closed on the day that was asked for."""

    portfolio: Portfolio
    positions: tuple[Position, ...]


_PORTFOLIO, _POSITION = columns(PortfolioRow, Portfolio), columns(PositionRow, Position)
_THEN = or_(POSITIONS.c.closed_at.is_(None), POSITIONS.c.closed_at >= bindparam("since"))
_HELD = Statement(
    select(*_PORTFOLIO, *_POSITION)
    .select_from(PORTFOLIOS.outerjoin(POSITIONS, and_(POSITIONS.c.portfolio_id == PORTFOLIOS.c.id, _THEN)))
    .where(Among(PORTFOLIOS.c.id, "ids"), PORTFOLIOS.c.owner_id == bindparam("owner"))
)
_STATUS = Statement(
    select(MARKET.c.trading_state, MARKET.c.trading_reason, MARKET.c.trading_since, MARKET.c.resume_after)
)

portfolios_by_id = mine_by_id(PortfolioRow, Portfolio, PORTFOLIO)
transactions_by_id = mine_by_id(TransactionRow, Transaction)


async def worth_by_portfolio(ctx: Context, ids: Sequence[UUID]) -> list[Worth | None]:
    """A loader's batch: what the viewer's portfolios are worth at the latest prices."""
    today = day_of(ctx.now)
    found = await held_by_portfolio(ctx, [(key, today) for key in ids])
    return [None if held is None else _worth(ctx, held) for held in found]


@cached(Kind("holdings of a portfolio", Held | None, TTL_S, lambda _owner, key: [(PORTFOLIO, key[0])]))
async def held_by_portfolio(ctx: Context, keys: Sequence[tuple[UUID, datetime]]) -> list[Held | None]:
    """A loader's batch: the viewer's portfolios with what they hold, and held on that UTC day.

    Portfolio and positions are read in one statement: a fill that came between two would make up a figure.
    """
    ids, days = zip(*keys, strict=True)
    portfolios: dict[UUID, Portfolio] = {}
    holdings: dict[UUID, list[Position]] = defaultdict(list)
    for row in await ctx.rows(_HELD, ids=ids, owner=ctx.owner_id, since=min(days)):
        if row[0] not in portfolios:
            portfolios[row[0]] = Portfolio(*row[: len(_PORTFOLIO)])
        if row[len(_PORTFOLIO)] is not None:
            holdings[row[0]].append(Position(*row[len(_PORTFOLIO) :]))
    return [Held(mine, tuple(holdings[key])) if (mine := portfolios.get(key)) else None for key in ids]


def _worth(ctx: Context, found: Held) -> Worth:
    portfolio, held = found.portfolio, found.positions
    stale_after, quotes = timedelta(milliseconds=ctx.services.settings.quote_stale_after_ms), latest(ctx, held)
    valued = value(portfolio, held, quotes, ctx.now, stale_after)
    return Worth(portfolio, held, valued, buying_power(portfolio, held, quotes))


def latest(ctx: Context, positions: Sequence[Position]) -> dict[str, Quote]:
    """The latest quotes of what is held."""
    quotes = ((position.symbol, ctx.services.quotes.get(position.symbol)) for position in positions)
    return {symbol: quote for symbol, quote in quotes if quote is not None}


@cached(
    Kind("market status", TradingStatus, TTL_S, lambda _owner, _key: [(AggregateType.MARKET, MARKET_ID)], shared=True)
)
async def market_statuses(ctx: Context, keys: Sequence[int]) -> list[TradingStatus]:
    """A loader's batch: what holds for everybody (there is one row, whatever the key)."""
    (row,) = await ctx.rows(_STATUS)
    status = TradingStatus(*row)
    return [status for _ in keys]


PORTFOLIOS_OF_USER = Listing(PortfolioRow, Portfolio, ("created_at", "id"), parent="owner_id", kept=Kept(OWNER))
