"""Who asks, with what: the first argument of every query and command."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from aiodataloader import DataLoader

from infrastructure.services import Services
from infrastructure.statements import Row, Statement
from models.accounts import User
from models.enums import ApiScope, ErrorCode, Role
from models.errors import Fault, Refused, Unauthenticated

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Batch = Callable[["Context", Sequence[K]], Awaitable[list[V]]]

M = TypeVar("M")

LOAD_MAX = 500
"""Keys in one statement of a loader."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """A signed-in caller: the user, and what they presented.

    That is an access token of a session, which ends, or an API key, which may do what is in `scopes` and no more.
    """

    user: User
    session_id: UUID | None
    expires_at: datetime | None
    scopes: frozenset[ApiScope]
    key_id: UUID | None = None
    seen: int = 0
    """The log's position behind what they did last, as they were recognised: they are shown nothing that is older."""

    @property
    def user_id(self) -> UUID:
        """Whose it is."""
        return self.user.id

    @property
    def is_admin(self) -> bool:
        """Whether they run the place: by their role, and with what they presented."""
        return self.user.role is Role.ADMIN and ApiScope.ADMIN in self.scopes


class Reader(Protocol):
    """Who reads a stream, where that is a transport: it ends with the caller's sign-in, resumes, and shares streams."""

    after: str | None
    """The cursor that the reader came back with; it goes before the operation's own `after`."""

    def rest(self, position: int | None, sent: dict[Hashable, Hashable] | None = None) -> None:
        """The stream has given everything up to this place of the log (a stream of the latest: none), and waits.

        `sent` is what a stream of the latest knows to have been sent, by key: what is taken out of it is sent again.
        May not wait, and may not raise.
        """
        ...


def made_of(loaded: "asyncio.Future[V]", make: Callable[[V], M]) -> "asyncio.Future[M]":
    """What `make` makes of a value that is being loaded, without a task or a coroutine of its own."""
    made: asyncio.Future[M] = loaded.get_loop().create_future()

    def came(loaded: "asyncio.Future[V]") -> None:
        if loaded.cancelled():
            made.cancel()
        elif made.cancelled():
            loaded.exception()  # seen, though nobody waits for it any more
        elif error := loaded.exception():
            made.set_exception(error)
        else:
            try:
                made.set_result(make(loaded.result()))
            except Exception as error:  # noqa: BLE001 - reason: whoever waits gets it
                made.set_exception(error)

    loaded.add_done_callback(came)
    return made


@dataclass
class Context:
    """One operation's surroundings. `position` is the log's position before its first read.

    `address` and `client` are where it comes from: the host, and the program as it calls itself, if it does.
    """

    services: Services
    viewer: Viewer | None
    address: str
    position: int
    client: str | None = None
    reader: Reader | None = None
    _loaders: dict[Any, DataLoader[Any, Any]] = field(default_factory=dict)

    @property
    def now(self) -> datetime:
        """The moment."""
        return self.services.clock.now()

    @property
    def owner_id(self) -> UUID:
        """Whose data may be read and changed; raises as `signed_in` does."""
        return self.signed_in().user.id

    def signed_in(self, scope: ApiScope = ApiScope.READ) -> Viewer:
        """The caller; raises `Unauthenticated` for an anonymous one, `Refused` FORBIDDEN for one without the scope."""
        if self.viewer is None:
            raise Unauthenticated("Sign in first: send an access token or an API key as `Authorization: Bearer …`.")
        if scope not in self.viewer.scopes:
            raise Refused(Fault(ErrorCode.FORBIDDEN, f"This needs the scope {scope}."))
        return self.viewer

    async def rows(self, statement: Statement, **values: Any) -> list[Row]:
        """What a hot statement finds, for showing, of what only events change: a replica may say it.

        It is never older than what this process has seen of the log, nor than what the viewer has done.
        """
        relay, seen = self.services.relay, 0 if self.viewer is None else self.viewer.seen
        position = max(relay.position, seen)
        return await self.services.database.rows_since(statement, relay.epoch, position, **values)

    async def rows_now(self, statement: Statement, **values: Any) -> list[Row]:
        """What a hot statement finds, for showing, of what not only events change: as the database has it now."""
        return await self.services.database.rows(statement, **values)

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

    def load_own(self, batch: Batch[K, V | None], key: K) -> "asyncio.Future[V | None]":
        """The same of what has an owner: none for an anonymous caller."""
        if self.viewer is not None:
            return self.load(batch, key)
        nothing: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        nothing.set_result(None)
        return nothing

    async def load_many(self, batch: Batch[K, V], keys: Sequence[K]) -> list[V]:
        """One value for each key, in their order."""
        return list(await asyncio.gather(*(self.load(batch, key) for key in keys)))

    def forget(self) -> None:
        """Forget what was loaded: a mutation does so before and after itself."""
        self._loaders.clear()

    def renew(self) -> None:
        """Forget what was loaded, and stand where the log is now: a subscription does so before each event."""
        self.forget()
        self.position = self.services.relay.position
