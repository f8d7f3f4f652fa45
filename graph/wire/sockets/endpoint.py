"""GraphQL over websockets: who may open one, and which there are."""

from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from graph.context import Connection, address_of, client_of
from graph.wire.fanout import Fanout
from graph.wire.origins import unwelcome
from graph.wire.seats import Seats, Taken
from graph.wire.sockets import frames
from graph.wire.sockets.frames import Closed, closing
from graph.wire.sockets.protocol import LINE, Line
from graph.wire.sockets.socket import Socket
from infrastructure.services import Services
from infrastructure.settings import Settings

LEGACY_REFUSED = (
    "The old protocol `graphql-ws` has been given up: speak `graphql-transport-ws` (npm's graphql-ws does)."
)
NOT_OFFERED = "The subprotocol has to be `graphql-transport-ws`."


class Sockets:
    """The path of the API for websockets."""

    def __init__(self, fanout: Fanout, seats: Seats, settings: Settings) -> None:
        self._fanout = fanout
        self._seats = seats
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if (await receive())["type"] != "websocket.connect":
            return
        request = WebSocket(scope, receive, send)
        address = address_of(request)
        try:
            subprotocol, refusal = self._admitted(request)
            seat = self._seats.take_address(address)
        except Taken as taken:
            subprotocol, refusal, seat = frames.SUBPROTOCOL, Closed(frames.TRY_AGAIN, str(taken)), None
        try:
            # Refused ones are accepted first: only so is a browser told why.
            await send({"type": "websocket.accept", "subprotocol": subprotocol, "headers": []})
            services: Services = scope["app"].state.process.services
            if refusal is not None:
                services.metrics.closed.labels(refusal.code).inc()
                await send(closing(refusal.code, refusal.reason))
            if refusal is None and seat is not None:
                connection = Connection(services, address, client_of(request))
                line = scope.get("extensions", {}).get(LINE) or Line(send)
                socket = Socket(self._fanout, self._seats, self._settings, connection, receive, line)
                with self._seats.guest(socket):
                    await socket.run()
        finally:
            if seat is not None:
                seat.leave()

    def _admitted(self, request: WebSocket) -> tuple[str | None, Closed | None]:
        """The subprotocol, and why the socket is closed at once if it is."""
        offered: list[str] = request.scope["subprotocols"]
        if frames.SUBPROTOCOL not in offered:
            # A browser wants one of those that it offered, or it sees nothing but a failure.
            refused = Closed(frames.NO_SUBPROTOCOL, LEGACY_REFUSED if frames.LEGACY in offered else NOT_OFFERED)
            return (offered[0] if offered else None), refused
        headers = request.headers
        why = unwelcome(headers.get("origin"), headers.get("host"), self._settings.cors_origins)
        return frames.SUBPROTOCOL, None if why is None else Closed(frames.FORBIDDEN, why)
