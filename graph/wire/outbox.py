"""What goes out to one client: at once where it can, in order, bounded, and for no longer than the client reads."""

import asyncio
import collections
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass
from typing import Any, cast

import structlog
from starlette.types import Message, Send

logger = structlog.get_logger(__name__)

WAITING_MAX = 1024
"""Messages that may wait for one client, whatever they belong to."""


@dataclass(slots=True, eq=False)
class Lane:
    """What belongs together among that which goes out to a client: an operation, say."""

    waiting: int = 0
    """Messages of it that the client has not taken yet."""
    turn: int = 0
    """Messages of earlier turns are left out."""

    def drop(self) -> None:
        """Leave out what waits."""
        self.turn += 1
        self.waiting = 0


class Outbox:
    """Sends to one client.

    `broken` is called once when it can't be reached any more, or has not read for `patience_s`. `gather` has what is
    sent in one go leave in one go, where there is a way to.
    """

    def __init__(
        self, send: Send, patience_s: float, broken: Callable[[], None], gather: Callable[[], None] = lambda: None
    ) -> None:
        self.gather = gather
        self._send = send
        self._patience_s = patience_s
        self._broken: Callable[[], None] | None = broken
        self._waiting: collections.deque[tuple[Message, Lane | None, int]] = collections.deque()
        self._drains: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self.unanswered = 0
        """Messages of no lane that wait."""

    @property
    def full(self) -> bool:
        """Whether nothing more should wait."""
        return len(self._waiting) >= WAITING_MAX

    def put(self, message: Message, lane: Lane | None = None) -> None:
        """Send it, at once if nothing waits."""
        if self._broken is None:
            return
        if self._drains is None:
            rest = self._begun(message)
            if rest is not None:
                self._drains = asyncio.create_task(self._drain(rest))
            return
        if lane is None:
            self.unanswered += 1
        else:
            lane.waiting += 1
        self._waiting.append((message, lane, 0 if lane is None else lane.turn))

    async def room(self) -> None:
        """Wait until the client has taken everything, or is lost."""
        while self._drains is not None:
            if self._room is None:
                self._room = asyncio.get_running_loop().create_future()
            # Others may wait for the same: none of them may cancel it.
            await asyncio.shield(self._room)

    def drop(self) -> None:
        """Leave out what waits."""
        self._waiting.clear()
        self.unanswered = 0

    async def close(self) -> None:
        """Send no more."""
        self._broken = None
        self.drop()
        if self._drains is not None:
            self._drains.cancel()
            await asyncio.wait([self._drains])

    def _begun(self, message: Message) -> "Rest | None":
        try:
            return begun(self._send(message))
        except Exception as error:  # noqa: BLE001 - reason: whatever it is, nothing reaches this client any more
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        # The client has left, or does not read, or the socket was closed: nothing to be told of.
        if not isinstance(error, OSError | RuntimeError):
            logger.error("a client can not be sent to", exc_info=error)
        self.drop()
        if self._broken is not None:
            broken, self._broken = self._broken, None
            broken()

    async def _drain(self, rest: "Rest | None") -> None:
        try:
            while True:
                if rest is not None:
                    async with asyncio.timeout(self._patience_s):
                        await rest
                if not self._waiting:
                    return
                message, lane, turn = self._waiting.popleft()
                rest = None
                if lane is None:
                    self.unanswered -= 1
                    rest = self._begun(message)
                elif lane.turn == turn:
                    lane.waiting -= 1
                    rest = self._begun(message)
        except Exception as error:  # noqa: BLE001 - reason: as above
            self._fail(error)
        finally:
            if rest is not None:
                rest.close()
            self._drains = None
            if self._room is not None:
                room, self._room = self._room, None
                room.set_result(None)


class Rest(Generator[Any, Any, None]):
    """What is left of a coroutine that had to wait: to be awaited."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits: Any) -> None:
        self._coroutine = coroutine
        self._waits: Any = waits
        self._first = True

    def __await__(self) -> Generator[Any, Any, None]:
        return self

    def send(self, given: Any) -> Any:
        """Go on; first, say what it waits for already."""
        if self._first:
            self._first = False
            return self._waits
        return self._coroutine.send(given)

    def throw(self, *error: Any) -> Any:
        """What comes from outside is for the coroutine."""
        return self._coroutine.throw(*error)

    def close(self) -> None:
        """End it where it waits, unless it has ended."""
        self._coroutine.close()


def begun(work: Awaitable[Any]) -> Rest | None:
    """Take a coroutine as far as it goes without waiting, here and now; answers with its rest, if there is one.

    For what hardly ever waits this saves a task, and with a thousand readers it is most of what a delivery costs.
    """
    coroutine = cast("Coroutine[Any, Any, Any]", work)
    try:
        waits = coroutine.send(None)
    except StopIteration:
        return None
    return Rest(coroutine, waits)
