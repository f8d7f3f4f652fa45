"""Mutations: once begun they end, though their caller has left; past their deadline nothing more is begun."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import structlog

from infrastructure.database import COMMITS, Commits

T = TypeVar("T")

logger = structlog.get_logger(__name__)

_running: set[asyncio.Task[Any]] = set()
"""In work: the loop itself keeps only weak references to tasks."""


class Late(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """The deadline is past. `written` tells whether something has been committed, or may have been."""

    def __init__(self, *, written: bool) -> None:
        super().__init__("the deadline is past")
        self.written = written


async def to_its_end(work: Awaitable[T], deadline_s: float) -> T:
    """Wait for the work, which goes on when the caller is cancelled.

    Past the deadline it is rolled back, unless it is committing just then: that is let come to its end, and nothing
    after it. Raises `Late`.
    """
    commits = Commits()
    task = asyncio.ensure_future(_watched(work, commits))
    _running.add(task)
    task.add_done_callback(_running.discard)
    try:
        done, _ = await asyncio.wait([task], timeout=deadline_s)
    except asyncio.CancelledError:
        task.add_done_callback(_ended_alone)
        raise
    if done:
        return task.result()
    task.add_done_callback(_ended_alone)
    if commits.under_way:
        commits.ended = task.cancel
        raise Late(written=True)
    task.cancel()
    # It gives back what it holds before its caller hears of it.
    await asyncio.wait([task])
    raise Late(written=commits.begun > 0)


async def settle() -> None:
    """Wait until every mutation that was begun on this loop has ended."""
    loop = asyncio.get_running_loop()
    if mine := [task for task in _running if task.get_loop() is loop]:
        await asyncio.wait(mine)


async def _watched(work: Awaitable[T], commits: Commits) -> T:
    COMMITS.set(commits)
    return await work


def _ended_alone(task: asyncio.Future[Any]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        logger.error("a mutation failed after its caller had left", exc_info=error)
