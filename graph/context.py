"""From a request or a websocket to the `resolvers.context.Context` of one operation."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import HTTPConnection, Request

from infrastructure.services import Services
from resolvers.accounts.queries import authorization
from resolvers.context import Context, Viewer

ADDRESS_UNKNOWN = "unknown"


@dataclass
class Connection:
    """A websocket: its caller is known once; each operation on it has a context of its own."""

    services: Services
    address: str
    viewer: Viewer | None = None
    connection_params: dict[str, Any] | None = None
    """The payload of `connection_init`; set by Strawberry."""

    async def authenticate(self) -> None:
        """Learn who it is; raises `Unauthenticated` for a token that is not good."""
        given = {name.lower(): value for name, value in (self.connection_params or {}).items()}
        header = given.get("authorization")
        self.viewer = await authorization(self.services, None if header is None else str(header))

    async def operation(self) -> Context:
        """Fresh loaders, the log's position now, and the caller as they are now; raises `Unauthenticated`."""
        position = self.services.relay.position
        await self.authenticate()
        return Context(self.services, self.viewer, self.address, position)


async def of_request(services: Services, request: Request) -> Context:
    """The context of an operation over HTTP; raises `Unauthenticated` for a token that is not good."""
    # Before the first read: no value in the answer may be older than this position.
    position = services.relay.position
    viewer = await authorization(services, request.headers.get("authorization"))
    return Context(services, viewer, address_of(request), position)


def address_of(connection: HTTPConnection) -> str:
    """Where it comes from."""
    return connection.client.host if connection.client else ADDRESS_UNKNOWN
