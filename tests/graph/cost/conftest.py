"""The application with its limits on, and what a document costs in its schema."""

import contextlib
import dataclasses
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from starlette.applications import Starlette

from graph.app import create_app
from graph.process import Process
from infrastructure.budgets.rates import Rates
from infrastructure.services import Services
from tests.support.wire import Client, client_of

Limited = Callable[..., AbstractAsyncContextManager[Client]]


def limited_app(services: Services, **settings: Any) -> Starlette:
    """The application with limits, and with these settings."""
    changed = services.settings.model_copy(update={"limits": True} | settings)
    app = create_app(changed)
    own = dataclasses.replace(services, settings=changed, rates=Rates(changed))
    app.state.process = Process(own, works=[])
    return app


@pytest.fixture
def limited(services: Services) -> Limited:
    """A client of such an application."""

    @contextlib.asynccontextmanager
    async def opened(**settings: Any) -> AsyncIterator[Client]:
        async with client_of(limited_app(services, **settings)) as client:
            yield client

    return opened
