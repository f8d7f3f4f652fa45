import json
import re
import shutil
from collections.abc import AsyncIterator
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
from graph.graphiql import EXAMPLES, Example, files, page

SCHEMA = Path(__file__).parents[2] / "schema.graphql"


class _Page(HTMLParser):
    """What a page loads and which scripts stand in it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.hashes: list[str] = []
        self.inline: dict[str | None, str] = {}
        self._inside: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.loads += [value for name in ("src", "href") if (value := found.get(name)) is not None]
        self.hashes += [value] if (value := found.get("integrity")) else []
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
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with our own files, and with some of the names of the others'."""
    own = tmp_path / "graphiql"
    shutil.copytree(files.OWN, own, ignore=shutil.ignore_patterns(files.INSTALLED.name))
    monkeypatch.setattr(graphiql, "OWN", own)
    monkeypatch.setattr(files, "INSTALLED", own / files.INSTALLED.name)
    files.INSTALLED.mkdir()
    for file in files.FILES:
        (files.INSTALLED / file.name).write_text("here")
    return files.INSTALLED


@pytest.fixture
def lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where there is no Node."""
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "none")


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    def explore(_: Request) -> Response:
        return graphiql.response()

    app = Starlette(routes=[Route("/graphql", explore), *graphiql.routes()])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        yield client


@pytest.mark.usefixtures("installed")
async def test_every_file_that_the_page_loads_is_served_and_kept_for_a_year(client: httpx.AsyncClient) -> None:
    loads = [path for path in _Page(page()).loads if path != "data:,"]
    assert len(loads) == 9
    for path in loads:
        answer = await client.get(path)
        assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=31536000, immutable")
        assert answer.headers["content-type"].split(";")[0] == ("text/css" if ".css" in path else "text/javascript")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    "path", ["tradegraph.js", "tradegraph.js?v=0123456789abcdef", f"npm/{files.SCRIPTS[0].name}?v=0123456789abcdef"]
)
async def test_a_file_asked_for_under_another_version_is_not_kept(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(f"/graphiql/{path}")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")


async def test_what_lies_outside_the_folder_is_not_served(client: httpx.AsyncClient) -> None:
    for path in ("/graphiql/nothing.js", "/graphiql/", "/graphiql/%2e%2e/%2e%2e/graphiql/files.py"):
        assert (await client.get(path)).status_code == 404


@pytest.mark.usefixtures("installed")
def test_the_page_and_our_own_files_name_no_other_host_where_all_is_installed() -> None:
    assert all(path.startswith("/graphiql/") or path == "data:," for path in _Page(page()).loads)
    for text in (page(), *((files.OWN / name).read_text() for name in ("tradegraph.js", "tradegraph.css"))):
        assert not re.search(r"https?://|[\"'(]//\w", re.sub(r"^\s*// .*$", "", text, flags=re.MULTILINE))


@pytest.mark.usefixtures("lacking")
def test_the_page_where_nothing_is_installed_loads_exact_versions_from_the_cdn_with_their_hashes() -> None:
    found = _Page(page())
    assert [path for path in found.loads if path.startswith("https:")] == [file.on_cdn for file in files.FILES]
    assert found.hashes == [file.integrity for file in files.FILES]
    assert [path.partition("?")[0] for path in found.loads if path.startswith("/")] == [
        "/graphiql/tradegraph.css",
        "/graphiql/tradegraph.js",
    ]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", file.version) for file in files.FILES)


def test_the_page_when_one_file_is_lacking_then_none_is_loaded_from_here(installed: Path) -> None:
    (installed / files.SCRIPTS[0].name).unlink()
    assert [path for path in _Page(page()).loads if "/npm/" in path] == [file.on_cdn for file in files.FILES]


@pytest.mark.parametrize("place", ["installed", "lacking"])
async def test_the_policy_lets_nothing_in_but_this_host_and_the_files_of_the_page(
    client: httpx.AsyncClient, place: str, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue(place)
    answer = await client.get("/graphql", headers={"accept": "text/html"})
    found = _Page(answer.text)
    scripts, styles = (
        "".join(f" {file.on_cdn}" for file in kind) if place == "lacking" else ""
        for kind in (files.SCRIPTS, files.STYLES)
    )
    assert answer.headers["content-security-policy"].split("; ") == [
        "default-src 'none'",
        f"script-src 'self'{scripts}",
        f"style-src 'self' 'nonce-{found.settings['nonce']}'{styles}",
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


def test_the_page_for_an_admin_shows_no_examples_and_no_form_that_could_be_sent_elsewhere_or_in_the_address() -> None:
    html = page(to_admin=True)
    assert _Page(html).settings["examples"] == []
    assert re.findall(r"<form[^>]*>", html) == ['<form id="sign-in" method="post" hidden>']
    assert "<form" not in page()


@pytest.mark.parametrize("example", EXAMPLES, ids=["login", "portfolios", "order", "subscription"])
def test_an_example_is_valid_against_the_published_schema(example: Example) -> None:
    document = parse(example.query)
    assert validate(build_schema(SCHEMA.read_text()), document) == []
    (operation,) = document.definitions
    assert isinstance(operation, OperationDefinitionNode)
    wanted = {variable.variable.name.value for variable in operation.variable_definitions or ()}
    assert set(json.loads(example.variables or "{}")) == wanted
