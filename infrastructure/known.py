"""What was read of the database, kept in memory for as long as nothing at all has been committed since."""

from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar, cast

from infrastructure.database import Database

T = TypeVar("T")
VALUES_MAX = 4096
UNKNOWN = object()


class Known(Generic[T]):
    """Exact, not merely fresh: one commit of any process, and everything here is forgotten.

    Where the database can't be looked at for next to nothing (`Database.stamp`), everything is read each time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._values: dict[Hashable, T] = {}
        self._stamp: int | None = None

    async def of(self, key: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """The value of the key, read now if it is not known. What `read` raises is not kept."""
        # Before it is read: what is committed meanwhile shows at the next look.
        stamp = self._database.stamp()
        if stamp is None:
            return await read()
        if stamp != self._stamp or len(self._values) >= VALUES_MAX:
            self._values.clear()
            self._stamp = stamp
        known = self._values.get(key, UNKNOWN)
        if known is not UNKNOWN:
            return cast("T", known)
        value = await read()
        if stamp == self._stamp:
            self._values[key] = value
        return value
