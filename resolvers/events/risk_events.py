"""What happens to risk, resumable like every stream of events."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from models.enums import EventType
from models.errors import BadRequest
from models.events import EventFilter
from models.facts import alert_of, status_of
from models.portfolios import TradingStatus
from models.risk_alerts import RiskAlert
from resolvers.context import Context
from resolvers.events.queries import cursor_of
from resolvers.events.streams import followed, place_behind
from resolvers.portfolios.queries import portfolio

OF_ALERTS = frozenset({EventType.RISK_LIMIT_BREACHED, EventType.RISK_ALERT_ACKNOWLEDGED})
OF_TRADING = frozenset({EventType.TRADING_PAUSED, EventType.TRADING_RESUMED})


@dataclass(frozen=True, slots=True)
class RiskEvent:
    """An alert as it was after the event, or what trading was let through from then on."""

    cursor: str
    previous_cursor: str | None
    type: EventType
    occurred_at: datetime
    alert: RiskAlert | None
    trading_status: TradingStatus | None


async def follow(ctx: Context, portfolio_id: UUID | None, after: str | None) -> AsyncGenerator[RiskEvent, None]:
    """The viewer's risk events and everybody's, or those of one portfolio."""
    viewer = ctx.signed_in()
    if portfolio_id is not None and await portfolio(ctx, portfolio_id) is None:
        raise BadRequest("No such portfolio.", "portfolioId")
    chosen = EventFilter(types=OF_ALERTS | OF_TRADING, visible_to=viewer.user.id, portfolio_id=portfolio_id)
    async with contextlib.aclosing(followed(ctx, chosen, await place_behind(ctx, after))) as events:
        async for event, previous in events:
            yield RiskEvent(
                cursor_of(ctx, event.seq),
                previous,
                event.type,
                event.occurred_at,
                alert_of(event) if event.type in OF_ALERTS else None,
                status_of(event) if event.type in OF_TRADING else None,
            )
