"""Anything by its id."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any
from uuid import UUID

import strawberry

from graph.base import Id, Info, Node, parsed_id, resolved
from graph.weights import PAGE_MAX, at_most
from models.errors import BadRequest
from models.orders import Fill
from resolvers.accounts.keys import api_key
from resolvers.accounts.queries import user_by_id
from resolvers.alerts.market_alerts import market_alert
from resolvers.alerts.queries import notification
from resolvers.context import Context
from resolvers.events.queries import event
from resolvers.marketdata.queries import instrument
from resolvers.orders.queries import fills_by_id, order
from resolvers.portfolios.queries import portfolio, transaction
from resolvers.positions.queries import position
from resolvers.risk.queries import risk_alert, risk_limit


def _fill(ctx: Context, key: UUID) -> Awaitable[Fill | None]:
    return ctx.load_own(fills_by_id, key)


FINDERS: dict[str, Callable[[Context, Any], Awaitable[object]]] = {
    "User": user_by_id,
    "ApiKey": api_key,
    "Portfolio": portfolio,
    "Position": position,
    "Order": order,
    "Fill": _fill,
    "RiskLimit": risk_limit,
    "Transaction": transaction,
    "Notification": notification,
    "RiskAlert": risk_alert,
    "MarketAlert": market_alert,
    "Instrument": instrument,
    "Event": event,
}
"""For each type of node, how the caller's own is found; what is someone else's is None like what there is not."""


def found(ctx: Context, given: str, argument: str) -> Awaitable[object]:
    """What has this id, if the caller may see it; raises `BadRequest` for what is no id."""
    parsed = parsed_id(given)
    if parsed is None or parsed[0] not in FINDERS:
        raise BadRequest(f"`{argument}` is no id.", argument)
    return FINDERS[parsed[0]](ctx, parsed[1])


Ids = Annotated[list[strawberry.ID], strawberry.argument(description="The ids, as many as a page may have.")]


def _node(info: Info, given: Id) -> Awaitable[object]:
    return found(info.context, given, "id")


async def _nodes(info: Info, ids: Ids) -> list[object]:
    most = info.context.services.settings.page_size_max
    if len(ids) > most:
        raise BadRequest(f"`ids` has {len(ids)}: it may have {most} at most.", "ids")
    # One that is no id, or can't be read, is an error of its own: the others are there.
    return await asyncio.gather(*[_each(info.context, given) for given in ids], return_exceptions=True)


async def _each(ctx: Context, given: str) -> object:
    return await found(ctx, given, "ids")


@strawberry.type
class NodeQueries:
    """What can be asked by id alone."""

    node: Node | None = resolved(_node, "Anything by its id; null for what there is not, or is someone else's.")
    nodes: list[Node | None] = resolved(
        _nodes,
        "Many by their ids, in their order; null for what there is not, or is someone else's.",
        None,
        at_most(PAGE_MAX, "ids"),
    )
