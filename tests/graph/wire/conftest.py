"""The application with settings of a test's own."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from tests.support.wire import Client, client_of

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
