"""What is stored and shown of a portfolio, beside what the oracle says."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, select

from infrastructure.database import Database
from infrastructure.rows import columns, read_all, table
from models.orders import Fill, FillRow, Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow, Transaction, TransactionRow
from models.positions import Position, PositionRow, day_of
from models.valuation import buying_power, value
from resolvers.context import Context
from resolvers.events.history import PortfolioSnapshot
from resolvers.portfolios.loaders import Worth, latest
from resolvers.portfolios.queries import worth
from tests.stateful.accounts import Account, half_even
from tests.stateful.oracle import Oracle


@dataclass
class Stored:
    """Everything of one portfolio, in the order that it came about."""

    portfolio: Portfolio
    orders: list[Order]
    fills: list[Fill]
    positions: list[Position]
    ledger: list[Transaction]


def _all(row: Any, kind: Any, key: str, *order: str) -> tuple[Any, Select[Any], ColumnElement[UUID]]:
    own = table(row).c
    return kind, select(*columns(row, kind)).order_by(*(own[name] for name in order)), own[key]


PORTFOLIOS = _all(PortfolioRow, Portfolio, "id")
ORDERS = _all(OrderRow, Order, "portfolio_id", "placed_at")
FILLS = _all(FillRow, Fill, "portfolio_id", "executed_at", "order_version")
POSITIONS = _all(PositionRow, Position, "portfolio_id", "opened_at")
LEDGER = _all(TransactionRow, Transaction, "portfolio_id", "number")


async def read_stored(database: Database, portfolio_ids: Sequence[UUID]) -> dict[UUID, Stored]:
    """All of these portfolios, from the tables."""
    async with database.read() as connection:
        found = [
            await read_all(connection, kind, statement.where(condition.in_(portfolio_ids)))
            for kind, statement, condition in (PORTFOLIOS, ORDERS, FILLS, POSITIONS, LEDGER)
        ]
    mine = [[[each for each in rows if each.portfolio_id == key] for rows in found[1:]] for key in portfolio_ids]
    whole = {portfolio.id: portfolio for portfolio in found[0]}
    return {key: Stored(whole[key], *parts) for key, parts in zip(portfolio_ids, mine, strict=True)}


def exactly(value: Decimal | None) -> Fraction | None:
    """The number as the oracle has it."""
    return None if value is None else Fraction(value)


def check_money(stored: Stored, account: Account) -> None:
    """Cash, what is held back, what was realised, and a ledger that counts from 1 and adds up."""
    portfolio, ledger = stored.portfolio, stored.ledger
    assert exactly(portfolio.cash) == account.cash
    assert exactly(portfolio.reserved_cash) == account.reserved
    assert exactly(portfolio.realized_pnl) == account.realized
    assert [(row.kind.value, exactly(row.amount)) for row in ledger] == account.ledger
    assert [row.number for row in ledger] == list(range(1, portfolio.ledger_size + 1))
    balance = Fraction(0)
    for row in ledger:
        balance += Fraction(row.amount)
        assert exactly(row.balance_after) == balance
    assert balance == account.cash
    assert portfolio.trading_state.value == account.state
    assert portfolio.resume_after == account.resume_after


def check_orders(stored: Stored, account: Account) -> None:
    """Every order's state, and each of its fills."""
    assert [order.client_order_id for order in stored.orders] == [ticket.key for ticket in account.tickets]
    for order, ticket in zip(stored.orders, account.tickets, strict=True):
        filled = ticket.wish.quantity - ticket.left
        assert (order.status.value, order.version, order.cancel_reason, order.closed_at) == (
            ticket.status,
            ticket.version,
            ticket.cancel_reason,
            ticket.ended_at,
        )
        assert (order.triggered_at, order.ranked_at, order.expire_at) == (
            ticket.triggered_at,
            ticket.ranked_at,
            ticket.expires,
        )
        assert [exactly(each) for each in (order.limit_price, order.stop_price, order.high_water_mark)] == [
            ticket.wish.limit,
            ticket.stop,
            ticket.mark,
        ]
        assert (order.reject_reason is not None) is (ticket.status == "REJECTED")
        assert (exactly(order.quantity), exactly(order.filled_quantity)) == (ticket.wish.quantity, filled)
        assert exactly(order.average_fill_price) == (half_even(ticket.worth / filled) if filled else None)
        assert (exactly(order.reserved_cash), exactly(order.filled_notional)) == (ticket.reserved, ticket.worth)
        fills = [fill for fill in stored.fills if fill.order_id == order.id]
        assert [(exactly(f.quantity), exactly(f.price), f.order_version) for f in fills] == ticket.fills
        assert sum(Fraction(fill.commission) for fill in fills) == exactly(order.commission)
        assert exactly(order.commission) == ticket.worth / 1000


def check_positions(stored: Stored, account: Account) -> None:
    """Every cycle, open and closed."""
    stored_cycles = [
        (
            each.symbol,
            exactly(each.quantity),
            exactly(each.average_price),
            exactly(each.realized_pnl),
            each.side.value,
            each.opened_at,
            each.closed_at,
            each.version,
        )
        for each in stored.positions
    ]
    cycles = [
        (c.symbol, c.quantity, c.average, c.realized, c.side, c.opened_at, c.closed_at, c.version)
        for c in account.cycles
    ]
    assert sorted(stored_cycles, key=repr) == sorted(cycles, key=repr)


async def asked_worth(ctx: Context, stored: Stored) -> Worth:
    """What the owner is told."""
    ctx.renew()
    shown = await worth(ctx, stored.portfolio.id)
    assert shown is not None
    return shown


def worked_out(ctx: Context, stored: Stored) -> Worth:
    """The same from what was read already."""
    held = [each for each in stored.positions if each.closed_at is None or each.closed_at >= day_of(ctx.now)]
    stale_after = timedelta(milliseconds=ctx.services.settings.quote_stale_after_ms)
    quotes = latest(ctx, held)
    valuation = value(stored.portfolio, held, quotes, ctx.now, stale_after)
    return Worth(stored.portfolio, held, valuation, buying_power(stored.portfolio, held, quotes))


def check_shown(shown: Worth, oracle: Oracle, account: Account, now: datetime) -> None:
    """The buying power and the valuation."""
    valuation = shown.valuation
    held = [cycle for cycle in account.cycles if cycle.quantity]
    assert exactly(shown.buying_power) == oracle.buying_power(account)
    assert exactly(valuation.cash) == account.cash
    assert exactly(valuation.total_value) == oracle.total_value(account)
    assert exactly(valuation.realized_pnl) == account.realized
    gains = [cycle.quantity * (oracle.last(cycle.symbol) - cycle.average) for cycle in held]
    assert exactly(valuation.unrealized_pnl) == sum(gains, Fraction(0))
    assert exactly(valuation.day_pnl) == oracle.day_pnl(account, now)
    assert valuation.unpriced == ()
    ages = [now - oracle.prices[cycle.symbol].at for cycle in held]
    assert valuation.stale is any(age.total_seconds() > 5 for age in ages)


@dataclass(frozen=True)
class Then:
    """An account as it was at a moment."""

    cash: Fraction
    realized: Fraction
    held: Sequence[tuple[object, ...]]


def then_of(account: Account) -> Then:
    """As it is now."""
    held = [(c.symbol, c.quantity, c.average, c.realized, c.opened_at, c.version) for c in account.cycles if c.quantity]
    return Then(account.cash, account.realized, sorted(held, key=repr))


def check_past(shown: PortfolioSnapshot, then: Then) -> None:
    """What is told of a moment is what was so."""
    assert (exactly(shown.cash), exactly(shown.book.realized_pnl)) == (then.cash, then.realized)
    held = [
        (c.symbol, exactly(c.quantity), exactly(c.average_price), exactly(c.realized_pnl), c.opened_at, c.version)
        for c in shown.positions
    ]
    assert sorted(held, key=repr) == then.held
