"""Who asks, with what: the first argument of every query and command."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from aiodataloader import DataLoader

from infrastructure.services import Services
from models.accounts import User
from models.enums import Role
from models.errors import Unauthenticated

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Batch = Callable[["Context", Sequence[K]], Awaitable[list[V]]]

LOAD_MAX = 500
"""Keys in one statement of a loader."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in caller: the user, their session, and when what they presented ends."""

    user: User
    session_id: UUID
    expires_at: datetime

    @property
    def is_admin(self) -> bool:
        """Whether they run the place."""
        return self.user.role is Role.ADMIN


@dataclass
class Context:
    """One operation's surroundings. `position` is the log's position before its first read."""

    services: Services
    viewer: Viewer | None
    address: str
    position: int
    _loaders: dict[Any, DataLoader[Any, Any]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The moment."""
        return self.services.clock.now()

    @property
    def owner_id(self) -> UUID:
        """Whose data may be read and changed; raises `Unauthenticated` for an anonymous caller."""
        return self.signed_in().user.id

    def signed_in(self) -> Viewer:
        """The caller; raises `Unauthenticated` for an anonymous one."""
        if self.viewer is None:
            raise Unauthenticated("Sign in first: send an access token as `Authorization: Bearer …`.")
        return self.viewer

    def load(self, batch: Batch[K, V], key: K) -> asyncio.Future[V]:
        """One of many: the keys asked for in the same turn of the loop are given to `batch` together, each once.

        `batch` answers with one value for each key, in their order.
        """
        loader = self._loaders.get(batch)
        if loader is None:

            async def together(keys: list[K]) -> list[V]:
                return await batch(self, keys)

            loader = self._loaders[batch] = DataLoader(together, max_batch_size=LOAD_MAX)
        return loader.load(key)

    async def load_many(self, batch: Batch[K, V], keys: Sequence[K]) -> list[V]:
        """One value for each key, in their order."""
        return list(await asyncio.gather(*(self.load(batch, key) for key in keys)))

    def renew(self) -> None:
        """Forget what was loaded: a subscription does so before each event."""
        self._loaders.clear()
        self.position = self.services.relay.position
