"""GraphQL over HTTP and websockets: a thin layer over Strawberry's, which an own one may take the place of."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import orjson
import strawberry
from cross_web import HTTPException
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

from graph import graphiql
from graph.context import Connection, address_of, client_of, of_request
from graph.errors import BAD_USER_INPUT, UNAVAILABLE
from infrastructure.database import DatabaseUnavailable
from infrastructure.services import Services
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


class Wire(GraphQL[Context | Connection, None]):
    """The endpoint: POST for operations, GET for GraphiQL, websockets that speak graphql-transport-ws."""

    websocket_adapter_class = _Socket
    graphql_transport_ws_handler_class = _Handler

    def __init__(self, schema: strawberry.Schema) -> None:
        super().__init__(
            schema,
            allow_queries_via_get=False,
            subscription_protocols=[GRAPHQL_TRANSPORT_WS_PROTOCOL],
            connection_init_wait_timeout=INIT_WAIT,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] != "http":
            await self.run(WebSocket(scope, receive, send))
            return
        response = await self._answer(Request(scope, receive))
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        try:
            return await self.run(request)
        except HTTPException as error:
            return self._refusal(error.status_code, error.reason, {"code": BAD_USER_INPUT})
        except Unauthenticated as error:
            return self._refusal(
                HTTPStatus.UNAUTHORIZED, str(error), {"code": "UNAUTHENTICATED", "reason": error.reason}
            )
        except DatabaseUnavailable:
            return self._refusal(HTTPStatus.SERVICE_UNAVAILABLE, UNAVAILABLE, {"code": "UNAVAILABLE"})

    def _refusal(self, status: int, message: str, extensions: dict[str, str]) -> Response:
        body = self.encode_json({"errors": [{"message": message, "extensions": extensions}]})
        headers = {"WWW-Authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
        return Response(body, status, headers, "application/json")

    async def get_context(
        self,
        request: Request | WebSocket,
        response: Response | WebSocket,  # noqa: ARG002 - reason: Strawberry's signature
    ) -> Context | Connection:
        """One operation's context over HTTP, a connection's over a websocket."""
        services: Services = request.app.state.process.services
        if isinstance(request, WebSocket):
            return Connection(services, address_of(request), client_of(request))
        if self.should_render_graphql_ide(self.request_adapter_class(request)):
            return Context(services, None, address_of(request), services.relay.position)
        return await of_request(services, request)

    async def on_ws_connect(self, context: Context | Connection) -> UnsetType | dict[str, object] | None:
        """Learn who it is, once for the connection."""
        await cast("Connection", context).authenticate()
        return UnsetType()

    async def render_graphql_ide(self, request: Request) -> Response:
        """The page for a browser."""
        return graphiql.response(request.url.path)

    def parse_json(self, data: str | bytes) -> Any:
        """A request's body, which has to be an object."""
        parsed = super().parse_json(data)
        if not isinstance(parsed, dict) or not isinstance(parsed.get("operationName"), str | None):
            raise HTTPException(400, "The body has to be a JSON object with `query`, `variables`, `operationName`.")
        return parsed

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
