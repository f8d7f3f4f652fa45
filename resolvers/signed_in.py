"""For how long a stream may go on: as long as what its caller presented is good."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any, Never, TypeVar

from infrastructure import log
from models.cursors import SEQ_MAX
from models.enums import AggregateType, EventType
from models.errors import Unauthenticated
from models.events import EventFilter, RecordedEvent
from resolvers.context import Context, Viewer

T = TypeVar("T")


async def while_signed_in(ctx: Context, stream: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The stream, until the token, session or key behind it ends, or the role changes: then `Unauthenticated`."""
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


def _ends(viewer: Viewer, event: RecordedEvent) -> bool:
    """Whether the event takes away what the caller presented, or changes what they may see."""
    if event.type is EventType.USER_ROLE_CHANGED:
        return event.version > viewer.user.version
    return event.aggregate_id == (viewer.key_id or viewer.session_id)


def _over(viewer: Viewer) -> EventFilter:
    """Events of the caller that may end what they do."""
    ended = EventType.SESSION_ENDED if viewer.key_id is None else EventType.API_KEY_REVOKED
    return EventFilter(types=frozenset({ended, EventType.USER_ROLE_CHANGED}), owner_id=viewer.user.id)


async def _session_began(ctx: Context) -> int:
    """A place in the log up to which the viewer's session had not ended; raises `Unauthenticated` if it has.

    The caller was authenticated after that place: what has happened to them since is behind it.
    """
    viewer = ctx.signed_in()
    if viewer.expires_at is not None and viewer.expires_at <= ctx.now:
        raise _expired()
    async with ctx.services.database.read() as connection:
        # All that is committed, also what this process has not seen yet: not one event may come before it is known.
        if await log.last_matching(connection, SEQ_MAX, _gone(viewer)) is not None:
            raise _revoked()
    return ctx.position


def _gone(viewer: Viewer) -> EventFilter:
    ended, kind, ended_id = EventType.SESSION_ENDED, AggregateType.SESSION, viewer.session_id
    if viewer.key_id is not None:
        ended, kind, ended_id = EventType.API_KEY_REVOKED, AggregateType.API_KEY, viewer.key_id
    return EventFilter(types=frozenset({ended}), aggregate_type=kind, aggregate_id=ended_id)


async def _session_over(ctx: Context, place: int) -> Never:
    viewer = ctx.signed_in()
    left_s = None if viewer.expires_at is None else max((viewer.expires_at - ctx.now).total_seconds(), 0)
    try:
        async with (
            contextlib.aclosing(ctx.services.relay.follow(place, _over(viewer))) as ends,
            asyncio.timeout(left_s),
        ):
            async for event in ends:
                if _ends(viewer, event):
                    break
            else:
                await asyncio.Event().wait()  # the relay has stopped: so does the stream, by itself
    except TimeoutError:
        raise _expired() from None
    raise _revoked()


def _expired() -> Unauthenticated:
    return Unauthenticated("The access token has expired.", "EXPIRED")


def _revoked() -> Unauthenticated:
    return Unauthenticated("What you signed in with has ended, or your role has changed: connect anew.", "REVOKED")
