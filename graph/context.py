"""From a request or a websocket to the `resolvers.context.Context` of one operation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection

from infrastructure.services import Services
from resolvers.accounts.queries import authorization
from resolvers.context import Context, Viewer

ADDRESS_UNKNOWN = "unknown"
AUTHORIZATION, API_KEY = "authorization", "x-api-key"
"""The headers, and the keys of a `connection_init`, that say who it is."""
CLIENT_LENGTH_MAX = 256


@dataclass
class Connection:
    """A websocket: its caller is known once; each operation on it has a context of its own."""

    services: Services
    address: str
    client: str | None = None
    viewer: Viewer | None = None
    said: Mapping[str, Any] | None = None
    """The payload of `connection_init`."""

    async def authenticate(self) -> None:
        """Learn who it is; raises `Unauthenticated` for a token or a key that is not good."""
        given = {name.lower(): str(value) for name, value in (self.said or {}).items() if value is not None}
        self.viewer = await authorization(self.services, given.get(AUTHORIZATION), given.get(API_KEY))

    async def operation(self) -> Context:
        """Fresh loaders, the log's position now, and the caller as they are now; raises `Unauthenticated`."""
        position = self.services.relay.position
        await self.authenticate()
        return Context(self.services, self.viewer, self.address, position, self.client)


def names_somebody(said: Mapping[str, Any] | None) -> bool:
    """Whether a message's payload says who it is."""
    return any(name.lower() in {AUTHORIZATION, API_KEY} and given is not None for name, given in (said or {}).items())


async def of_request(services: Services, headers: Mapping[str, str], address: str) -> Context:
    """The context of an operation over HTTP, by its headers (names in small letters).

    Raises `Unauthenticated` for a token or a key that is not good.
    """
    # Before the first read: no value in the answer may be older than this position.
    position = services.relay.position
    viewer = await authorization(services, headers.get(AUTHORIZATION), headers.get(API_KEY))
    return Context(services, viewer, address, position, named(headers.get("user-agent")))


def address_of(connection: HTTPConnection) -> str:
    """Where it comes from."""
    return connection.client.host if connection.client else ADDRESS_UNKNOWN


def client_of(connection: HTTPConnection) -> str | None:
    """The program that it comes from, as it calls itself; none if it does not."""
    return named(connection.headers.get("user-agent"))


def named(agent: str | None) -> str | None:
    """A program's name for itself, as long as it may be; none for an empty one."""
    return (agent or "").strip()[:CLIENT_LENGTH_MAX] or None
