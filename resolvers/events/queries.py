"""The audit trail: what can be asked of the log."""

import functools
from collections.abc import Awaitable, Hashable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Dialect, Select, null, select

from infrastructure import log
from infrastructure.statements import Statement
from models.cursors import CursorExpired, parse, written
from models.enums import AggregateType
from models.errors import BadRequest
from models.events import EventFilter, EventRow, RecordedEvent
from models.facts import OrderAsOf
from models.orders import Order
from resolvers.context import Context
from resolvers.paging import KEY_BITS, SIZE, Form, Listing, Page, PageArgs

LAST_ARCHIVED = Statement(log.LAST_ARCHIVED)

CURSORS_KEPT = 1024
"""Each event's is asked for several times, by each that follows it."""


def cursor_of(ctx: Context, seq: int) -> str:
    """The cursor behind the event of that number."""
    return _written(ctx.services.relay.epoch, seq)


_written = functools.lru_cache(CURSORS_KEPT)(written)


def place_of(ctx: Context, cursor: str, argument: str = "after") -> int:
    """The number behind which a cursor stands; raises `BadRequest`, or `CursorExpired` if it is of another log."""
    try:
        parsed = parse(cursor)
    except ValueError:
        raise BadRequest(f"`{argument}` is no cursor of the event log.", argument) from None
    if parsed.epoch != ctx.services.relay.epoch:
        raise CursorExpired("The cursor is of another event log: read the state anew and go on from `streamCursor`.")
    return parsed.seq


async def known_place(ctx: Context, cursor: str, argument: str = "after") -> int:
    """Like `place_of`, and raises `CursorExpired` for a place behind which events are archived, or never reached.

    A log that was restored from a copy keeps its epoch: nothing would ever come behind a cursor from after the copy.
    """
    place = place_of(ctx, cursor, argument)
    # Who comes back with a thousand others is asked this first, so it goes past SQLAlchemy.
    archived = await ctx.rows_now(LAST_ARCHIVED)
    if archived and place < archived[0][0]:
        raise CursorExpired(log.ARCHIVED)
    if place > ctx.services.relay.position:
        # This process may be behind the log.
        async with ctx.services.database.read() as connection:
            if place > (await log.head(connection)).seq:
                raise CursorExpired("The cursor is beyond the log: read the state anew and go on from `streamCursor`.")
    return place


class EventListing(Listing[RecordedEvent]):
    """Events, oldest first, by the log's own cursors."""

    async def page(
        self, ctx: Context, args: PageArgs, chosen: Hashable = None, parent: Hashable = None
    ) -> Page[RecordedEvent]:
        """As of any list; raises `CursorExpired` too."""
        given = [(argument, getattr(args, argument)) for argument in ("after", "before")]
        places = [await known_place(ctx, cursor, argument) for argument, cursor in given if cursor is not None]
        page = await super().page(ctx, args, chosen, parent)
        if places:
            # Again, as what was archived meanwhile is missing too.
            async with ctx.services.database.read() as connection:
                await log.refuse_archived(connection, min(places))
        return page

    def cursor(self, ctx: Context, item: RecordedEvent) -> str:
        """The same as the event has wherever it appears."""
        return cursor_of(ctx, item.seq)

    def decoded(self, ctx: Context, cursor: str, argument: str) -> list[Any]:
        """The number in a cursor."""
        return [place_of(ctx, cursor, argument)]

    def _varying(self, chosen: Any) -> dict[str, Any]:
        found = super()._varying(chosen)
        # Of everybody's events, each type is looked for by itself (`log.branches`).
        apart = chosen.types is None or (self.parent is None and chosen.visible_to is None)
        return found if apart else {**found, "types": chosen.types}

    def _statement(self, dialect: Dialect, chosen: Any, form: Form) -> Select[Any]:
        if self.parent is not None:
            return super()._statement(dialect, chosen, form)
        return log.picked([*self.columns, null()], chosen, self._between(form), SIZE, down=form.backwards)


TRAIL = EventListing(EventRow, RecordedEvent, ("seq",), owned=False, conditions=log.conditions)
STORY = EventListing(EventRow, RecordedEvent, ("seq",), parent="aggregate_id", owned=False, conditions=log.conditions)


def events(ctx: Context, args: PageArgs, chosen: EventFilter) -> Awaitable[Page[RecordedEvent]]:
    """A page of the events that the viewer may see: their own and everybody's; an ADMIN sees all."""
    return TRAIL.page(ctx, args, visible(ctx, chosen))


async def events_of_order(ctx: Context, order: Order, args: PageArgs) -> Page[RecordedEvent]:
    """A page of an order's events; of an order as of an event, those up to then."""
    chosen = EventFilter(
        aggregate_type=AggregateType.ORDER,
        owner_id=ctx.owner_id,
        version_max=order.version if isinstance(order, OrderAsOf) else None,
    )
    return await STORY.page(ctx, args, chosen, order.id)


async def events_by_seq(ctx: Context, seqs: Sequence[int]) -> list[RecordedEvent | None]:
    """A loader's batch: events that the viewer may see."""
    # One that no column can hold would fail the whole batch.
    askable = [seq for seq in seqs if seq.bit_length() < KEY_BITS]
    statement = select(*log.COLUMNS).where(log.EVENTS.c.seq.in_(askable), *log.conditions(visible(ctx, EventFilter())))
    async with ctx.services.database.read() as connection:
        found = {row.seq: RecordedEvent(*row) for row in await connection.execute(statement)}
    return [found.get(seq) for seq in seqs]


def event(ctx: Context, seq: int) -> Awaitable[RecordedEvent | None]:
    """An event that the viewer may see."""
    return ctx.load_own(events_by_seq, seq)


def visible(ctx: Context, chosen: EventFilter) -> EventFilter:
    """The filter, kept to what the viewer may see."""
    viewer = ctx.signed_in()
    return chosen if viewer.is_admin else replace(chosen, visible_to=viewer.user.id)
