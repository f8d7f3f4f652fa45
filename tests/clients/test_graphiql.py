"""GraphiQL in a real browser, where there is one."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from graph import graphiql
from graph.app import create_app
from graph.graphiql import files
from graph.process import Process
from infrastructure.services import Services
from infrastructure.settings import Access
from models.enums import Role
from resolvers.accounts.commands import grant_role
from tests.clients.program import CHROMIUM, IN_BROWSER, run
from tests.support.people import PASSWORD, signed_up
from tests.support.wire import server_of

pytestmark = [pytest.mark.clients, IN_BROWSER]


async def test_graphiql_when_its_examples_are_run_then_each_answers_and_nothing_comes_from_elsewhere(
    endpoint: str, tmp_path: Path
) -> None:
    assert files.installed(), "`make graphiql` says why not"
    found = await run("graphiql.mjs", endpoint, CHROMIUM, str(tmp_path))
    assert found["tabs"] == ["Login", "Portfolios", "PlaceOrder", "PositionEvents"]
    assert (found["errors"], found["event"]) == ([], "POSITION_CHANGED")
    assert found["headers"] == ["Variables", "Headers"]
    assert (found["elsewhere"], found["complaints"]) == ([], [])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_graphiql_when_it_is_for_an_admin_then_none_but_they_sign_in_and_the_browser_keeps_nothing_of_it(
    services: Services,
) -> None:
    for email in ("ada@example.com", "root@example.com"):
        await signed_up(services, email)
    await grant_role(services, "root@example.com", Role.ADMIN)
    strict = services.settings.model_copy(update={"graphiql": Access.ADMIN, "introspection": Access.ADMIN})
    app = create_app(strict)
    app.state.process = Process(dataclasses.replace(services, settings=strict), works=[])
    async with server_of(app) as server:
        found = await run("signing_in.mjs", f"http://{server}/graphql", CHROMIUM, PASSWORD)
    assert found["refused"] == ["Email or password is wrong.", "This user is no ADMIN."]
    assert found["answer"] == {"data": {"viewer": {"role": "ADMIN"}}}
    assert "Query" in found["documented"]
    assert found["kept"] == []
    assert found["complaints"] == []


def page(_: Request) -> Response:
    return graphiql.response()


@pytest.mark.parametrize("torn", [False, True])
async def test_graphiql_when_nothing_is_installed_then_a_browser_takes_what_the_cdn_has_if_its_hash_is_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torn: bool
) -> None:
    assert files.installed(), "`make graphiql` says why not"
    there = shutil.copytree(files.INSTALLED, tmp_path / "cdn")
    if torn:
        (there / files.SCRIPTS[2].name).write_text("another")
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "none")
    cdn = json.dumps({file.on_cdn: str(there / file.name) for file in files.FILES})
    async with server_of(Starlette(routes=[Route("/graphql", page), *graphiql.routes()])) as server:
        found = await run("cdn.mjs", f"http://{server}/graphql", CHROMIUM, str(tmp_path / "cdn.png"), cdn, str(torn))
    assert sorted(found["asked"]) == sorted(file.on_cdn for file in files.FILES)
    assert ("`make graphiql`" in found["said"]) == torn
    assert any("integrity" in complaint for complaint in found["complaints"]) == torn


async def test_graphiql_when_there_is_no_cdn_either_then_the_page_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "none")
    async with server_of(Starlette(routes=[Route("/graphql", page), *graphiql.routes()])) as server:
        found = await run("cdn.mjs", f"http://{server}/graphql", CHROMIUM, str(tmp_path / "none.png"), "{}", str(True))
    assert "Where Node is installed, `make graphiql` brings them to this server." in found["said"]
