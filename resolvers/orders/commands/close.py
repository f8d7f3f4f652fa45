"""Closing a position: the order against it, for the whole or a part."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import select

from infrastructure.database import Transaction as UnitOfWork
from infrastructure.rows import columns, read_one
from models.enums import ApiScope, OrderSide, OrderType
from models.errors import Refused, invalid, missing, refuse_if
from models.money import text
from models.orders import Order
from models.positions import Position, PositionRow
from resolvers.context import Context
from resolvers.orders.commands.place import place_in, placed_before
from resolvers.orders.inputs import PlaceOrder, order_faults
from resolvers.portfolios.store import lock
from resolvers.positions.store import POSITIONS
from resolvers.requests import Done, request_hash
from resolvers.scopes import needs


@needs(ApiScope.TRADE)
async def close_position(
    ctx: Context, position_id: UUID, quantity: Decimal | None = None, client_order_id: str | None = None
) -> Done[Order]:
    """Place a market order that closes an open position of the viewer's, or `quantity` of it.

    With a key it is placed once: asked again, also when the position is closed, it answers with the same order.
    """
    async with ctx.services.database.write() as tx:
        portfolio_id = select(POSITIONS.c.portfolio_id).where(POSITIONS.c.id == position_id).scalar_subquery()
        portfolio = await lock(tx, portfolio_id, ctx.owner_id)
        position = await _position(tx, position_id) if portfolio else None
        if portfolio is None or position is None:
            raise missing("position", "positionId")
        body = request_hash(position_id=position_id, quantity=quantity)
        if standing := await placed_before(tx, portfolio.id, client_order_id, body):
            return Done(standing, ctx.position)
        request = _against(position, quantity, client_order_id)
        placed = await place_in(tx, ctx, portfolio, request, body)
    return Done(placed.order, tx.position if placed.new else ctx.position)


def _against(position: Position, quantity: Decimal | None, client_order_id: str | None) -> PlaceOrder:
    held = abs(position.quantity)
    if not held:
        raise Refused(invalid("The position is closed.", "positionId"))
    request = PlaceOrder(
        portfolio_id=position.portfolio_id,
        symbol=position.symbol,
        side=OrderSide.SELL if position.quantity > 0 else OrderSide.BUY,
        type=OrderType.MARKET,
        quantity=held if quantity is None else quantity,
        client_order_id=client_order_id,
    )
    faults = order_faults(request)
    if request.quantity > held:
        faults.append(invalid(f"`quantity` is {text(request.quantity)}: {text(held)} is held.", "quantity"))
    refuse_if(faults)
    return request


async def _position(tx: UnitOfWork, position_id: UUID) -> Position | None:
    statement = select(*columns(PositionRow, Position)).where(POSITIONS.c.id == position_id)
    return await read_one(tx.connection, Position, statement)
