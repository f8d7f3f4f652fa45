"""Orders and fills on the wire."""

from collections.abc import Awaitable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import strawberry

import models.orders as domain
from graph.base import (
    After,
    Before,
    Connection,
    CountedConnection,
    First,
    Id,
    Info,
    Last,
    Node,
    identified,
    later,
    local_id,
    page_args,
    paged,
    resolved,
    stands_for,
)
from graph.belonging import instrument_of, portfolio_of
from graph.marketdata import Instrument
from models.enums import OrderDirection, OrderOrderField, OrderSide, OrderStatus, OrderType, TimeInForce
from models.events import RecordedEvent
from resolvers.events.queries import events_of_order
from resolvers.orders import queries
from resolvers.paging import Page

# ---------------------------------------------------------------- fills


def _order_of(parent: strawberry.Parent[domain.Fill], info: Info) -> Awaitable[domain.Order | None]:
    return queries.order(info.context, parent.order_id)


@strawberry.type(description="One execution of a part of an order, or of all of it.")
class Fill(Node):
    """Shows `models.orders.Fill`."""

    is_type_of = stands_for(domain.Fill)

    id: strawberry.ID = identified("Fill")
    order: Any = resolved(_order_of, "The order, as it is now.", later("orders", "Order"))
    quantity: Decimal = strawberry.field(description="How much was traded.")
    price: Decimal = strawberry.field(description="What a unit was traded for.")
    commission: Decimal = strawberry.field(description="What it cost on top, in the base currency.")
    executed_at: datetime = strawberry.field(description="When.")


@strawberry.type(description="A page of fills.")
class FillConnection(Connection[Fill]):
    """In the order that the field says."""


# ---------------------------------------------------------------- orders


def _fills(
    parent: strawberry.Parent[domain.Order],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Awaitable[Page[domain.Fill]]:
    return queries.fills_of_order(info.context, parent, page_args(first, after, last, before))


def _events(
    parent: strawberry.Parent[domain.Order],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
) -> Awaitable[Page[RecordedEvent]]:
    return events_of_order(info.context, parent, page_args(first, after, last, before))


@strawberry.type(description="An order as it stands at one `version`.")
class Order(Node):
    """Shows `models.orders.Order`."""

    is_type_of = stands_for(domain.Order)

    id: strawberry.ID = identified("Order")
    client_order_id: str = strawberry.field(
        description="The caller's own key: the same key with the same input is the same order, whatever the retries."
    )
    portfolio: Any = resolved(portfolio_of, "The portfolio that it trades for.", later("portfolios", "Portfolio"))
    instrument: Instrument = resolved(instrument_of, "What it trades.")
    side: OrderSide = strawberry.field(description="Which way it trades.")
    type: OrderType = strawberry.field(description="How it names its price.")
    time_in_force: TimeInForce = strawberry.field(description="How long it works.")
    quantity: Decimal = strawberry.field(description="How much was asked for.")
    filled_quantity: Decimal = strawberry.field(description="How much of it is filled.")
    remaining_quantity: Decimal = strawberry.field(description="How much of it is not.")
    limit_price: Decimal | None = strawberry.field(description="The worst price that it takes; null: any.")
    stop_price: Decimal | None = strawberry.field(
        description="The last price that takes it to the market; of a TRAILING_STOP: where it stands now."
    )
    trail_amount: Decimal | None = strawberry.field(description="How far its stop stays behind the best price.")
    trail_percent: Decimal | None = strawberry.field(description="The same as a percentage of that price (5 is 5%).")
    average_fill_price: Decimal | None = strawberry.field(description="What a unit was traded for on average.")
    status: OrderStatus = strawberry.field(description="Where it is in its life.")
    commission: Decimal = strawberry.field(description="What its fills cost on top, in the base currency.")
    reject_reason: str | None = strawberry.field(description="Why it was rejected, if it was.")
    cancel_reason: str | None = strawberry.field(description="Why it was cancelled, if it was.")
    triggered_at: datetime | None = strawberry.field(description="When its stop price was reached, if it has one.")
    closed_at: datetime | None = strawberry.field(description="When it ended; null while it works.")
    expire_at: datetime | None = strawberry.field(description="When its time in force ends; null if it does not.")
    version: int = strawberry.field(description="Grows by one with each change.")
    placed_at: datetime = strawberry.field(description="When it was accepted.")
    updated_at: datetime = strawberry.field(description="When it changed last.")
    fills: FillConnection = paged(_fills, "Its fills, oldest first.")
    events: Any = paged(_events, "What happened to it, oldest first.", later("events", "EventConnection"))


@strawberry.type(description="A page of orders.")
class OrderConnection(CountedConnection[Order]):
    """In the order that was asked for."""


# ---------------------------------------------------------------- questions


@strawberry.input(description="Which orders: every field that is given has to match.")
class OrderFilter:
    """Becomes an `OrderChoice`."""

    portfolio_id: strawberry.ID | None = strawberry.field(default=None, description="Of this portfolio.")
    symbol: str | None = strawberry.field(default=None, description="Of the instrument with this symbol.")
    statuses: list[OrderStatus] | None = strawberry.field(default=None, description="In one of these states.")
    side: OrderSide | None = strawberry.field(default=None, description="On this side.")
    placed_from: datetime | None = strawberry.field(default=None, description="Not accepted before this.")
    placed_to: datetime | None = strawberry.field(default=None, description="Not accepted after this.")

    @property
    def choice(self) -> queries.OrderChoice:
        """For the query; raises `BadRequest` for what can't be asked."""
        portfolio_id = self.portfolio_id
        return queries.OrderChoice(
            portfolio_id=None if portfolio_id is None else local_id(portfolio_id, "Portfolio", "portfolioId"),
            symbol=self.symbol,
            statuses=None if self.statuses is None else tuple(sorted(set(self.statuses))),
            side=self.side,
            placed_from=self.placed_from,
            placed_to=self.placed_to,
        )


@strawberry.input(description="In what order orders come.")
class OrderOrder:
    """Becomes an `OrderSorting`."""

    field: OrderOrderField = strawberry.field(description="What they are sorted by.")
    direction: OrderDirection = strawberry.field(description="Which end comes first.")


ChosenOrders = Annotated[
    OrderFilter | None, strawberry.argument(name="filter", description="Which orders; all if not given.")
]


Sorting = Annotated[
    OrderOrder | None, strawberry.argument(name="orderBy", description="In what order; the newest first if not given.")
]


def sorting(given: OrderOrder | None) -> queries.OrderSorting:
    """What an order asks for."""
    if given is None:
        return queries.NEWEST_FIRST
    return queries.OrderSorting(given.field, given.direction)


def chosen(given: OrderFilter | None) -> queries.OrderChoice:
    """What a filter chooses; without one everything."""
    return queries.OrderChoice() if given is None else given.choice


def _order(info: Info, given: Id) -> Awaitable[domain.Order | None]:
    return queries.order(info.context, local_id(given, "Order", "id"))


def _orders(
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: ChosenOrders = None,
    order_by: Sorting = None,
) -> Awaitable[Page[domain.Order]]:
    args = page_args(first, after, last, before)
    return queries.orders_of_owner(info.context, info.context.owner_id, args, chosen(given), sorting(order_by))


def _orders_of_user(
    parent: strawberry.Parent[Any],
    info: Info,
    first: First = None,
    after: After = None,
    last: Last = None,
    before: Before = None,
    given: ChosenOrders = None,
    order_by: Sorting = None,
) -> Awaitable[Page[domain.Order]]:
    args = page_args(first, after, last, before)
    return queries.orders_of_owner(info.context, parent.id, args, chosen(given), sorting(order_by))


@strawberry.type
class UserOrders:
    """What a user has of orders."""

    orders: OrderConnection = paged(
        _orders_of_user,
        "Their orders; newest first if not asked otherwise. Only their own to see: for an ADMIN who looks at another "
        "user, empty.",
    )


@strawberry.type
class OrderQueries:
    """What can be asked of orders."""

    order: Order | None = resolved(_order, "An order of the caller's; null for any other.")
    orders: OrderConnection = paged(_orders, "The caller's orders; newest first if not asked otherwise.")
