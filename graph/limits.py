"""The caller's budget on the wire."""

from collections.abc import Awaitable
from datetime import datetime

import strawberry

from graph.base import Info, resolved
from resolvers import budgets as domain


@strawberry.type(description="How much of the caller's budget is left. What things cost: `@cost`, `@listSize`.")
class RateLimitStatus:
    """Shows a `resolvers.budgets.RateLimitStatus`."""

    limit: int = strawberry.field(description="The points that may be spent at once.")
    remaining: int = strawberry.field(description="The points that are left, this operation paid for.")
    used: int = strawberry.field(description="`limit` less `remaining`.")
    restore_rate: float = strawberry.field(description="The points that come back each second.")
    reset_at: datetime = strawberry.field(description="When all of it is back, if nothing more is spent.")


def _rate_limit(info: Info) -> Awaitable[domain.RateLimitStatus]:
    return domain.rate_limit(info.context)


@strawberry.type
class LimitQueries:
    """What can be asked of limits."""

    rate_limit: domain.RateLimitStatus = resolved(
        _rate_limit, "The caller's query-cost budget as it stands.", RateLimitStatus
    )
