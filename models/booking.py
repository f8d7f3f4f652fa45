"""What one execution does to the books: a fill, the position that it nets into, and the cash that it moves."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from models import facts, ledger
from models.events import Event
from models.lifecycle import commission
from models.marketdata import Quote
from models.money import exact
from models.orders import Fill, Order
from models.portfolios import Portfolio, Transaction
from models.positions import Position, net
from models.valuation import mark, value


@dataclass(frozen=True, slots=True)
class Booked:
    """A portfolio after a fill, its new ledger rows, and the one or two positions that the fill made what they are.

    `held`: what was held before, with those positions in it, also one that the fill closed.
    """

    portfolio: Portfolio
    rows: list[Transaction]
    touched: Position | None
    opened: Position | None
    held: dict[str, Position]


@exact
def fill_of(order: Order, quantity: Decimal, price: Decimal, rate: Decimal, fill_id: UUID) -> Fill:
    """The execution that made the order what it is."""
    return Fill(
        id=fill_id,
        order_id=order.id,
        portfolio_id=order.portfolio_id,
        owner_id=order.owner_id,
        symbol=order.symbol,
        side=order.side,
        quantity=quantity,
        price=price,
        commission=commission(quantity * price, rate),
        order_version=order.version,
        executed_at=order.updated_at,
    )


@exact
def book(portfolio: Portfolio, held: Mapping[str, Position], fill: Fill, ids: tuple[UUID, UUID, UUID]) -> Booked:
    """Net a fill into the open positions of its portfolio, and pay for it."""
    position_id, *row_ids = ids
    netting = net(held.get(fill.symbol), fill, position_id)
    richer = portfolio.realized_pnl + netting.realized_pnl
    moved, rows = ledger.post(
        replace(portfolio, realized_pnl=richer, version=portfolio.version + 1),
        ledger.of_fill(fill, (row_ids[0], row_ids[1])),
        fill.executed_at,
    )
    changed = {each.symbol: each for each in (netting.touched, netting.opened) if each}
    return Booked(moved, rows, netting.touched, netting.opened, {**held, **changed})


def events_of(booked: Booked, fill: Fill, quotes: Mapping[str, Quote], stale_after: timedelta) -> list[Event]:
    """A fill's events but the order's own: each position with what it was worth just then, and the cash."""
    now = fill.executed_at
    worth = value(booked.portfolio, booked.held.values(), quotes, now, stale_after)
    changed = [position for position in (booked.touched, booked.opened) if position]
    seen = [mark(position, quotes.get(position.symbol), now, worth.total_value) for position in changed]
    told = [facts.of_position(position, each, fill) for position, each in zip(changed, seen, strict=True)]
    return [*told, facts.of_cash(booked.portfolio, booked.rows, None, now)]
