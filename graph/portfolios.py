"""Portfolios, what they are worth and their ledger on the wire."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

import models.portfolios as domain
from graph.base import (
    After,
    Before,
    Connection,
    First,
    Id,
    Info,
    Input,
    Last,
    Node,
    command,
    following,
    identified,
    input_id,
    later,
    list_of,
    local_id,
    page_args,
    paged,
    resolved,
    stands_for,
)
from graph.belonging import owner_of
from graph.errors import Payload, answering
from graph.marketdata import EveryMs, Instrument
from graph.orders import ChosenOrders, FillConnection, OrderConnection, Sorting, chosen, sorting
from graph.portfolio_risk import PortfolioRisk
from graph.positions import ChosenPositions, PositionConnection, PositionFilter
from graph.weights import HELD, at_most
from models.accounts import User
from models.allocations import ALLOCATIONS_MAX, TargetAllocation
from models.enums import TransactionKind
from models.marketdata import Instrument as Listed
from models.orders import Fill, Order
from models.positions import Position
from resolvers.context import made_of
from resolvers.events.history import PortfolioSnapshot, history
from resolvers.events.queries import cursor_of
from resolvers.marketdata.queries import instrument
from resolvers.orders.queries import fills_by_id, fills_of_portfolio, orders_of_portfolio
from resolvers.paging import Page
from resolvers.portfolios import commands, queries, streams
from resolvers.portfolios.allocations import target_allocations
from resolvers.portfolios.loaders import Worth
from resolvers.positions.queries import positions_of
from resolvers.requests import Done

# ---------------------------------------------------------------- the ledger


def _fill(parent: strawberry.Parent[domain.Transaction], info: Info) -> Awaitable[Fill | None] | None:
    return None if parent.fill_id is None else info.context.load(fills_by_id, parent.fill_id)


@strawberry.type(description="One row of a portfolio's ledger, which is only ever added to.")
class Transaction(Node):
    """Shows `models.portfolios.Transaction`."""

    is_type_of = stands_for(domain.Transaction)

    id: strawberry.ID = identified("Transaction")
    kind: TransactionKind = strawberry.field(description="Why cash moved.")
    amount: Decimal = strawberry.field(description="How much, in the base currency; negative when it went out.")
    balance_after: Decimal = strawberry.field(description="The cash after it: the sum of all amounts up to it.")
    description: str = strawberry.field(description="The same for people.")
    fill: Any = resolved(_fill, "The fill that moved it, if one did.", later("orders", "Fill") | None)
    occurred_at: datetime = strawberry.field(description="When it moved.")


@strawberry.type(description="A page of a ledger.")
class TransactionConnection(Connection[Transaction]):
    """Newest first."""


@strawberry.input(description="Which ledger rows: every field that is given has to match.")
class TransactionFilter:
    """Becomes a `TransactionChoice`."""

    kinds: list[TransactionKind] | None = strawberry.field(default=None, description="One of these kinds.")
    from_: datetime | None = strawberry.field(name="from", default=None, description="Not before this.")
    to: datetime | None = strawberry.field(default=None, description="Not after this.")

    @property
    def choice(self) -> queries.TransactionChoice:
        """For the query."""
        kinds = None if self.kinds is None else tuple(sorted(set(self.kinds)))
        return queries.TransactionChoice(kinds, self.from_, self.to)


# ---------------------------------------------------------------- what it is worth


def _valued(name: str, description: str) -> Any:
    """A field of the valuation in a `Worth`."""

    def resolve(parent: strawberry.Parent[Worth]) -> Any:
        return getattr(parent.valuation, name)

    return resolved(resolve, description)


def _unpriced(parent: strawberry.Parent[Worth], info: Info) -> Awaitable[list[Listed | None]]:
    return asyncio.gather(*(instrument(info.context, symbol) for symbol in parent.valuation.unpriced))


@strawberry.type(description="What a portfolio is worth. Null where a price is missing: never made up.")
class Valuation:
    """Shows a `Worth`, or what `history` answers with."""

    portfolio: domain.Portfolio = strawberry.field(
        graphql_type=later("portfolios", "Portfolio"),
        description="The portfolio, as it is valued; of a past moment's valuation: as it is now.",
    )
    as_of: datetime = _valued("as_of", "When.")
    cash: Decimal = _valued("cash", "The cash.")
    market_value: Decimal | None = _valued("market_value", "Its positions at the last prices; short ones negative.")
    total_value: Decimal | None = _valued("total_value", "Cash and positions.")
    unrealized_pnl: Decimal | None = _valued("unrealized_pnl", "Profit or loss of what is held, commissions apart.")
    realized_pnl: Decimal = _valued("realized_pnl", "Profit or loss of what was closed, commissions apart.")
    day_pnl: Decimal | None = _valued("day_pnl", "Profit or loss since the UTC day began, commissions apart.")
    stale: bool = _valued("stale", "Whether a price behind it is older than the feed promises.")
    unpriced: list[Instrument] = resolved(_unpriced, "What has no price at all.", None, at_most(HELD))


# ---------------------------------------------------------------- the portfolio

Filter = Annotated[
    TransactionFilter | None, strawberry.argument(name="filter", description="Which rows; all if not given.")
]


At = Annotated[
    datetime, strawberry.argument(description="When: from the moment that the portfolio was made up to now.")
]


def _valuation(parent: strawberry.Parent[domain.Portfolio], info: Info) -> Awaitable[Worth | None]:
    return queries.worth(info.context, parent.id)


def _buying_power(parent: strawberry.Parent[domain.Portfolio], info: Info) -> Awaitable[Decimal | None]:
    worth = queries.worth(info.context, parent.id)
    return made_of(worth, lambda worth: None if worth is None else worth.buying_power)


def _positions(
    parent: strawberry.Parent[domain.Portfolio],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: ChosenPositions = None,
) -> Awaitable[Page[Position]]:
    choice = (given or PositionFilter()).choice
    return positions_of(info.context, parent.id, page_args(first, after, last, before), choice)


def _orders(
    parent: strawberry.Parent[domain.Portfolio],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: ChosenOrders = None,
    order_by: Sorting = None,
) -> Awaitable[Page[Order]]:
    args = page_args(first, after, last, before)
    return orders_of_portfolio(info.context, parent.id, args, chosen(given), sorting(order_by))


def _fills(
    parent: strawberry.Parent[domain.Portfolio],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Awaitable[Page[Fill]]:
    return fills_of_portfolio(info.context, parent.id, page_args(first, after, last, before))


def _transactions(
    parent: strawberry.Parent[domain.Portfolio],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: Filter = None,
) -> Awaitable[Page[domain.Transaction]]:
    choice = (given or TransactionFilter()).choice
    return queries.transactions_of(info.context, parent.id, page_args(first, after, last, before), choice)


def _history(parent: strawberry.Parent[domain.Portfolio], info: Info, at: At) -> Awaitable[PortfolioSnapshot]:
    return history(info.context, parent, at)


def _target_allocations(
    parent: strawberry.Parent[domain.Portfolio], info: Info
) -> Awaitable[Sequence[TargetAllocation]]:
    return target_allocations(info.context, parent.id)


def _trading_status(parent: strawberry.Parent[domain.Portfolio], info: Info) -> Awaitable[domain.TradingStatus]:
    return queries.trading_status(info.context, parent)


@strawberry.type(description="Cash and positions that are traded and measured together.")
class Portfolio(PortfolioRisk, Node):
    """Shows `models.portfolios.Portfolio`."""

    is_type_of = stands_for(domain.Portfolio)

    id: strawberry.ID = identified("Portfolio")
    name: str = strawberry.field(description="What its owner calls it.")
    base_currency: str = strawberry.field(description="What its cash is in (ISO 4217).")
    owner: User = resolved(owner_of, "Whose it is.", later("accounts", "User"))
    created_at: datetime = strawberry.field(description="When it was made.")
    cash: Decimal = strawberry.field(description="The balance of its ledger.")
    reserved_cash: Decimal = strawberry.field(description="Held back for open orders.")
    buying_power: Decimal = resolved(
        _buying_power, "`cash` less `reservedCash` less one and a half times the market value of short positions."
    )
    valuation: Valuation = resolved(_valuation, "What it is worth at the latest prices.")
    history: Any = resolved(
        _history,
        "Cash and positions as they stood at that time, rebuilt from the event log.",
        later("history", "PortfolioSnapshot"),
    )
    positions: PositionConnection = paged(_positions, "Its positions, oldest first.")
    orders: OrderConnection = paged(_orders, "Its orders, newest first.")
    fills: FillConnection = paged(_fills, "Its fills, newest first.")
    transactions: TransactionConnection = paged(_transactions, "Its ledger, newest first.")
    target_allocations: list[TargetAllocation] = resolved(
        _target_allocations,
        "What it is meant to hold, the largest share first; empty where nothing was set.",
        list_of(later("allocations", "TargetAllocation")),
        at_most(ALLOCATIONS_MAX),
    )
    trading_status: domain.TradingStatus = resolved(
        _trading_status,
        "What trading is let through: the stricter of its own status and everybody's.",
        later("risk", "TradingStatus"),
    )


@strawberry.type(description="A page of portfolios.")
class PortfolioConnection(Connection[Portfolio]):
    """Oldest first."""


def _portfolios_of_user(
    parent: strawberry.Parent[Any],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Awaitable[Page[domain.Portfolio]]:
    return queries.portfolios_of(info.context, parent.id, page_args(first, after, last, before))


@strawberry.type
class UserPortfolios:
    """What a user has of portfolios."""

    portfolios: PortfolioConnection = paged(
        _portfolios_of_user,
        "Their portfolios, oldest first. Only their own to see: for an ADMIN who looks at another user, empty.",
    )


# ---------------------------------------------------------------- inputs and payloads


@strawberry.input(description="A new portfolio.")
class CreatePortfolioInput:
    """For `createPortfolio`."""

    name: str = strawberry.field(description="What to call it.")
    base_currency: str | None = strawberry.field(default=None, description="USD, which it is if not given.")
    initial_cash: Decimal | None = strawberry.field(default=None, description="Its first deposit; none if not given.")


@strawberry.input(description="What of a portfolio to change.")
class UpdatePortfolioInput:
    """For `updatePortfolio`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    name: str | None = strawberry.field(default=None, description="What to call it; unchanged if not given.")


@strawberry.input(description="Cash to pay in or out.")
class CashInput:
    """For `depositCash` and `withdrawCash`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    amount: Decimal = strawberry.field(description="How much, in its base currency; more than 0.")
    idempotency_key: str | None = strawberry.field(
        default=None, description="Your own key: the same key moves the cash once, whatever the retries."
    )


@strawberry.type(description="What changing a portfolio answers with.")
class PortfolioPayload(Payload):
    """A portfolio, or why not."""

    portfolio: domain.Portfolio | None = strawberry.field(
        graphql_type=Portfolio | None, default=None, description="The portfolio as it is now."
    )
    cursor: str | None = strawberry.field(default=None, description="Where the event log stood once this was done.")

    @classmethod
    def of(cls, info: Info, done: Done[domain.Portfolio]) -> "PortfolioPayload":
        """What a command answered with."""
        return cls(portfolio=done.value, cursor=cursor_of(info.context, done.position))


@answering(PortfolioPayload)
async def _create(info: Info, asked: Input[CreatePortfolioInput]) -> PortfolioPayload:
    done = await commands.create_portfolio(info.context, asked.name, asked.base_currency, asked.initial_cash)
    return PortfolioPayload.of(info, done)


@answering(PortfolioPayload)
async def _update(info: Info, asked: Input[UpdatePortfolioInput]) -> PortfolioPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    return PortfolioPayload.of(info, await commands.update_portfolio(info.context, portfolio_id, asked.name))


@answering(PortfolioPayload)
async def _deposit(info: Info, asked: Input[CashInput]) -> PortfolioPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.deposit_cash(info.context, portfolio_id, asked.amount, asked.idempotency_key)
    return PortfolioPayload.of(info, done)


@answering(PortfolioPayload)
async def _withdraw(info: Info, asked: Input[CashInput]) -> PortfolioPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.withdraw_cash(info.context, portfolio_id, asked.amount, asked.idempotency_key)
    return PortfolioPayload.of(info, done)


def _portfolio(info: Info, given: Id) -> Awaitable[domain.Portfolio | None]:
    return queries.portfolio(info.context, local_id(given, "Portfolio", "id"))


@strawberry.type
class PortfolioQueries:
    """What can be asked of portfolios."""

    portfolio: Portfolio | None = resolved(_portfolio, "A portfolio of the caller's; null for any other.")


@strawberry.type
class PortfolioMutations:
    """What can be done with portfolios."""

    create_portfolio: PortfolioPayload = command(_create, "Make a portfolio.")
    update_portfolio: PortfolioPayload = command(_update, "Rename a portfolio.")
    deposit_cash: PortfolioPayload = command(_deposit, "Pay cash into a portfolio.")
    withdraw_cash: PortfolioPayload = command(_withdraw, "Pay cash out, as far as the buying power goes.")


OfPortfolio = Annotated[strawberry.ID, strawberry.argument(description="The portfolio.")]


def _follow_valuations(info: Info, portfolio_id: OfPortfolio, every_ms: EveryMs = None) -> AsyncIterator[Worth]:
    return streams.valuations(info.context, local_id(portfolio_id, "Portfolio", "portfolioId"), every_ms)


@strawberry.type
class PortfolioSubscriptions:
    """What can be followed of portfolios."""

    valuations: Valuation = following(
        _follow_valuations, "The portfolio's worth, at most once every `everyMs`, and only when it changed.", Valuation
    )
