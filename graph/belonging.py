"""Resolvers that many types share: what their objects belong to."""

from collections.abc import Awaitable
from typing import Any

import strawberry

from graph.base import Info
from models.accounts import User
from models.marketdata import Instrument
from models.portfolios import Portfolio
from resolvers.accounts.queries import user_by_id
from resolvers.marketdata.queries import instrument
from resolvers.portfolios.queries import portfolio


def instrument_of(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Instrument | None]:
    """The instrument of what has a `symbol`."""
    return instrument(info.context, parent.symbol)


def portfolio_of(parent: strawberry.Parent[Any], info: Info) -> Awaitable[Portfolio | None]:
    """The portfolio of what has a `portfolio_id`."""
    return portfolio(info.context, parent.portfolio_id)


def owner_of(parent: strawberry.Parent[Any], info: Info) -> Awaitable[User | None]:
    """The user of what has an `owner_id`."""
    return user_by_id(info.context, parent.owner_id)
