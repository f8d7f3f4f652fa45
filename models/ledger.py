"""The cash ledger: the only way a portfolio's cash moves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from models.enums import OrderSide, TransactionKind
from models.money import ZERO, exact, text
from models.orders import Fill
from models.portfolios import Portfolio, Transaction


@dataclass(frozen=True, slots=True)
class Movement:
    """An amount to be booked; negative when paid out."""

    id: UUID
    kind: TransactionKind
    amount: Decimal
    description: str
    fill_id: UUID | None = None


@exact
def post(portfolio: Portfolio, movements: Sequence[Movement], now: datetime) -> tuple[Portfolio, list[Transaction]]:
    """The portfolio after the movements, and the ledger rows that say so; movements of nothing leave no row."""
    booked: list[Transaction] = []
    cash, number = portfolio.cash, portfolio.ledger_size
    for movement in movements:
        if movement.amount == ZERO:
            continue
        cash, number = cash + movement.amount, number + 1
        booked.append(
            Transaction(
                id=movement.id,
                portfolio_id=portfolio.id,
                owner_id=portfolio.owner_id,
                number=number,
                kind=movement.kind,
                amount=movement.amount,
                balance_after=cash,
                description=movement.description,
                fill_id=movement.fill_id,
                occurred_at=now,
            )
        )
    return replace(portfolio, cash=cash, ledger_size=number), booked


@exact
def of_fill(fill: Fill, ids: tuple[UUID, UUID]) -> list[Movement]:
    """What a fill pays or brings in, and its commission apart."""
    bought = fill.side is OrderSide.BUY
    notional = fill.quantity * fill.price
    what = f"{'Bought' if bought else 'Sold'} {text(fill.quantity)} {fill.symbol} at {text(fill.price)}"
    return [
        Movement(ids[0], TransactionKind.TRADE, -notional if bought else notional, what, fill.id),
        Movement(ids[1], TransactionKind.COMMISSION, -fill.commission, f"Commission: {what}", fill.id),
    ]
