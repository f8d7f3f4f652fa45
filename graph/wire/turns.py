"""Who begins does so in turn: a few at once, the others after them, in the order in which they came.

Who was lost with a server comes back at once, a thousand sockets in a second. Each has its sign-in looked up, and what
it missed read and executed. All together they would keep every connection for longer than anybody waits for one, and a
request would have its turn of the loop after all of theirs.
"""

import asyncio
from typing import Self

TURN_S_MAX = 5.0
"""A turn that lasts longer ends here: what is slow to begin holds nobody else up."""


class Turns:
    """So many at once. `waiting`: who waits for one."""

    def __init__(self, places: int) -> None:
        self._places = asyncio.Semaphore(places)
        self.waiting = 0

    def turn(self) -> "Turn":
        """One of them, to be taken."""
        return Turn(self)

    async def take(self) -> None:
        """Wait for a place, however long those before take."""
        self.waiting += 1
        try:
            await self._places.acquire()
        finally:
            self.waiting -= 1

    def leave(self) -> None:
        """One place is free again."""
        self._places.release()


class Turn:
    """Somebody's own: it may be taken again when it has ended."""

    __slots__ = ("_limit", "_turns")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._limit: asyncio.TimerHandle | None = None

    @property
    def lasts(self) -> bool:
        """Whether it was taken and has not ended."""
        return self._limit is not None

    async def take(self) -> None:
        """Wait until it comes."""
        await self._turns.take()
        self._limit = asyncio.get_running_loop().call_later(TURN_S_MAX, self.end)

    def end(self) -> None:
        """The next may begin; more than once does no harm."""
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
            self._turns.leave()

    async def __aenter__(self) -> Self:
        await self.take()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.end()
