"""A server for real clients of npm's, which `make clients` installs."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.clients.program import HERE
from tests.support.server import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The embedded default with its demo data, and with all that a client may use set."""
    assert (HERE / "node_modules").is_dir(), "`make clients` installs what this needs"
    async with Server(tmp_path / "home", get_queries=True) as server:
        yield server


@pytest.fixture
def endpoint(server: Server) -> str:
    """Where its API is."""
    return f"{server.url}/graphql"
