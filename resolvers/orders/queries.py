"""What can be asked of orders and fills."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select

from infrastructure.rows import columns, read_all
from infrastructure.services import Services
from infrastructure.statements import one_of
from models.enums import AggregateType, OrderDirection, OrderOrderField, OrderSide, OrderStatus, OrderType
from models.errors import refuse_if
from models.facts import OrderAsOf
from models.orders import WORKING, Fill, FillRow, Order, OrderRow
from resolvers.caching import Kept
from resolvers.changes import OWNER, PORTFOLIO
from resolvers.context import Context
from resolvers.loading import mine_by_id
from resolvers.orders.appraisal import Preview, appraise, preview_of
from resolvers.orders.inputs import PlaceOrder, order_faults
from resolvers.orders.store import FILLS, IS_WORKING, ORDERS
from resolvers.paging import Listing, Page, PageArgs
from resolvers.portfolios.store import locked


@dataclass(frozen=True, slots=True)
class OrderChoice:
    """Which orders: every field that is given has to match; times include both ends."""

    portfolio_id: UUID | None = None
    symbol: str | None = None
    statuses: tuple[OrderStatus, ...] | None = None
    side: OrderSide | None = None
    placed_from: datetime | None = None
    placed_to: datetime | None = None
    only_working: bool = False
    """Whether none but such as can still change are asked for; said by `_indexed`."""


def _indexed(chosen: OrderChoice) -> OrderChoice:
    if chosen.statuses is None:
        return chosen
    statuses = set(chosen.statuses)
    return replace(chosen, statuses=tuple(sorted(statuses)), only_working=statuses <= set(WORKING))


def _conditions(chosen: OrderChoice) -> Sequence[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (ORDERS.c.portfolio_id, chosen.portfolio_id),
        (ORDERS.c.symbol, chosen.symbol),
        (ORDERS.c.side, chosen.side),
    ):
        if value is not None:
            found.append(column == value)
    if chosen.statuses is not None:
        found.append(one_of(ORDERS.c.status, chosen.statuses, sought=False))
    if chosen.only_working:
        # It says nothing more, but what works has an index of its own, which is small.
        found.append(IS_WORKING)
    if chosen.placed_from is not None:
        found.append(ORDERS.c.placed_at >= chosen.placed_from)
    if chosen.placed_to is not None:
        found.append(ORDERS.c.placed_at <= chosen.placed_to)
    return found


def _only_events_change(order: Order) -> bool:
    """A trailing stop that waits follows the market, and no event says so."""
    return order.type is not OrderType.TRAILING_STOP or order.status is not OrderStatus.PENDING


@dataclass(frozen=True, slots=True)
class FillChoice:
    """Which fills of an order: those up to one of its versions."""

    version_max: int | None = None


def _fill_conditions(chosen: FillChoice) -> Sequence[ColumnElement[bool]]:
    return [] if chosen.version_max is None else [FILLS.c.order_version <= chosen.version_max]


@dataclass(frozen=True, slots=True)
class OrderSorting:
    """In what order: by when they were accepted or changed last."""

    by: OrderOrderField = OrderOrderField.PLACED_AT
    direction: OrderDirection = OrderDirection.DESC


def _sorted_listings(parent: str, changed_by: str) -> dict[OrderSorting, Listing[Order]]:
    return {
        OrderSorting(by, direction): Listing(
            OrderRow,
            Order,
            (by.lower(), "id"),
            parent=parent,
            descending=direction is OrderDirection.DESC,
            conditions=_conditions,
            kept=Kept(changed_by, keep=_only_events_change),
        )
        for by in OrderOrderField
        for direction in OrderDirection
    }


ORDERS_OF_OWNER, ORDERS_OF_PORTFOLIO = _sorted_listings("owner_id", OWNER), _sorted_listings("portfolio_id", PORTFOLIO)
NEWEST_FIRST = OrderSorting()
FILLS_OF_ORDER = Listing(
    FillRow, Fill, ("executed_at", "id"), parent="order_id", conditions=_fill_conditions, kept=Kept(AggregateType.ORDER)
)
orders_by_id = mine_by_id(OrderRow, Order, AggregateType.ORDER, keep=_only_events_change)
fills_by_id = mine_by_id(FillRow, Fill)

FILLS_OF_PORTFOLIO = Listing(
    FillRow, Fill, ("executed_at", "id"), parent="portfolio_id", descending=True, kept=Kept(PORTFOLIO)
)


async def every_working_order(services: Services) -> list[Order]:
    """Everybody's working orders, oldest first: for the broker."""
    statement = select(*columns(OrderRow, Order)).where(IS_WORKING).order_by(ORDERS.c.placed_at, ORDERS.c.id)
    async with services.database.read() as connection:
        return await read_all(connection, Order, statement)


def order(ctx: Context, order_id: UUID) -> Awaitable[Order | None]:
    """An order of the viewer's; none for anybody else's."""
    return ctx.load_own(orders_by_id, order_id)


def orders_of_owner(
    ctx: Context, owner_id: UUID, args: PageArgs, chosen: OrderChoice, sorting: OrderSorting = NEWEST_FIRST
) -> Awaitable[Page[Order]]:
    """A page of a user's orders."""
    return ORDERS_OF_OWNER[sorting].page(ctx, args, _indexed(chosen), owner_id)


def orders_of_portfolio(
    ctx: Context, portfolio_id: UUID, args: PageArgs, chosen: OrderChoice, sorting: OrderSorting = NEWEST_FIRST
) -> Awaitable[Page[Order]]:
    """A page of a portfolio's orders."""
    return ORDERS_OF_PORTFOLIO[sorting].page(ctx, args, _indexed(chosen), portfolio_id)


def fills_of_order(ctx: Context, parent: Order, args: PageArgs) -> Awaitable[Page[Fill]]:
    """A page of an order's fills, oldest first; of an order as of an event, those up to then."""
    version_max = parent.version if isinstance(parent, OrderAsOf) else None
    return FILLS_OF_ORDER.page(ctx, args, FillChoice(version_max), parent.id)


def fills_of_portfolio(ctx: Context, portfolio_id: UUID, args: PageArgs) -> Awaitable[Page[Fill]]:
    """A page of a portfolio's fills, newest first."""
    return FILLS_OF_PORTFOLIO.page(ctx, args, None, portfolio_id)


async def preview_order(ctx: Context, request: PlaceOrder) -> Preview:
    """What an order would do, without placing it: looked at under the same lock and by the same code as placing it."""
    ctx.signed_in()
    refuse_if(order_faults(request))
    async with ctx.services.database.write() as tx:
        portfolio = await locked(tx, ctx, request.portfolio_id)
        return preview_of(await appraise(tx, portfolio, request, ctx.services), ctx.services.settings)
