"""What a browser lets pages of other origins do."""

import socket
from pathlib import Path

import pytest

from tests.clients.program import CHROMIUM, IN_BROWSER, run
from tests.support.server import Server

pytestmark = [pytest.mark.clients, IN_BROWSER]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


async def test_browser_when_a_page_comes_from_another_origin_then_only_one_that_is_named_may_ask(
    tmp_path: Path,
) -> None:
    port = free_port()
    async with Server(tmp_path / "home", cors_origins=f"http://localhost:{port}") as server:
        found = await run("origins.mjs", f"{server.url}/graphql", CHROMIUM, str(port))
    assert found["localhost"] == {"query": ["Ada", True], "socket": "connection_ack", "events": "MISSING"}
    assert found["127.0.0.1"] == {"query": "refused", "socket": 4403, "events": "refused"}
