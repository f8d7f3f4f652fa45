"""Streams of the latest: a reader gets what is so now, at most so often, and never falls behind."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Hashable, Sequence
from typing import TypeVar

from models.errors import BadRequest
from resolvers.context import Reader

T = TypeVar("T")

EVERY_MS_MIN, EVERY_MS_MAX, EVERY_MS = 100, 60_000, 1_000


def pause_s(every_ms: int | None) -> float:
    """The least time between two rounds; raises `BadRequest` out of bounds."""
    wanted = EVERY_MS if every_ms is None else every_ms
    if not EVERY_MS_MIN <= wanted <= EVERY_MS_MAX:
        raise BadRequest(f"`everyMs` is {wanted}: it has to be between {EVERY_MS_MIN} and {EVERY_MS_MAX}.", "everyMs")
    return wanted / 1000


async def latest(
    read: Callable[[], Awaitable[dict[Hashable, tuple[Hashable, T]]]],
    changes: Sequence[Callable[[], Awaitable[object]]],
    least_s: float,
    reader: Reader | None = None,
) -> AsyncGenerator[T, None]:
    """What `read` has that is new: by key, each with what tells it from what was sent before.

    Reads again when what one of `changes` gave has ended, and not before `least_s` have gone by. Each of them counts
    from its call, not from when it is awaited. The reader sets the pace: what changes while it is busy is sent once, as
    it is then. A transport's `reader` is told when a round is over.
    """
    sent: dict[Hashable, Hashable] = {}
    loop = asyncio.get_running_loop()
    while True:
        # Watched before it is read: what changes in between is seen at the next round.
        waits, began = [asyncio.ensure_future(change()) for change in changes], loop.time()
        try:
            for key, (mark, value) in (await read()).items():
                if key not in sent or sent[key] != mark:
                    sent[key] = mark
                    yield value
            # What has changed meanwhile is for the next round: until that is over there is more to send.
            if reader is not None and not any(wait.done() for wait in waits):
                reader.rest(None, sent)
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        await asyncio.sleep(max(0.0, began + least_s - loop.time()))
