"""The application with settings of a test's own."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from typing import Any

import httpx
import orjson
import pytest
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from resolvers.accounts.commands import login
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader
from tests.support.people import PASSWORD, anonymous
from tests.support.wire import Client, Socket, client_of, server_of, socket_to

EVENTS = "subscription ($after: String) { events(after: $after) { cursor type } }"
JSON, GRAPHQL = "application/json", "application/graphql-response+json"
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"

Having = Callable[..., AbstractAsyncContextManager[Client]]


@pytest.fixture
def having(services: Services) -> Having:
    """A client of the application as it is with these settings."""

    @contextlib.asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Client]:
        changed = services.settings.model_copy(update=settings)
        app = create_app(changed)
        app.state.process = Process(dataclasses.replace(services, settings=changed), works=[])
        async with client_of(app) as client:
            yield client

    return opened


async def post(client: Client, content: Any, **headers: str) -> httpx.Response:
    """A POST of bytes as they are, or of a value as JSON."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    given = {"content-type": JSON} | {name.replace("_", "-"): value for name, value in headers.items()}
    request = client.http.build_request("POST", "/graphql", content=body, headers=given)
    for name, value in given.items():
        if not value:
            del request.headers[name]
    return await client.http.send(request)


def the_error(answer: httpx.Response) -> Any:
    """The only error of an answer without data."""
    assert set(answer.json()) == {"errors"}
    [error] = answer.json()["errors"]
    assert error["message"]
    return error


@pytest.fixture
async def trader(services: Services) -> Trader:
    await Market.open(services)
    return await Trader.with_cash(services)


@pytest.fixture
async def opened(app: Starlette, services: Services) -> AsyncIterator[Any]:
    """Opens a socket of a user of that name."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(server_of(app))
        tokens: dict[str, str] = {}

        async def open_one(email: str) -> Socket:
            if email not in tokens:
                tokens[email] = (await login(anonymous(services), email, PASSWORD)).access_token
                await services.relay.reached(len(await whole_log(services.database)))
            token = tokens[email]
            socket = await stack.enter_async_context(socket_to(server))
            await socket.init(token)
            return socket

        yield open_one


def shared_by(app: Starlette) -> list[int]:
    """How many share each execution that may be joined."""
    return sorted(len(run.members) for run in app.state.fanout._runs.values())
