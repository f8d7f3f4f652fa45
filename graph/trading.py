"""Placing, previewing and cancelling orders on the wire."""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

import strawberry

import models.orders as domain
from graph.base import Info, Input, command, input_id, resolved
from graph.errors import Payload, answering
from graph.orders import Order
from graph.risk import RiskCheck
from graph.weights import OPEN_ORDERS, at_most
from models.enums import OrderSide, OrderType, TimeInForce
from resolvers.events.queries import cursor_of
from resolvers.orders import commands, queries
from resolvers.orders.appraisal import Preview
from resolvers.orders.inputs import PlaceOrder
from resolvers.requests import Done


@strawberry.input(description="An order to place.")
class PlaceOrderInput:
    """Becomes a `PlaceOrder`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio to trade for.")
    symbol: str = strawberry.field(description="What to trade.")
    side: OrderSide = strawberry.field(description="Which way.")
    type: OrderType = strawberry.field(description="How the price is named.")
    quantity: Decimal = strawberry.field(description="How much: a multiple of the lot size, more than 0.")
    limit_price: Decimal | None = strawberry.field(
        default=None, description="The worst price to take, a multiple of the tick size; for LIMIT and STOP_LIMIT."
    )
    stop_price: Decimal | None = strawberry.field(
        default=None, description="The last price that takes it to the market; for STOP and STOP_LIMIT."
    )
    trail_amount: Decimal | None = strawberry.field(
        default=None, description="How far the stop stays behind the best price; for TRAILING_STOP."
    )
    trail_percent: Decimal | None = strawberry.field(
        default=None, description="The same as a percentage of that price (5 is 5%); for TRAILING_STOP, one of both."
    )
    time_in_force: TimeInForce | None = strawberry.field(
        default=None, description="How long it works; DAY if not given."
    )
    expire_at: datetime | None = strawberry.field(default=None, description="When it ends; for GTD, and only there.")
    client_order_id: str | None = strawberry.field(
        default=None,
        description="Your own key: the same key with the same input makes one order, whatever the retries.",
    )

    @property
    def request(self) -> PlaceOrder:
        """For the command; raises `Refused` for a wrong id."""
        return PlaceOrder(
            portfolio_id=input_id(self.portfolio_id, "Portfolio", "portfolioId"),
            symbol=self.symbol,
            side=self.side,
            type=self.type,
            quantity=self.quantity,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            trail_amount=self.trail_amount,
            trail_percent=self.trail_percent,
            time_in_force=self.time_in_force or TimeInForce.DAY,
            expire_at=self.expire_at,
            client_order_id=self.client_order_id,
        )


@strawberry.input(description="What to change of a working order; what is not given stays as it is.")
class ReplaceOrderInput:
    """Becomes a `ReplaceOrder`."""

    order_id: strawberry.ID = strawberry.field(description="The order.")
    expected_version: int | None = strawberry.field(
        default=None, description="Change it only if this is still its `version`: what you saw, not what came since."
    )
    quantity: Decimal | None = strawberry.field(default=None, description="How much in all, what is filled included.")
    limit_price: Decimal | None = strawberry.field(default=None, description="Another limit price.")
    stop_price: Decimal | None = strawberry.field(default=None, description="Another stop price.")
    trail_amount: Decimal | None = strawberry.field(default=None, description="Another distance of a trailing stop.")
    trail_percent: Decimal | None = strawberry.field(default=None, description="Another distance, as a percentage.")
    time_in_force: TimeInForce | None = strawberry.field(default=None, description="Another time in force.")
    expire_at: datetime | None = strawberry.field(default=None, description="Another end; for GTD.")

    @property
    def wish(self) -> commands.ReplaceOrder:
        """For the command; raises `Refused` for a wrong id."""
        return commands.ReplaceOrder(
            order_id=input_id(self.order_id, "Order", "orderId"),
            expected_version=self.expected_version,
            quantity=self.quantity,
            limit_price=self.limit_price,
            stop_price=self.stop_price,
            trail_amount=self.trail_amount,
            trail_percent=self.trail_percent,
            time_in_force=self.time_in_force,
            expire_at=self.expire_at,
        )


@strawberry.input(description="Whose working orders to cancel.")
class CancelAllOrdersInput:
    """For `cancelAllOrders`."""

    portfolio_id: strawberry.ID = strawberry.field(description="The portfolio.")
    symbol: str | None = strawberry.field(default=None, description="Only those of this instrument.")


@strawberry.input(description="A position to close.")
class ClosePositionInput:
    """For `closePosition`."""

    position_id: strawberry.ID = strawberry.field(description="The position.")
    quantity: Decimal | None = strawberry.field(default=None, description="How much of it; all of it if not given.")
    client_order_id: str | None = strawberry.field(
        default=None, description="Your own key of the order that closes it: asked again, it is not placed twice."
    )


@strawberry.input(description="An order to cancel.")
class CancelOrderInput:
    """For `cancelOrder`."""

    order_id: strawberry.ID = strawberry.field(description="The order.")
    reason: str | None = strawberry.field(default=None, description="Why, for people.")


@strawberry.type(description="What placing or cancelling an order answers with.")
class OrderPayload(Payload):
    """An order, or why not."""

    order: domain.Order | None = strawberry.field(
        graphql_type=Order | None, default=None, description="The order as it is now."
    )
    cursor: str | None = strawberry.field(default=None, description="Where the event log stood once this was done.")

    @classmethod
    def of(cls, info: Info, done: Done[domain.Order]) -> "OrderPayload":
        """What a command answered with."""
        return cls(order=done.value, cursor=cursor_of(info.context, done.position))


@strawberry.type(description="What many orders were changed into.")
class OrdersPayload(Payload):
    """Orders, or why not."""

    orders: list[domain.Order] = strawberry.field(
        graphql_type=list[Order],
        default_factory=list,
        description="The orders as they are now.",
        directives=[at_most(OPEN_ORDERS)],
    )
    cursor: str | None = strawberry.field(default=None, description="Where the event log stood once this was done.")


# ---------------------------------------------------------------- previews


def _estimated(name: str, description: str) -> Any:
    """A field of the estimate in a `Preview`."""

    def resolve(parent: strawberry.Parent[Preview]) -> Any:
        return getattr(parent.estimate, name)

    return resolved(resolve, description)


@strawberry.type(description="What an order would do if it were filled whole now.")
class OrderPreview:
    """Shows a `Preview`."""

    estimated_price: Decimal | None = _estimated("price", "What a unit would be traded for.")
    estimated_notional: Decimal | None = _estimated("notional", "Price times quantity.")
    estimated_commission: Decimal | None = _estimated("commission", "What it would cost on top.")
    cash_after: Decimal | None = _estimated("cash_after", "The cash there would be.")
    buying_power_after: Decimal | None = _estimated("buying_power_after", "The buying power there would be.")
    position_after: Decimal = _estimated("position_after", "The position there would be; negative when short.")
    checks: Sequence[Any] = strawberry.field(
        graphql_type=list[RiskCheck], description="Every check with what it saw, not only the first that failed."
    )
    largest_acceptable_quantity: Decimal | None = strawberry.field(
        description="The most of this order that every check would let through."
    )
    accepted: bool = strawberry.field(description="Whether every check would let all of it through.")


@strawberry.type(description="What previewing an order answers with.")
class OrderPreviewPayload(Payload):
    """A preview, or why not."""

    preview: Preview | None = strawberry.field(
        graphql_type=OrderPreview | None, default=None, description="What it would do."
    )


@answering(OrderPreviewPayload)
async def _preview(info: Info, asked: Input[PlaceOrderInput]) -> OrderPreviewPayload:
    return OrderPreviewPayload(preview=await queries.preview_order(info.context, asked.request))


@answering(OrderPayload)
async def _place(info: Info, asked: Input[PlaceOrderInput]) -> OrderPayload:
    return OrderPayload.of(info, await commands.place_order(info.context, asked.request))


@answering(OrderPayload)
async def _cancel(info: Info, asked: Input[CancelOrderInput]) -> OrderPayload:
    order_id = input_id(asked.order_id, "Order", "orderId")
    return OrderPayload.of(info, await commands.cancel_order(info.context, order_id, asked.reason))


@answering(OrderPayload)
async def _replace(info: Info, asked: Input[ReplaceOrderInput]) -> OrderPayload:
    return OrderPayload.of(info, await commands.replace_order(info.context, asked.wish))


@answering(OrderPayload)
async def _close(info: Info, asked: Input[ClosePositionInput]) -> OrderPayload:
    position_id = input_id(asked.position_id, "Position", "positionId")
    done = await commands.close_position(info.context, position_id, asked.quantity, asked.client_order_id)
    return OrderPayload.of(info, done)


@answering(OrdersPayload)
async def _cancel_all(info: Info, asked: Input[CancelAllOrdersInput]) -> OrdersPayload:
    portfolio_id = input_id(asked.portfolio_id, "Portfolio", "portfolioId")
    done = await commands.cancel_all_orders(info.context, portfolio_id, asked.symbol)
    return OrdersPayload(orders=done.value, cursor=cursor_of(info.context, done.position))


@strawberry.type
class TradingQueries:
    """What can be asked before trading."""

    preview_order: OrderPreviewPayload = resolved(
        _preview, "What an order would do, without placing it: cost, margin, risk checks."
    )


@strawberry.type
class TradingMutations:
    """What can be done with orders."""

    place_order: OrderPayload = command(_place, "Place an order. A refusal writes nothing and uses up no key.")
    cancel_order: OrderPayload = command(_cancel, "Cancel a working order; what is filled stays filled.")
    replace_order: OrderPayload = command(
        _replace, "Change a working order in place: it keeps its id, and is checked as if it were new."
    )
    cancel_all_orders: OrdersPayload = command(_cancel_all, "Cancel every working order of a portfolio, or none.")
    close_position: OrderPayload = command(_close, "Place the market order that closes a position, or a part of it.")
