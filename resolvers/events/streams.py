"""Events as they happen, resumable: nothing lost, nothing twice, each with the one before it."""

import contextlib
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from uuid import UUID

from infrastructure import log
from infrastructure.relay import Follower
from models.cursors import CursorExpired
from models.enums import AggregateType, EventType
from models.errors import BadRequest
from models.events import EventFilter, RecordedEvent
from models.facts import NotificationAsOf, OrderAsOf, PositionAsOf, fill_of, notification_of, order_of, position_of
from models.orders import Fill
from models.positions import Position
from resolvers.context import Context
from resolvers.events.queries import cursor_of, known_place, place_of, visible
from resolvers.pauses import with_pauses
from resolvers.portfolios.queries import portfolio
from resolvers.positions.queries import held_now
from resolvers.signed_in import while_signed_in

HEARTBEAT_S, HEARTBEAT_S_MIN, HEARTBEAT_S_MAX = 15, 1, 300


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


@dataclass(frozen=True, slots=True)
class PositionSnapshot:
    """Every open position of a portfolio, as it was at `cursor`."""

    cursor: str
    positions: list[Position]


@dataclass(frozen=True, slots=True)
class StreamHeartbeat:
    """Nothing has happened up to `cursor`."""

    cursor: str
    at: datetime


async def positions(
    ctx: Context, portfolio_id: UUID, after: str | None, heartbeat_s: int | None
) -> AsyncGenerator[PositionSnapshot | PositionEvent | StreamHeartbeat, None]:
    """A portfolio's positions kept complete: a snapshot, each change behind it, and a heartbeat when nothing happens.

    With `after` that this log still knows there is no snapshot, but every change since. With one that it does not
    know there is a new snapshot, and also later, where what is next is archived before it was read.
    """
    pause_s = HEARTBEAT_S if heartbeat_s is None else heartbeat_s
    if not HEARTBEAT_S_MIN <= pause_s <= HEARTBEAT_S_MAX:
        message = f"`heartbeatSeconds` is {pause_s}: it has to be between {HEARTBEAT_S_MIN} and {HEARTBEAT_S_MAX}."
        raise BadRequest(message, "heartbeatSeconds")
    chosen = await _mine(ctx, AggregateType.POSITION, portfolio_id)
    place = await _begin(ctx, after)
    while True:
        if place is None:
            place, snapshot = await _snapshot(ctx, portfolio_id)
            yield snapshot
        follower = ctx.services.relay.follow(place, chosen, partial(_rest, ctx))
        stream = followed(ctx, chosen, place, follower)
        try:
            async with contextlib.aclosing(with_pauses(stream, pause_s)) as events:
                async for found in events:
                    if found is None:
                        # Not where the relay is: what lies between may still be on its way to this reader.
                        yield StreamHeartbeat(cursor_of(ctx, follower.position), ctx.now)
                    else:
                        yield _position_event(ctx, *found)
        except CursorExpired:
            place = None  # what was next is archived
        else:
            return


async def _snapshot(ctx: Context, portfolio_id: UUID) -> tuple[int, PositionSnapshot]:
    """What is held, and where in the log that is: of one moment, perhaps ahead of what this process has seen of it.

    Nothing that is in it comes again behind it.
    """
    place, held = await held_now(ctx, portfolio_id)
    viewer = ctx.signed_in()
    # Nor may what it leads to be older: a weight, say, by what this process keeps of the portfolio.
    ctx.viewer = replace(viewer, seen=max(viewer.seen, place))
    ctx.forget()
    return place, PositionSnapshot(cursor_of(ctx, place), held)


async def _begin(ctx: Context, after: str | None) -> int | None:
    """The place of the cursor; none where there has to be a snapshot."""
    try:
        return None if (after := _resumed(ctx, after)) is None else await known_place(ctx, after)
    except CursorExpired:
        return None


async def position_events(
    ctx: Context, portfolio_id: UUID | None, after: str | None
) -> AsyncGenerator[PositionEvent, None]:
    """The viewer's position events, of one portfolio or of all."""
    chosen = await _mine(ctx, AggregateType.POSITION, portfolio_id)
    async with contextlib.aclosing(followed(ctx, chosen, await place_behind(ctx, after))) as events:
        async for event, previous in events:
            yield _position_event(ctx, event, previous)


def _position_event(ctx: Context, event: RecordedEvent, previous: str | None) -> PositionEvent:
    return PositionEvent(
        cursor_of(ctx, event.seq), previous, event.type, event.occurred_at, position_of(event), fill_of(event)
    )


async def order_events(ctx: Context, portfolio_id: UUID | None, after: str | None) -> AsyncGenerator[OrderEvent, None]:
    """The viewer's order events, of one portfolio or of all."""
    chosen = await _mine(ctx, AggregateType.ORDER, portfolio_id)
    async with contextlib.aclosing(followed(ctx, chosen, await place_behind(ctx, after))) as events:
        async for event, previous in events:
            yield OrderEvent(
                cursor_of(ctx, event.seq), previous, event.type, event.occurred_at, order_of(event), fill_of(event)
            )


async def all_events(ctx: Context, chosen: EventFilter, after: str | None) -> AsyncGenerator[RecordedEvent, None]:
    """Every event of the filter that the viewer may see."""
    async with contextlib.aclosing(followed(ctx, visible(ctx, chosen), await place_behind(ctx, after))) as events:
        async for event, _ in events:
            yield event


async def notifications(ctx: Context) -> AsyncGenerator[NotificationAsOf, None]:
    """What the viewer is told, from now on."""
    chosen = EventFilter(types=frozenset({EventType.NOTIFICATION_SENT}), owner_id=ctx.owner_id)
    async with contextlib.aclosing(followed(ctx, chosen, await place_behind(ctx, None))) as events:
        async for event, _ in events:
            yield notification_of(event, cursor_of(ctx, event.seq))


async def _mine(ctx: Context, kind: AggregateType, portfolio_id: UUID | None) -> EventFilter:
    viewer = ctx.signed_in()
    if portfolio_id is not None and await portfolio(ctx, portfolio_id) is None:
        raise BadRequest("No such portfolio.", "portfolioId")
    return EventFilter(aggregate_type=kind, owner_id=viewer.user.id, portfolio_id=portfolio_id)


async def followed(
    ctx: Context, chosen: EventFilter, place: int, follower: Follower | None = None
) -> AsyncGenerator[tuple[RecordedEvent, str | None], None]:
    """Events of the filter behind the place, each with the cursor of the one before it.

    Ends with `Unauthenticated` when the viewer's session does. Loaders are fresh for each event.
    """
    async with ctx.services.database.read() as connection:
        before = await log.last_matching(connection, place, chosen)
    previous = None if before is None else cursor_of(ctx, before)
    stream = follower or ctx.services.relay.follow(place, chosen, partial(_rest, ctx))
    async with contextlib.aclosing(while_signed_in(ctx, stream)) as events:
        async for event in events:
            ctx.renew()
            yield event, previous
            previous = cursor_of(ctx, event.seq)


async def place_behind(ctx: Context, after: str | None) -> int:
    """Behind the cursor, or from now on. Taken before anything else is read: what happens from here on is followed."""
    after = _resumed(ctx, after)
    return ctx.services.relay.position if after is None else await known_place(ctx, after)


def _resumed(ctx: Context, after: str | None) -> str | None:
    return after if ctx.reader is None or ctx.reader.after is None else ctx.reader.after


def _rest(ctx: Context, position: int) -> None:
    if ctx.reader is not None:
        ctx.reader.rest(position)


@dataclass(frozen=True, slots=True)
class Mark:
    """Where what a stream gave stands in the log. `happened`: it is an event, and not merely as of that place."""

    cursor: str
    seq: int
    happened: bool

    def is_news(self, since: int) -> bool:
        """Whether it is new to who has been given everything up to there."""
        return self.seq > since or (self.seq == since and not self.happened)


def mark_of(ctx: Context, given: object) -> Mark | None:
    """The place of what a stream gave; none where only the latest counts."""
    if isinstance(given, RecordedEvent):
        return Mark(cursor_of(ctx, given.seq), given.seq, happened=True)
    cursor = getattr(given, "cursor", None)
    if not isinstance(cursor, str):
        return None
    try:
        return Mark(cursor, place_of(ctx, cursor), happened=not isinstance(given, StreamHeartbeat))
    except (BadRequest, CursorExpired):
        return None  # another kind of cursor, or the log was replaced just now
