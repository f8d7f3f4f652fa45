"""The past of portfolios as far as figures look at it: ledger, fills and daily closes, many portfolios at a time."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.candle_store import daily_closes
from infrastructure.rows import table
from models.enums import OrderSide, RiskLimitKind, TransactionKind
from models.equity import LOSSES, Closes, Entry, Figure, Past, begins, lost
from models.money import ZERO
from models.orders import FillRow
from models.portfolios import Portfolio
from resolvers.portfolios.store import TRANSACTIONS

FILLS = table(FillRow)


@dataclass(frozen=True, slots=True)
class Measured:
    """A portfolio whose losses are asked for: what it holds and is worth now, and the kinds of limits."""

    portfolio: Portfolio
    held: Mapping[str, Decimal]
    equity: Decimal | None
    kinds: frozenset[RiskLimitKind]


async def losses(
    connection: AsyncConnection, asked: Collection[Measured], now: datetime
) -> dict[UUID, dict[RiskLimitKind, Figure]]:
    """What limits on losses measure, by portfolio: only for those that have such kinds, in two statements for all."""
    since = {
        each.portfolio.id: min(begins(kind, each.portfolio.created_at, now) for kind in kinds)
        for each in asked
        if (kinds := each.kinds & {*LOSSES})
    }
    if not since:
        return {}
    entries = await _entries(connection, [each.portfolio for each in asked if each.portfolio.id in since], since)
    symbols = {symbol for each in asked if each.portfolio.id in since for symbol in each.held}
    symbols |= {entry.symbol for found in entries.values() for entry in found if entry.symbol is not None}
    closes = Closes(await daily_closes(connection, symbols, min(since.values()), now))
    found: dict[UUID, dict[RiskLimitKind, Figure]] = {}
    for each in asked:
        past = Past(each.portfolio.cash, each.held, entries.get(each.portfolio.id, []), closes)
        found[each.portfolio.id] = {
            kind: lost(kind, past, each.portfolio.created_at, now, each.equity) for kind in each.kinds & {*LOSSES}
        }
    return found


async def _entries(
    connection: AsyncConnection, portfolios: Iterable[Portfolio], since: Mapping[UUID, datetime]
) -> dict[UUID, list[Entry]]:
    """The ledgers since then, up to where the portfolios are: what was booked later is not in their cash."""
    sizes = {portfolio.id: portfolio.ledger_size for portfolio in portfolios}
    ledger, of_trade = TRANSACTIONS.c, TRANSACTIONS.c.kind == TransactionKind.TRADE
    statement = (
        select(ledger.portfolio_id, ledger.number, ledger.occurred_at, ledger.kind, ledger.amount)
        .add_columns(FILLS.c.symbol, FILLS.c.side, FILLS.c.quantity)
        .select_from(TRANSACTIONS.outerjoin(FILLS, and_(FILLS.c.id == ledger.fill_id, of_trade)))
        .where(or_(*(_later(key, moment) for key, moment in since.items())))
    )
    found: dict[UUID, list[Entry]] = {key: [] for key in sizes}
    for portfolio_id, number, at, kind, amount, symbol, side, quantity in await connection.execute(statement):
        if number <= sizes[portfolio_id]:
            change = ZERO if quantity is None else quantity if side is OrderSide.BUY else -quantity
            found[portfolio_id].append(Entry(at, kind, amount, symbol, change))
    return found


def _later(portfolio_id: UUID, moment: datetime) -> ColumnElement[bool]:
    """The portfolio's rows behind the last one from before that moment: found from the ledger's end, by its numbers."""
    ledger, earlier = TRANSACTIONS.c, TRANSACTIONS.alias("earlier").c
    last = (
        select(earlier.number)
        .where(earlier.portfolio_id == portfolio_id, earlier.occurred_at < moment)
        .order_by(earlier.number.desc())
        .limit(1)
        .scalar_subquery()
    )
    return and_(ledger.portfolio_id == portfolio_id, ledger.number > func.coalesce(last, 0))
