"""What the front page shows is run as it is written, against a server as a person starts it."""

import asyncio
import re
import shutil
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

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


async def held(client: Client, token: str) -> dict[str, Decimal]:
    edges = (await the_portfolio(client, token))["positions"]["edges"]
    return {edge["node"]["instrument"]["symbol"]: Decimal(edge["node"]["quantity"]) for edge in edges}


async def test_query_when_run_as_written_then_the_demo_portfolio_is_valued(client: Client, token: str) -> None:
    portfolio = await the_portfolio(client, token)
    assert portfolio["name"] == "Demo portfolio"
    assert portfolio["valuation"]["stale"] is False
    positions = [edge["node"] for edge in portfolio["positions"]["edges"]]
    assert len(positions) >= 3
    assert None not in [*portfolio["valuation"].values(), *(value for each in positions for value in each.values())]
    worth = sum((Decimal(each["marketValue"]) for each in positions), Decimal(portfolio["cash"]))
    assert Decimal(portfolio["valuation"]["totalValue"]) == worth


async def test_mutation_and_subscription_when_run_as_written_then_the_fill_is_seen(
    server: Server, client: Client, token: str
) -> None:
    found = await client.data(PORTFOLIOS, token=token)
    variables = {"portfolioId": found["viewer"]["portfolios"]["edges"][0]["node"]["id"]}
    before = await held(client, token)
    async with socket_to(server.address) as socket:
        await socket.init(token)
        await socket.start("events", POSITION_EVENTS, {"after": found["streamCursor"]})
        placed = (await client.data(PLACE_ORDER, variables, token))["placeOrder"]
        again = (await client.data(PLACE_ORDER, variables, token))["placeOrder"]
        assert placed["errors"] == again["errors"] == []
        assert again["order"]["id"] == placed["order"]["id"]
        after = before.get("AAPL", Decimal(0)) + 10
        event = (await socket.data("events"))["positionEvents"]
        while Decimal(event["position"]["quantity"]) != after:  # the demo's own orders may fill, and ours in parts
            cursor = event["cursor"]
            event = (await socket.data("events"))["positionEvents"]
            assert event["previousCursor"] == cursor
    assert event["position"]["instrument"]["symbol"] == "AAPL"
    assert event["fill"]["quantity"]
    assert (await held(client, token))["AAPL"] == after


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
