"""Readings that are under way: one for all who want the same, which outlives whoever asked first."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Hashable, Sequence
from typing import Any

from infrastructure.cache_levels import Entry
from infrastructure.database import DatabaseUnavailable

Entries = dict[Any, Entry]
Read = Callable[[], Awaitable[Entries]]


class Flight:
    """One reading of the values of some names (keys of the memory)."""

    def __init__(self, names: Sequence[Hashable], task: asyncio.Task[Entries]) -> None:
        self.names, self.task = names, task
        self.began_at = asyncio.get_running_loop().time()
        self.waiting = 0
        """How many wait for it."""

    def entry(self, key: Hashable, old: Entry | None) -> Entry | None:
        """What it read; the `old` value where the database has not answered, or not yet. None if it was given up.

        Raises what the reading did, so that all who waited get it.
        """
        if not self.task.done() or self.task.cancelled():
            return old
        try:
            return self.task.result()[key]
        except DatabaseUnavailable:
            if old is None:
                raise
            return old


class Flights:
    """All that a process is reading. No reading takes longer than `last_s`: it then raises `DatabaseUnavailable`."""

    def __init__(self, last_s: float) -> None:
        self._last_s = last_s
        self._flying: dict[Hashable, Flight] = {}
        self._flights: set[Flight] = set()

    def get(self, name: Hashable) -> Flight | None:
        """The reading of it that is under way."""
        flight = self._flying.get(name)
        return None if flight is None or flight.task.done() else flight

    def begin(self, names: Sequence[Hashable], read: Read) -> Flight:
        """Read these from now on."""
        flight = Flight(names, asyncio.create_task(self._bounded(read)))
        self._flying |= dict.fromkeys(names, flight)
        self._flights.add(flight)
        flight.task.add_done_callback(lambda _task: self._ended(flight))
        return flight

    async def wait(self, flights: Collection[Flight], patience_s: float | None = None) -> None:
        """Until all have come to their end. Past `patience_s` those that have not go on by themselves.

        One whose waiters have all been cancelled is given up, before this ends.
        """
        for flight in flights:
            flight.waiting += 1
        cancelled = True
        try:
            await asyncio.wait([flight.task for flight in flights], timeout=patience_s)
            cancelled = False
        finally:
            for flight in flights:
                flight.waiting -= 1
            if cancelled:
                await self._give_up([flight for flight in flights if not flight.waiting])

    async def stop(self) -> None:
        """Give up everything."""
        await self._give_up(list(self._flights))

    async def _give_up(self, flights: Collection[Flight]) -> None:
        for flight in flights:
            self._forget(flight)
            flight.task.cancel()
        if flights:
            await asyncio.wait([flight.task for flight in flights])

    async def _bounded(self, read: Read) -> Entries:
        try:
            async with asyncio.timeout(self._last_s):
                return await read()
        except TimeoutError as error:
            raise DatabaseUnavailable("the database did not answer in time") from error

    def _ended(self, flight: Flight) -> None:
        self._forget(flight)
        self._flights.discard(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # who waited has it; if nobody does any more, the next to ask finds out

    def _forget(self, flight: Flight) -> None:
        for name in flight.names:
            if self._flying.get(name) is flight:
                del self._flying[name]
