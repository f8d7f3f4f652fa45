import json
import re
from collections.abc import AsyncIterator
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest
from graphql import OperationDefinitionNode, build_schema, parse, validate
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph import graphiql
from graph.graphiql import EXAMPLES, STATIC, Example, page

SCHEMA = Path(__file__).parents[2] / "schema.graphql"


class _Page(HTMLParser):
    """What a page loads and which scripts stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.inline: dict[str | None, str] = {}
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [value for name in ("src", "href") if (value := found.get(name)) is not None]
        assert not [name for name in found if name == "style" or name.startswith("on")]
        assert tag != "style"
        if tag == "script" and "src" not in found:
            self._inside = found.get("type")
            self.inline[self._inside] = ""

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.inline[self._inside] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "script":
            self._inside = None

    @property
    def settings(self) -> dict[str, object]:
        settings: dict[str, object] = json.loads(self.inline["application/json"])
        return settings


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    def explore(_: Request) -> Response:
        return graphiql.response()

    app = Starlette(routes=[Route("/graphql", explore), *graphiql.routes()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        yield client


async def test_every_file_that_the_page_loads_is_served_and_kept_for_a_year(client: httpx.AsyncClient) -> None:
    loads = [path for path in _Page(page()).loads if path != "data:,"]
    assert len(loads) == 9
    for path in loads:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["content-type"].split(";")[0] == ("text/css" if ".css" in path else "text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("query", ["", "?v=0123456789abcdef"])
async def test_a_file_asked_for_under_another_version_is_not_kept(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/graphiql/tradegraph.js{query}")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


async def test_what_lies_outside_the_folder_is_not_served(client: httpx.AsyncClient) -> None:
    for path in ("/graphiql/nothing.js", "/graphiql/", "/graphiql/%2e%2e/%2e%2e/graphiql.py"):
        assert (await client.get(path)).status_code == 404


def test_the_page_and_our_own_files_name_no_other_host() -> None:
    assert all(path.startswith("/graphiql/") or path == "data:," for path in _Page(page()).loads)
    for text in (page(), *((STATIC / name).read_text() for name in ("tradegraph.js", "tradegraph.css"))):
        assert not re.search(r"(https?:)?//\w", re.sub(r"^\s*// .*$", "", text, flags=re.MULTILINE))


@pytest.mark.parametrize("name", graphiql.STYLES)
def test_style_sheets_load_nothing_from_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text()
    assert "@import" not in text
    assert not re.findall(r"url\((?!data:)", text)


async def test_the_policy_lets_nothing_in_but_this_host(client: httpx.AsyncClient) -> None:
    answer = await client.get("/graphql", headers={"accept": "text/html"})
    found = _Page(answer.text)
    assert answer.headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' 'nonce-{found.settings['nonce']}'",
        "font-src data:",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    assert list(found.inline) == ["application/json"]
    assert answer.headers["vary"] == "Accept"
    again = await client.get("/graphql")
    assert found.settings["nonce"] != _Page(again.text).settings["nonce"]


def test_settings_reach_the_browser_whatever_characters_they_hold() -> None:
    example = Example('query { a(b: "</script><script>alert(1)</script>") } # é', '{"a": "<!--"}')
    found = _Page(page("/api", "/stream", [example], nonce="n"))
    assert found.settings == {
        "endpoint": "/api",
        "subscriptions": "/stream",
        "nonce": "n",
        "examples": [{"query": example.query, "variables": example.variables}],
    }
    assert "<title>Tradegraph</title>" in page()


@pytest.mark.parametrize("example", EXAMPLES, ids=["login", "portfolios", "order", "subscription"])
def test_an_example_is_valid_against_the_published_schema(example: Example) -> None:
    document = parse(example.query)
    assert validate(build_schema(SCHEMA.read_text()), document) == []
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    wanted = {variable.variable.name.value for variable in operation.variable_definitions or ()}
    assert set(json.loads(example.variables or "{}")) == wanted


def test_the_list_of_versions_names_each_vendored_file_with_its_hash() -> None:
    row = re.compile(r"^\| `([^`]+)` .*\| `([0-9a-f]{64})` \|$", re.MULTILINE)
    listed = dict(row.findall((STATIC / "VERSIONS.md").read_text()))
    own = {"tradegraph.js", "tradegraph.css", "VERSIONS.md", "LICENSES.txt"}
    vendored = {path.name: sha256(path.read_bytes()).hexdigest() for path in STATIC.iterdir() if path.name not in own}
    assert listed == vendored
