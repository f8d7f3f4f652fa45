"""A real server on each database, and the application in this process for what looks inside."""

from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest

from graph.app import create_app
from graph.process import Process
from infrastructure.services import Services
from tests.support.server import Server
from tests.support.wire import Client, client_of

# So that their asserts say what they saw.
pytest.register_assert_rewrite(*(f"tests.e2e.{each}" for each in ("books", "effects", "readers", "trading")))

SETTINGS: dict[str, Any] = {
    "limit_register_per_address": "1000/hour",
    "limit_login_per_address": "1000/minute",
    # A killed server's lease runs out soon, so that the next one quotes and fills at once.
    "lease_s": 3,
    "max_open_orders": 100_000,
    "seed_demo": False,
    "candle_days": 0,
}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its server said."""
    report = yield
    server = getattr(item, "funcargs", {}).get("server")
    if report.failed and isinstance(server, Server):
        report.sections.append(("What the server said", server.tail()))
    return report


@pytest.fixture
async def server(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """A server that runs: the embedded default, or on a PostgreSQL database that `tradegraph migrate` has made."""
    if backend == "sqlite":
        async with Server(tmp_path / "home", **SETTINGS) as server:
            yield server
        return
    postgres = request.getfixturevalue("postgres")
    postgres.create_database("e2e")
    try:
        server = Server(tmp_path / "home", postgres.url("e2e"), **SETTINGS)
        assert server.run("migrate") == "The database is migrated.\n"
        async with server:
            yield server
    finally:
        postgres.drop_database("e2e")


@pytest.fixture
async def client(services: Services) -> AsyncIterator[Client]:
    """The whole HTTP path in this process, with the services of the test; the market is the test's own."""
    app = create_app(services.settings)
    app.state.process = Process(services, works=[])
    async with client_of(app) as client:
        yield client
