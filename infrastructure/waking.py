"""Waking the other processes by Redis when something was committed, and being woken by them."""

import asyncio
import contextlib
from collections.abc import Sequence

from infrastructure.background import Background, stop_all
from infrastructure.database import Database
from infrastructure.redis import Redis, RedisUnavailable
from infrastructure.relay import Relay
from models.events import Event

CHANNEL = "log"


class Waker:
    """Tells where the log stands after each commit of this process, and has the relay look when others tell.

    A hint and nothing more: who is not told, as Redis is gone, frozen or just begun, reads at the relay's next poll.
    What is committed while a message is on its way is told together by the next one.
    """

    def __init__(self, redis: Redis, database: Database, relay: Relay) -> None:
        self._redis, self._database, self._relay = redis, database, relay
        self._position = 0
        self._news = asyncio.Event()
        self._tasks = [Background("waking others", self._tell), Background("being woken", self._hear)]

    async def start(self) -> None:
        """Tell and hear from now on."""
        self._database.listeners.append(self._note)
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """No longer."""
        with contextlib.suppress(ValueError):
            self._database.listeners.remove(self._note)
        await stop_all(self._tasks)

    def _note(self, _events: Sequence[Event], position: int) -> None:
        self._position = max(self._position, position)
        self._news.set()

    async def _tell(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            with contextlib.suppress(RedisUnavailable):  # it is counted there, and others poll
                await self._redis.publish(CHANNEL, str(self._position))

    async def _hear(self) -> None:
        async with contextlib.aclosing(self._redis.listen(CHANNEL)) as messages:
            async for heard in messages:
                # None: listening has begun anew, and what was told before reached nobody here.
                if heard is None or int(heard.message) > self._relay.position:
                    self._relay.wake()
