import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from structlog.testing import capture_logs

from graph.app import create_app
from graph.base import global_id
from graph.process import NotMigrated, Process
from infrastructure.database import DatabaseUnavailable
from infrastructure.passwords import Passwords
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.events import RecordedEvent
from resolvers.accounts.commands import logout_everywhere
from resolvers.seed import EMAIL, PASSWORD
from tests.support.clock import ManualClock
from tests.support.market import Market
from tests.support.people import context_of, signed_up
from tests.support.wait import until
from tests.support.wire import Client, client_of

ON_SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
CHEAP = Passwords(memory_kib=8, time_cost=1)
VIEWER = "{ viewer { email } }"
UP = {"database": "up", "migrations": "up", "log": "up", "quotes": "up"}


@ON_SQLITE
async def test_health_when_asked_then_the_process_runs(client: Client) -> None:
    answer = await client.http.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "ok\n")


async def test_readiness_when_the_market_has_not_quoted_then_it_says_so_until_it_has(
    client: Client, services: Services
) -> None:
    before = await client.http.get("/readyz")
    assert (before.status_code, before.json()) == (
        503,
        {"ready": False, "lacking": ["quotes"], "states": UP | {"quotes": "lacking"}},
    )
    await (await Market.open(services)).quote("AAPL", "100", "101")
    after = await client.http.get("/readyz")
    assert (after.status_code, after.json()["ready"], after.json()["lacking"]) == (200, True, [])
    assert after.json()["states"]["quotes"] == "up"


async def test_readiness_when_no_quote_is_new_then_it_says_so_and_what_needs_none_is_served(
    client: Client, services: Services, clock: ManualClock
) -> None:
    await (await Market.open(services)).quote("AAPL", "100", "101")
    clock.advance(milliseconds=services.settings.quote_stale_after_ms + 1)
    answer = await client.http.get("/readyz")
    assert (answer.status_code, answer.json()["states"]["quotes"]) == (200, "stale")


@ON_SQLITE
async def test_readiness_when_the_database_is_not_migrated_then_it_says_so(services: Services, client: Client) -> None:
    async with services.database.write() as transaction:
        await transaction.connection.exec_driver_sql("DELETE FROM alembic_version")
    answer = await client.http.get("/readyz")
    assert answer.json()["lacking"] == ["migrations", "quotes"]
    assert answer.json()["states"] == UP | {"migrations": "lacking", "quotes": "lacking"}


@ON_SQLITE
async def test_readiness_when_the_log_can_not_be_read_then_it_says_so_until_it_can(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused() -> list[RecordedEvent]:
        raise DatabaseUnavailable("not now")

    await (await Market.open(services)).quote("AAPL", "100", "101")
    with monkeypatch.context() as patch:
        patch.setattr(services.relay, "_next", refused)
        services.relay.wake()
        await until(lambda: not services.relay.reading)
        answer = await client.http.get("/readyz")
    assert (answer.status_code, answer.json()["lacking"]) == (503, ["log"])
    assert answer.json()["states"] == UP | {"log": "down"}

    await until(lambda: services.relay.reading)
    assert (await client.http.get("/readyz")).status_code == 200


@ON_SQLITE
async def test_token_when_it_is_good_then_the_viewer_is_its_user(client: Client, services: Services) -> None:
    token = (await signed_up(services)).access_token
    assert await client.data(VIEWER, token=token) == {"viewer": {"email": "ada@example.com"}}
    assert await client.data(VIEWER) == {"viewer": None}


@ON_SQLITE
async def test_token_when_it_is_bad_expired_or_revoked_then_the_whole_request_is_refused_with_why(
    client: Client, services: Services, clock: ManualClock
) -> None:
    revoked, expired = await signed_up(services), await signed_up(services, "grace@example.com")
    await logout_everywhere(await context_of(services, revoked))
    refusals = [await client.post(VIEWER, token=token) for token in ("x", revoked.access_token)]
    clock.advance(seconds=services.settings.access_token_s + 1)
    refusals.append(await client.post(VIEWER, token=expired.access_token))
    refusals.append(await client.post(VIEWER, Authorization="Basic eDp5"))
    assert [answer.status_code for answer in refusals] == [401] * 4
    assert [answer.headers["WWW-Authenticate"] for answer in refusals] == ["Bearer"] * 4
    errors = [answer.json()["errors"] for answer in refusals]
    assert [error["extensions"] for [error] in errors] == [
        {"code": "UNAUTHENTICATED", "reason": reason} for reason in ("INVALID", "REVOKED", "EXPIRED", "INVALID")
    ]
    assert all(set(answer.json()) == {"errors"} for answer in refusals)


@ON_SQLITE
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"1", b'"x"', b"null", b"{}", b'{"query": 1}', b'{"query": "{"', b"\xff"),
        *(b'{"query": "{ viewer { id } }", "variables": []}', b'{"query": "{ viewer { id } }", "operationName": 1}'),
        b'{"query": ' + b"[" * 100_000,
    ],
)
async def test_body_when_it_is_no_request_then_the_answer_is_a_clean_400(client: Client, body: bytes) -> None:
    answer = await client.http.post("/graphql", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "BAD_USER_INPUT"}
    assert error["message"]


@ON_SQLITE
async def test_get_when_it_carries_a_query_then_it_is_not_executed(client: Client) -> None:
    answer = await client.http.get("/graphql", params={"query": VIEWER})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST, OPTIONS")
    assert "viewer" not in answer.text


@ON_SQLITE
async def test_get_when_a_browser_asks_then_the_page_is_graphiql(client: Client) -> None:
    answer = await client.http.get("/graphql", headers={"Accept": "text/html", "Authorization": "Bearer stale"})
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert "<title>Tradegraph</title>" in answer.text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


@ON_SQLITE
async def test_internal_error_when_a_resolver_fails_then_the_answer_is_masked_with_a_correlation_id(
    client: Client, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: Any) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr("resolvers.portfolios.queries.portfolio", fail)
    token = (await signed_up(services)).access_token
    answer = await client.post(
        f'{{ portfolio(id: "{global_id("Portfolio", services.ids.new())}") {{ id }} }}', token=token
    )
    assert answer.status_code == 200
    assert "secret" not in answer.text
    [error] = answer.json()["errors"]
    assert (error["message"], error["path"], error["extensions"]["code"]) == (
        "Internal error",
        ["portfolio"],
        "INTERNAL",
    )
    assert len(error["extensions"]["correlationId"]) == 16


@ON_SQLITE
async def test_request_id_when_the_caller_has_one_then_it_comes_back_and_else_a_new_one(client: Client) -> None:
    given = await client.http.get("/healthz", headers={"X-Request-Id": "abc-1"})
    made = await client.http.get("/healthz", headers={"X-Request-Id": "a b\x7f" + "x" * 100})
    assert given.headers["X-Request-Id"] == "abc-1"
    assert len(made.headers["X-Request-Id"]) == 16


async def test_app_when_it_starts_and_stops_then_its_process_has_quoted_and_closes_cleanly(settings: Settings) -> None:
    app = create_app(settings, passwords=CHEAP)
    async with app.router.lifespan_context(app), client_of(app) as client:
        assert (await client.http.get("/readyz")).json()["ready"] is True
        data = await client.data('{ instrument(symbol: "AAPL") { quote { stale bid } } }')
        assert data["instrument"]["quote"]["stale"] is False
    running = {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}  # type: ignore[union-attr]  # reason: a test is a task
    assert running & {"relay", "key uses", "feed", "quotes table", "paper broker", "chores"} == set()


async def test_app_when_the_database_is_new_and_embedded_then_it_migrates_and_seeds_it_once(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "new")
    login = "mutation ($input: LoginInput!) { login(input: $input) { accessToken } }"
    names = "{ viewer { portfolios { edges { node { name } } } } }"
    for _ in range(2):
        app = create_app(settings, passwords=CHEAP)
        async with app.router.lifespan_context(app), client_of(app) as client:
            signed_in = await client.data(login, {"input": {"email": EMAIL, "password": PASSWORD}})
            data = await client.data(names, token=signed_in["login"]["accessToken"])
            assert data["viewer"]["portfolios"]["edges"] == [{"node": {"name": "Demo portfolio"}}]


async def test_app_when_another_database_is_not_migrated_then_it_refuses_to_start(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'empty.db'}", secret=SecretStr("x" * 32))
    app = create_app(settings, passwords=CHEAP)
    with pytest.raises(NotMigrated, match="run `tradegraph migrate` first"):
        async with app.router.lifespan_context(app):
            raise AssertionError("it started")


@ON_SQLITE
async def test_process_when_a_work_fails_to_start_then_those_before_it_are_stopped(services: Services) -> None:
    story: list[str] = []

    class Noted:
        def __init__(self, name: str, *, fails: bool = False) -> None:
            self.name, self.fails = name, fails

        async def start(self) -> None:
            story.append(f"{self.name} starts")
            if self.fails:
                raise RuntimeError("no")

        async def stop(self) -> None:
            story.append(f"{self.name} stops")

    process = Process(services, [Noted("one"), Noted("two", fails=True), Noted("three")])
    with pytest.raises(RuntimeError, match=r"^no$"):
        await process.start()
    await process.stop()
    assert story == ["one starts", "two starts", "two stops", "one stops"]


@ON_SQLITE
async def test_process_when_a_work_fails_to_stop_or_takes_for_ever_then_the_others_stop_and_it_is_left(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    story: list[str] = []

    class Works:
        async def start(self) -> None:
            pass

        async def stop(self) -> None:
            story.append("stopped")

    class Fails(Works):
        async def stop(self) -> None:
            raise RuntimeError("no")

    class Hangs(Works):
        async def stop(self) -> None:
            await asyncio.Event().wait()

    process = Process(services, [Works(), Fails(), Works()])
    await process.start()
    with capture_logs() as logs:
        await process.stop()
    assert story == ["stopped"] * 2
    assert [(entry["event"], entry["work"]) for entry in logs] == [("work did not stop in order", "Fails")]

    monkeypatch.setattr("graph.process.STOP_S", 0.1)
    monkeypatch.setattr("graph.process.LEAVE_S", 0.1)
    process = Process(services, [Hangs()])
    await process.start()
    with capture_logs() as logs:
        await asyncio.wait_for(process.stop(), 30)
    assert [entry["event"] for entry in logs] == ["not everything stopped in time: connections are dropped"]


@ON_SQLITE
async def test_answer_when_encoded_then_it_is_plain_json(client: Client, app: Starlette) -> None:
    answer = await client.post("{ __typename }")
    assert app.state.process is not None
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert orjson.loads(answer.content) == {"data": {"__typename": "Query"}}


@ON_SQLITE
@pytest.mark.parametrize("path", ["/graphql/", "/healthz/", "//evil.example/"])
async def test_path_when_it_has_a_slash_too_many_then_nobody_is_sent_to_the_host_that_the_request_names(
    client: Client, path: str
) -> None:
    answer = await client.http.get(f"http://tradegraph{path}", headers={"host": "evil.example"})
    assert (answer.status_code, "location" in answer.headers) == (404, False)
