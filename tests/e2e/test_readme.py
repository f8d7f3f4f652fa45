"""What the front page shows is run as it is written, against a server as a person starts it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.trading import until
from tests.support.server import Server
from tests.support.wire import Client, socket_to

README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
LOGIN, PORTFOLIOS, PLACE_ORDER, POSITION_EVENTS = re.findall(
    r"^```graphql\n(.*?)^```$", README, re.MULTILINE | re.DOTALL
)
ADDRESS = "127.0.0.1:8000"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The embedded default with its demo."""
    async with Server(tmp_path) as server:
        yield server


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Client]:
    async with server.client() as client:
        yield client


@pytest.fixture
async def token(client: Client) -> str:
    login = (await client.data(LOGIN))["login"]
    assert login["errors"] == []
    assert login["refreshToken"]
    return str(login["accessToken"])


async def the_portfolio(client: Client, token: str) -> Any:
    (edge,) = (await client.data(PORTFOLIOS, token=token))["viewer"]["portfolios"]["edges"]
    return edge["node"]


async def held(client: Client, token: str) -> list[tuple[str, str]]:
    edges = (await the_portfolio(client, token))["positions"]["edges"]
    return sorted((edge["node"]["instrument"]["symbol"], edge["node"]["quantity"]) for edge in edges)


async def test_query_when_run_as_written_then_the_demo_portfolio_is_valued(client: Client, token: str) -> None:
    async def seeded() -> bool:
        return len(await held(client, token)) == 3

    await until(seeded)
    assert await held(client, token) == [("AAPL", "40"), ("BTC-USD", "0.05"), ("SPY", "25")]
    portfolio = await the_portfolio(client, token)
    assert portfolio["name"] == "Demo portfolio"
    assert portfolio["valuation"]["stale"] is False
    assert None not in portfolio["valuation"].values()


async def test_mutation_and_subscription_when_run_as_written_then_the_fill_is_seen(
    server: Server, client: Client, token: str
) -> None:
    async def seeded() -> bool:
        return len(await held(client, token)) == 3

    await until(seeded)
    found = await client.data(PORTFOLIOS, token=token)
    variables = {"portfolioId": found["viewer"]["portfolios"]["edges"][0]["node"]["id"]}
    async with socket_to(server.address) as socket:
        await socket.init(token)
        await socket.start("events", POSITION_EVENTS, {"after": found["streamCursor"]})
        placed = (await client.data(PLACE_ORDER, variables, token))["placeOrder"]
        again = (await client.data(PLACE_ORDER, variables, token))["placeOrder"]
        assert placed["errors"] == again["errors"] == []
        assert again["order"]["id"] == placed["order"]["id"]
        event = (await socket.data("events"))["positionEvents"]
        while event["position"]["quantity"] != "50":  # the demo's own trades may still come, and a fill in parts
            before = event["cursor"]
            event = (await socket.data("events"))["positionEvents"]
            assert event["previousCursor"] == before
    assert event["type"] == "POSITION_CHANGED"
    assert event["position"]["instrument"]["symbol"] == "AAPL"
    assert (await held(client, token))[0] == ("AAPL", "50")


@pytest.mark.skipif(shutil.which("curl") is None, reason="this machine has no curl")
async def test_shell_when_run_as_written_then_the_token_is_good(server: Server, client: Client) -> None:
    (snippet,) = re.findall(r"^```sh\n(TOKEN=.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert ADDRESS in snippet
    script = snippet.replace(ADDRESS, server.address) + 'printf %s "$TOKEN"'
    shell = await asyncio.create_subprocess_exec("sh", "-ec", script, stdout=asyncio.subprocess.PIPE)
    token, _ = await shell.communicate()
    assert shell.returncode == 0
    assert (await client.data("{ viewer { email } }", token=token.decode()))["viewer"] == {
        "email": "demo@tradegraph.dev"
    }
