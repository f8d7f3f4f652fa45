"""What can be asked of portfolios."""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement

from infrastructure.statements import one_of
from models.enums import TransactionKind
from models.portfolios import Portfolio, TradingStatus, Transaction, TransactionRow, stricter
from models.positions import Position
from models.valuation import PositionMark, mark
from resolvers.caching import Kept
from resolvers.changes import PORTFOLIO
from resolvers.context import Context, made_of
from resolvers.paging import Listing, Page, PageArgs
from resolvers.portfolios.loaders import (
    PORTFOLIOS_OF_USER,
    Worth,
    market_statuses,
    portfolios_by_id,
    transactions_by_id,
    worth_by_portfolio,
)
from resolvers.portfolios.store import TRANSACTIONS, status_of


@dataclass(frozen=True, slots=True)
class TransactionChoice:
    """Which ledger rows: of these kinds, in this time (both ends included)."""

    kinds: tuple[TransactionKind, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


def _conditions(chosen: TransactionChoice) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if chosen.kinds is not None:
        found.append(one_of(TRANSACTIONS.c.kind, chosen.kinds))
    if chosen.since is not None:
        found.append(TRANSACTIONS.c.occurred_at >= chosen.since)
    if chosen.until is not None:
        found.append(TRANSACTIONS.c.occurred_at <= chosen.until)
    return found


LEDGER = Listing(
    TransactionRow,
    Transaction,
    ("number",),
    parent="portfolio_id",
    descending=True,
    conditions=_conditions,
    kept=Kept(PORTFOLIO),
)


def portfolio(ctx: Context, portfolio_id: UUID) -> Awaitable[Portfolio | None]:
    """A portfolio of the viewer's; none for anybody else's."""
    return ctx.load_own(portfolios_by_id, portfolio_id)


def portfolios_of(ctx: Context, user_id: UUID, args: PageArgs) -> Awaitable[Page[Portfolio]]:
    """A page of a user's portfolios, oldest first."""
    return PORTFOLIOS_OF_USER.page(ctx, args, None, user_id)


def transactions_of(
    ctx: Context, portfolio_id: UUID, args: PageArgs, chosen: TransactionChoice
) -> Awaitable[Page[Transaction]]:
    """A page of a portfolio's ledger, newest first."""
    return LEDGER.page(ctx, args, chosen, portfolio_id)


def transaction(ctx: Context, transaction_id: UUID) -> Awaitable[Transaction | None]:
    """A ledger row of the viewer's; none for anybody else's."""
    return ctx.load_own(transactions_by_id, transaction_id)


def worth(ctx: Context, portfolio_id: UUID) -> asyncio.Future[Worth | None]:
    """What a portfolio of the viewer's is worth at the latest prices."""
    return ctx.load(worth_by_portfolio, portfolio_id)


async def marks(ctx: Context, positions: Sequence[Position]) -> list[PositionMark]:
    """A loader's batch: positions at the latest prices, and their shares of their portfolios."""
    ids = list({each.portfolio_id for each in positions})
    worths = dict(zip(ids, await ctx.load_many(worth_by_portfolio, ids), strict=True))
    totals = {key: None if found is None else found.valuation.total_value for key, found in worths.items()}
    quotes, now = ctx.services.quotes, ctx.now
    return [mark(each, quotes.get(each.symbol), now, totals[each.portfolio_id]) for each in positions]


def marked(ctx: Context, position: Position) -> asyncio.Future[PositionMark]:
    """A position at the latest price, and its share of the portfolio."""
    return ctx.load(marks, position)


def market_status(ctx: Context) -> asyncio.Future[TradingStatus]:
    """What trading is let through for everybody."""
    return ctx.load(market_statuses, 0)


def trading_status(ctx: Context, portfolio: Portfolio) -> asyncio.Future[TradingStatus]:
    """What trading is let through in a portfolio: the stricter of its own state and the market's."""
    own = portfolio.trading_state

    def strictest(market: TradingStatus) -> TradingStatus:
        return status_of(portfolio) if stricter(own, market.state) is own else market

    return made_of(market_status(ctx), strictest)
