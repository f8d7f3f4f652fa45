"""The application that a server runs."""

import contextlib
import re
import secrets
from collections.abc import AsyncIterator

import structlog
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from graph import errors, graphiql
from graph.process import Process, build_process, build_services
from graph.schema import build_schema
from graph.wire.fanout import Fanout
from graph.wire.http import Endpoint
from graph.wire.lasting import settle
from graph.wire.pipeline import Pipeline
from graph.wire.seats import Seats
from graph.wire.sockets import Sockets
from infrastructure.clock import Clock
from infrastructure.database import DatabaseUnavailable
from infrastructure.ids import Ids
from infrastructure.passwords import Passwords
from infrastructure.settings import Settings

ENDPOINT = "/graphql"

_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def create_app(
    settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None, passwords: Passwords | None = None
) -> Starlette:
    """The application by its settings; `app.state.process` is there while its lifespan lasts."""
    schema = build_schema()
    pipeline, seats = Pipeline(schema, settings), Seats(settings)
    fanout = Fanout(pipeline)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        process = app.state.process = build_process(build_services(settings, clock, ids, passwords))
        try:
            await process.start()
            yield
            await settle()
            await errors.settle()
        finally:
            await process.stop()

    sockets = Sockets(fanout, seats, settings)
    app = Starlette(
        routes=[
            Route(ENDPOINT, Endpoint(pipeline, settings)),
            WebSocketRoute(ENDPOINT, sockets),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            *graphiql.routes(),
        ],
        middleware=[Middleware(RequestId)],
        lifespan=lifespan,
    )
    app.state.seats, app.state.fanout = seats, fanout
    return app


async def healthz(_request: Request) -> Response:
    """The process runs."""
    return PlainTextResponse("ok\n")


async def readyz(request: Request) -> Response:
    """Whether requests can be served: 200, or 503 with what is lacking."""
    process: Process = request.app.state.process
    try:
        lacking = await process.lacks()
    except DatabaseUnavailable:
        lacking = ["database"]
    return JSONResponse({"ready": not lacking, "lacking": lacking}, 503 if lacking else 200)


class RequestId:
    """Binds `X-Request-Id` (the caller's, or a new one) to the log lines of a request, and sends it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
        request_id = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)

        async def send_with_id(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.accept"):
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            await self._app(scope, receive, send_with_id)
