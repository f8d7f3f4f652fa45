"""For how long something may go on: as long as what its caller presented is good."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Table, bindparam, select

from infrastructure import log
from infrastructure.rows import table
from infrastructure.statements import Statement
from models.accounts import SessionRow, UserRow
from models.enums import EventType
from models.errors import Unauthenticated
from models.events import EventFilter, RecordedEvent
from models.keys import ApiKeyRow
from resolvers.context import Context, Viewer

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

ENDS_MAX = 100
"""Events looked through for one that ended a sign-in while it was looked up."""


def _behind(ended: EventType) -> Statement:
    of = log.EVENTS.c
    mine = of.owner_id == bindparam("owner"), of.type.in_([ended, EventType.USER_ROLE_CHANGED])
    return Statement(select(*log.COLUMNS).where(of.seq > bindparam("seq"), *mine).order_by(of.seq).limit(ENDS_MAX))


_BEHIND = {ended: _behind(ended) for ended in (EventType.SESSION_ENDED, EventType.API_KEY_REVOKED)}
"""The caller's events of late that may end what they do, by what ends what they presented; as `_over` says."""


def _role_by(presented: Table) -> Statement:
    users, good = table(UserRow), (presented.c.id == bindparam("presented"), presented.c.revoked_at.is_(None))
    return Statement(select(users.c.role).join(presented, presented.c.user_id == users.c.id).where(*good))


_ROLE = {
    EventType.SESSION_ENDED: _role_by(table(SessionRow)),
    EventType.API_KEY_REVOKED: _role_by(table(ApiKeyRow)),
}
"""The caller's role, if what they presented is good, by what ends that."""


class Stream(Protocol[T_co]):
    """What comes one after the other, until it is closed."""

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Itself."""
        ...

    def __anext__(self) -> Awaitable[T_co]:
        """What comes next."""
        ...

    def aclose(self) -> Awaitable[object]:
        """End it."""
        ...


class SignIn:
    """Watches over what one caller presented: `ended` is called once with why, when it is no longer good.

    A token has its time, sessions and keys are ended by events, and a role that changes changes what may be seen.
    """

    def __init__(self, ctx: Context, ended: Callable[[Unauthenticated], None]) -> None:
        self._ctx = ctx
        self._viewer = ctx.signed_in()
        self._ended = ended
        self._timer: asyncio.TimerHandle | None = None
        self._stop_listening: Callable[[], None] | None = None

    async def begin(self) -> None:
        """Watch from when the caller was authenticated on; `ended` may be called before this returns."""
        ctx, viewer = self._ctx, self._viewer
        self._stop_listening = ctx.services.relay.listen(_over(viewer), self._hear, self._look)
        if viewer.expires_at is not None:
            left_s = max((viewer.expires_at - ctx.now).total_seconds(), 0)
            self._timer = asyncio.get_running_loop().call_later(left_s, self._end, _expired())
            if not left_s:
                self._end(_expired())
                return
        # All that is committed since, also what this process has not seen yet: nothing may come before it is known.
        for row in await ctx.rows_now(_BEHIND[_ended_by(viewer)], owner=viewer.user.id, seq=ctx.position):
            self._hear(RecordedEvent(*row))

    def close(self) -> None:
        """Watch no longer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stop_listening is not None:
            self._stop_listening()
            self._stop_listening = None

    def _hear(self, event: RecordedEvent) -> None:
        if _ends(self._viewer, event):
            self._end(_revoked())

    async def _look(self) -> None:
        """Events were missed: what they changed is in the tables."""
        viewer = self._viewer
        presented = viewer.key_id or viewer.session_id
        rows = await self._ctx.rows_now(_ROLE[_ended_by(viewer)], presented=presented)
        if [tuple(row) for row in rows] != [(viewer.user.role,)]:
            self._end(_revoked())

    def _end(self, why: Unauthenticated) -> None:
        if self._stop_listening is not None:
            self.close()
            self._ended(why)


async def while_signed_in(ctx: Context, stream: Stream[T]) -> AsyncGenerator[T, None]:
    """The stream, until the token, session or key behind it ends, or the role changes: then `Unauthenticated`.

    A transport that has a reader watches over the sign-in itself, once for all its streams.
    """
    if ctx.reader is not None:
        try:
            async for item in stream:
                yield item
        finally:
            await stream.aclose()
        return
    over: asyncio.Future[Unauthenticated] = asyncio.get_running_loop().create_future()
    sign_in = SignIn(ctx, over.set_result)
    tasks: list[asyncio.Future[Any]] = [over]
    try:
        await sign_in.begin()
        while not over.done():
            following = asyncio.ensure_future(_next_of(stream))
            tasks[1:] = [following]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                yield following.result()
        raise over.result()
    except StopAsyncIteration:
        return
    finally:
        sign_in.close()
        for task in tasks:
            task.cancel()
        # Also those that are done: what they raised is then known, and nobody complains that it was not looked at.
        await asyncio.gather(*tasks, return_exceptions=True)
        await stream.aclose()


async def _next_of(stream: Stream[T]) -> T:
    return await anext(stream)


def _ends(viewer: Viewer, event: RecordedEvent) -> bool:
    """Whether the event takes away what the caller presented, or changes what they may see."""
    if event.type is EventType.USER_ROLE_CHANGED:
        return event.version > viewer.user.version
    return event.aggregate_id == (viewer.key_id or viewer.session_id)


def _over(viewer: Viewer) -> EventFilter:
    """Events of the caller that may end what they do."""
    return EventFilter(types=frozenset({_ended_by(viewer), EventType.USER_ROLE_CHANGED}), owner_id=viewer.user.id)


def _ended_by(viewer: Viewer) -> EventType:
    """What ends what the caller presented."""
    return EventType.SESSION_ENDED if viewer.key_id is None else EventType.API_KEY_REVOKED


def _expired() -> Unauthenticated:
    return Unauthenticated("The access token has expired.", "EXPIRED")


def _revoked() -> Unauthenticated:
    return Unauthenticated("What you signed in with has ended, or your role has changed: connect anew.", "REVOKED")
