"""Work that goes on beside the requests, and comes back when it fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import structlog

from infrastructure.database import DatabaseUnavailable, OutcomeUnknown

T = TypeVar("T")

PAUSE_S_MIN, PAUSE_S_MAX = 0.1, 5.0

logger = structlog.get_logger(__name__)


class Background:
    """A coroutine function kept running: when it raises, it is logged and started again after a growing pause."""

    def __init__(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        self.name = name
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start it on the running loop."""
        self._task = asyncio.create_task(self._forever(), name=self.name)

    async def stop(self) -> None:
        """Cancel it and wait until it has ended."""
        await stop_all([self])

    def cancel(self) -> asyncio.Task[None] | None:
        """Have it end; what there is to wait for, if it was started."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        return task

    async def _forever(self) -> None:
        pause_s = PAUSE_S_MIN
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                await self._work()
            except Exception:
                logger.exception("background work failed", work=self.name, again_in_s=pause_s)
            if loop.time() - began > PAUSE_S_MAX:
                pause_s = PAUSE_S_MIN
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)


async def stop_all(works: Iterable[Background]) -> None:
    """Cancel them, and wait until all have ended."""
    tasks = {task for work in works if (task := work.cancel()) is not None}
    if tasks:
        # Not `await` of each: that could not tell its cancellation from one of who stops it.
        await asyncio.wait(tasks)


async def each_apart(name: str, items: Iterable[T], work: Callable[[T], Awaitable[bool]]) -> int:
    """Do the work for each, one after the other; for how many it was done. One that fails is logged, and left out.

    Raises `DatabaseUnavailable` and `OutcomeUnknown`, which would come for the others as well.
    """
    count = 0
    for item in items:
        try:
            count += await work(item)
        except (DatabaseUnavailable, OutcomeUnknown):
            raise
        except Exception:
            logger.exception("work failed and is left out", work=name, item=str(item))
    return count
