"""Events as they happen, resumable: nothing lost, nothing twice, each with the one before it."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Never, TypeVar
from uuid import UUID

from infrastructure import log
from models.enums import AggregateType, EventType
from models.errors import BadRequest, Unauthenticated
from models.events import EventFilter, RecordedEvent
from models.facts import OrderAsOf, PositionAsOf, fill_of, order_of, position_of
from models.orders import Fill
from resolvers.context import Context, Viewer
from resolvers.events.queries import cursor_of, known_place, visible
from resolvers.portfolios.queries import portfolio

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """Something that happened to an order, which is as it was after it."""

    cursor: str
    previous_cursor: str | None
    type: EventType
    occurred_at: datetime
    order: OrderAsOf
    fill: Fill | None


@dataclass(frozen=True, slots=True)
class PositionEvent:
    """A position opened, changed or closed; it is as it was after that."""

    cursor: str
    previous_cursor: str | None
    type: EventType
    occurred_at: datetime
    position: PositionAsOf
    fill: Fill | None


async def position_events(
    ctx: Context, portfolio_id: UUID | None, after: str | None
) -> AsyncGenerator[PositionEvent, None]:
    """The viewer's position events, of one portfolio or of all."""
    chosen = await _mine(ctx, AggregateType.POSITION, portfolio_id)
    async with contextlib.aclosing(_follow(ctx, chosen, after)) as events:
        async for event, previous in events:
            yield PositionEvent(
                cursor_of(ctx, event.seq), previous, event.type, event.occurred_at, position_of(event), fill_of(event)
            )


async def order_events(ctx: Context, portfolio_id: UUID | None, after: str | None) -> AsyncGenerator[OrderEvent, None]:
    """The viewer's order events, of one portfolio or of all."""
    chosen = await _mine(ctx, AggregateType.ORDER, portfolio_id)
    async with contextlib.aclosing(_follow(ctx, chosen, after)) as events:
        async for event, previous in events:
            yield OrderEvent(
                cursor_of(ctx, event.seq), previous, event.type, event.occurred_at, order_of(event), fill_of(event)
            )


async def all_events(ctx: Context, chosen: EventFilter, after: str | None) -> AsyncGenerator[RecordedEvent, None]:
    """Every event of the filter that the viewer may see."""
    async with contextlib.aclosing(_follow(ctx, visible(ctx, chosen), after)) as events:
        async for event, _ in events:
            yield event


async def _mine(ctx: Context, kind: AggregateType, portfolio_id: UUID | None) -> EventFilter:
    viewer = ctx.signed_in()
    if portfolio_id is not None and await portfolio(ctx, portfolio_id) is None:
        raise BadRequest("No such portfolio.", "portfolioId")
    return EventFilter(aggregate_type=kind, owner_id=viewer.user.id, portfolio_id=portfolio_id)


async def _follow(
    ctx: Context, chosen: EventFilter, after: str | None
) -> AsyncGenerator[tuple[RecordedEvent, str | None], None]:
    """Events of the filter behind the cursor (none: from now on), each with the cursor of the one before it.

    Ends with `Unauthenticated` when the viewer's session does. Loaders are fresh for each event.
    """
    relay = ctx.services.relay
    # The place is taken before anything else is read: what happens from here on is followed.
    place = relay.position if after is None else await known_place(ctx, after)
    async with ctx.services.database.read() as connection:
        before = await log.last_matching(connection, place, chosen)
    previous = None if before is None else cursor_of(ctx, before)
    stream = relay.follow(place, chosen)
    async with contextlib.aclosing(while_signed_in(ctx, stream)) as events:
        async for event in events:
            ctx.renew()
            yield event, previous
            previous = cursor_of(ctx, event.seq)


async def while_signed_in(ctx: Context, stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The stream, until the token expires, or the session or key behind it ends: then `Unauthenticated`."""
    tasks: list[asyncio.Future[Any]] = []
    try:
        over = asyncio.ensure_future(_session_over(ctx, await _session_began(ctx)))
        tasks.append(over)
        while True:
            following = asyncio.ensure_future(anext(stream))
            tasks[1:] = [following]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if over.done():
                over.result()
            yield following.result()
    except StopAsyncIteration:
        return
    finally:
        for task in tasks:
            task.cancel()
        # Also those that are done: what they raised is then known, and nobody complains that it was not looked at.
        await asyncio.gather(*tasks, return_exceptions=True)
        await stream.aclose()


def _session_ended(viewer: Viewer) -> EventFilter:
    ended, kind, ended_id = EventType.SESSION_ENDED, AggregateType.SESSION, viewer.session_id
    if viewer.key_id is not None:
        ended, kind, ended_id = EventType.API_KEY_REVOKED, AggregateType.API_KEY, viewer.key_id
    return EventFilter(types=frozenset({ended}), aggregate_type=kind, aggregate_id=ended_id)


async def _session_began(ctx: Context) -> int:
    """A place in the log up to which the viewer's session had not ended; raises `Unauthenticated` if it has.

    The caller may have been authenticated long ago: a websocket is only when it connects.
    """
    viewer, place = ctx.signed_in(), ctx.services.relay.position
    if viewer.expires_at is not None and viewer.expires_at <= ctx.now:
        raise _expired()
    async with ctx.services.database.read() as connection:
        if await log.last_matching(connection, place, _session_ended(viewer)) is not None:
            raise _revoked()
    return place


async def _session_over(ctx: Context, place: int) -> Never:
    viewer = ctx.signed_in()
    left_s = None if viewer.expires_at is None else max((viewer.expires_at - ctx.now).total_seconds(), 0)
    try:
        async with (
            contextlib.aclosing(ctx.services.relay.follow(place, _session_ended(viewer))) as ends,
            asyncio.timeout(left_s),
        ):
            await anext(ends)
    except TimeoutError:
        raise _expired() from None
    raise _revoked()


def _expired() -> Unauthenticated:
    return Unauthenticated("The access token has expired.", "EXPIRED")


def _revoked() -> Unauthenticated:
    return Unauthenticated("The sign-in has ended, or the API key has been revoked.", "REVOKED")
