"""GraphQL over websockets: a thin layer over Strawberry's, which an own one takes the place of."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from typing import cast

import orjson
import strawberry
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket
from strawberry.asgi import ASGIWebSocketAdapter, GraphQL
from strawberry.http.exceptions import WebSocketDisconnected
from strawberry.subscriptions import GRAPHQL_TRANSPORT_WS_PROTOCOL
from strawberry.subscriptions.protocols.graphql_transport_ws.handlers import BaseGraphQLTransportWSHandler
from strawberry.subscriptions.protocols.graphql_transport_ws.types import ConnectionInitMessage, Message
from strawberry.types.unset import UnsetType

from graph.context import Connection, address_of, client_of
from graph.errors import UNAVAILABLE
from infrastructure.database import DatabaseUnavailable
from models.errors import Unauthenticated
from resolvers.context import Context
from resolvers.signed_in import while_signed_in

INIT_WAIT = timedelta(seconds=5)
SEND_S_MAX = 10.0
"""A websocket's client that does not read for so long is let go."""
REASON_LENGTH_MAX = 120
"""What fits into a close frame."""

INTERNAL_ERROR, UNAUTHORIZED, FORBIDDEN = 1011, 4401, 4403
"""Close codes: it is our fault, the sign-in has ended, what was presented is not good."""


class _Socket(ASGIWebSocketAdapter):
    """Text frames, and an end for who stops reading."""

    async def send_json(self, message: Mapping[str, object]) -> None:
        try:
            async with asyncio.timeout(SEND_S_MAX):
                await self.ws.send_text(orjson.dumps(message).decode())
        except (TimeoutError, RuntimeError, OSError) as error:
            raise WebSocketDisconnected from error

    async def close(self, code: int, reason: str) -> None:
        # Both ends may close at once: the second to do so has nothing left to close.
        with contextlib.suppress(RuntimeError):
            await super().close(code, reason[:REASON_LENGTH_MAX])


class _Handler(BaseGraphQLTransportWSHandler[Context | Connection, None]):
    """Knows its caller from `connection_init` on, and closes when their sign-in ends."""

    _watch: asyncio.Task[None] | None = None

    async def handle_message(self, message: Message) -> None:
        if _well_formed(message):
            await super().handle_message(message)
        else:
            await self.handle_invalid_message("Failed to parse message")

    async def handle_connection_init(self, message: ConnectionInitMessage) -> None:
        try:
            await super().handle_connection_init(message)
        except Unauthenticated as error:
            await self.websocket.close(FORBIDDEN, f"{error.reason}: {error}")
        except DatabaseUnavailable:
            await self.websocket.close(INTERNAL_ERROR, UNAVAILABLE)
        connection = cast("Connection", self.context)
        if self.connection_acknowledged and connection.viewer is not None and self._watch is None:
            self._watch = asyncio.create_task(self._until_signed_out(connection))

    async def shutdown(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        await super().shutdown()

    async def _until_signed_out(self, connection: Connection) -> None:
        try:
            async for _ in while_signed_in(await connection.operation(), _silence()):
                pass
        except Unauthenticated as error:
            await self.websocket.close(UNAUTHORIZED, f"{error.reason}: {error}")
        except DatabaseUnavailable:
            await self.websocket.close(INTERNAL_ERROR, UNAVAILABLE)


class Sockets(GraphQL[Context | Connection, None]):
    """The endpoint for websockets that speak graphql-transport-ws."""

    websocket_adapter_class = _Socket
    graphql_transport_ws_handler_class = _Handler

    def __init__(self, schema: strawberry.Schema) -> None:
        super().__init__(
            schema, subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL], connection_init_wait_timeout=INIT_WAIT
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        await self.run(WebSocket(scope, receive, send))

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 - reason: Strawberry's signature
    ) -> Context | Connection:
        """A connection's."""
        return Connection(request.app.state.process.services, address_of(request), client_of(request))

    async def on_ws_connect(self, context: Context | Connection) -> UnsetType | dict[str, object] | None:
        """Learn who it is, once for the connection."""
        await cast("Connection", context).authenticate()
        return UnsetType()

    def decode_json(self, data: str | bytes) -> object:
        """What JSON says; nesting without end is refused as bad JSON."""
        return orjson.loads(data)

    def encode_json(self, data: object) -> bytes:
        """JSON."""
        return orjson.dumps(data)


async def _silence() -> AsyncGenerator[None, None]:
    await asyncio.Event().wait()
    yield


def _well_formed(message: object) -> bool:
    """Whether a frame has the types that the protocol gives it, as far as the handler relies on them."""
    if not isinstance(message, dict) or not isinstance(message.get("id", ""), str):
        return False
    payload = message.get("payload")
    if message.get("type") != "subscribe":
        return True
    return (
        isinstance(payload, dict)
        and isinstance(payload.get("query"), str)
        and isinstance(payload.get("variables"), dict | None)
        and isinstance(payload.get("operationName"), str | None)
    )
