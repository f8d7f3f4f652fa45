"""The application over the services of a test, without the market and the handlers: tests set prices themselves."""

from collections.abc import AsyncIterator

import pytest
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from tests.support.wire import Client, client_of, server_of


@pytest.fixture
def app(services: Services) -> Starlette:
    """The application; its process runs no work of its own."""
    app = create_app(services.settings)
    app.state.process = Process(services, works=[])
    return app


@pytest.fixture
async def client(app: Starlette) -> AsyncIterator[Client]:
    """HTTP to the application."""
    async with client_of(app) as client:
        yield client


@pytest.fixture
async def server(app: Starlette) -> AsyncIterator[str]:
    """Host and port of a real server of the application, for `tests.support.wire.socket_to`."""
    async with server_of(app) as server:
        yield server
