"""The application that a server runs."""

import contextlib
import itertools
import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextvars import ContextVar
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import STRUCTLOG_KEY_PREFIX
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from graph import graphiql, probes
from graph.cost.guard import guard_for
from graph.process import build_process, build_services
from graph.schema import build_schema
from graph.wire.fanout import Fanout
from graph.wire.http import Endpoint
from graph.wire.lasting import settle
from graph.wire.negotiation import JSON
from graph.wire.pipeline import Pipeline
from graph.wire.refusals import Refusal
from graph.wire.seats import Seats
from graph.wire.sockets import Sockets
from graph.wire.turns import Turns
from infrastructure.clock import Clock
from infrastructure.ids import Ids
from infrastructure.passwords import Passwords
from infrastructure.settings import Settings

ENDPOINT = "/graphql"

OWN_HEADERS = ("authorization", "content-type", "x-api-key", "x-request-id", "last-event-id")
STRICT = {
    b"strict-transport-security": b"max-age=31536000; includeSubDomains",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
}
_PROCESS, _requests = secrets.token_hex(4), itertools.count()
"""Of ids that we make: what no other process has, and the number of the request."""
BEGIN = {"http.response.start", "websocket.accept"}
"""Messages of ASGI that carry the headers of an answer."""
REQUEST_ID = ContextVar[str](f"{STRUCTLOG_KEY_PREFIX}request_id")
"""By its name it is in the log's lines: set by itself, as `bind_contextvars` costs as much as a small request."""
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def create_app(
    settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None, passwords: Passwords | None = None
) -> Starlette:
    """The application by its settings; `app.state.process` is there while its lifespan lasts."""
    schema = build_schema()
    pipeline, seats = Pipeline(schema, settings, guard_for(schema, settings)), Seats(settings)
    # Beginning reads; the other half of the connections is for requests.
    fanout = Fanout(pipeline, Turns(max(1, settings.reader_pool // 2)))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        process = app.state.process = build_process(build_services(settings, clock, ids, passwords))
        try:
            await process.start()
            yield
        finally:
            await process.stop(settle)

    endpoint = Endpoint(fanout, seats, settings)
    app = Starlette(
        routes=[
            Route(ENDPOINT, endpoint),
            WebSocketRoute(ENDPOINT, Sockets(fanout, seats, settings)),
            *probes.routes(),
            *graphiql.routes(),
        ],
        middleware=[*_middleware(settings), Middleware(Shortcut, endpoint=endpoint)],
        lifespan=lifespan,
    )
    # They would lead to the host that the request names, whichever that is.
    app.router.redirect_slashes = False
    app.state.seats, app.state.fanout = seats, fanout
    return app


def _middleware(settings: Settings) -> list[Middleware]:
    found = [Middleware(Envelope, production=settings.production)]
    if settings.trusted_proxies:
        found.append(Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)))
    if settings.cors_origins:
        cors = Middleware(
            Cors,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=[*OWN_HEADERS, *settings.cors_headers],
            expose_headers=["x-request-id", "retry-after", "ratelimit", "ratelimit-policy"],
        )
        found.append(cors)
    return found


class Cors(CORSMiddleware):
    """Starlette's, with what it refuses said like everything else."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Whether a page of another origin may ask what it wants to."""
        answer = super().preflight_response(request_headers)
        if answer.status_code == HTTPStatus.OK:
            return answer
        headers = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        refusal = Refusal(HTTPStatus(answer.status_code), f"{bytes(answer.body).decode()}.")
        return Response(refusal.answer.encoded(), refusal.status, headers, f"{JSON}; charset=utf-8")


class Envelope:
    """What every answer has: the request's id (the caller's, or a new one), which is in each line of the log too.

    In production also what browsers are to be strict about.
    """

    def __init__(self, app: ASGIApp, *, production: bool) -> None:
        self._app = app
        self._strict = [*STRICT.items()] if production else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        own = (b"x-request-id", request_id.encode())

        def send_with_headers(message: Message) -> Awaitable[None]:
            if message["type"] in BEGIN:
                given = message.get("headers", ())
                message["headers"] = [*given, own, *self._missing(given)] if self._strict else [*given, own]
            return send(message)

        before = REQUEST_ID.set(request_id)
        try:
            await self._app(scope, receive, send_with_headers)
        finally:
            REQUEST_ID.reset(before)

    def _missing(self, given: Iterable[tuple[bytes, bytes]]) -> Iterable[tuple[bytes, bytes]]:
        """What an answer does not say by itself."""
        said = {name for name, _ in given}
        return [each for each in self._strict if each[0] not in said]


class Shortcut:
    """The way of a request of GraphQL: past the layers that find a route, which would take longer than its answer."""

    def __init__(self, app: ASGIApp, *, endpoint: ASGIApp) -> None:
        self._app = app
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        direct = scope["type"] == "http" and scope["path"] == ENDPOINT
        await (self._endpoint if direct else self._app)(scope, receive, send)


def _request_id(scope: Scope) -> str:
    headers: list[tuple[bytes, bytes]] = scope["headers"]
    for name, value in headers:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value.decode("latin-1")):
            return value.decode()
    return f"{_PROCESS}{next(_requests):08x}"
