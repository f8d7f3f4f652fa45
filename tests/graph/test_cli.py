import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graph.cli import app
from graph.schema import printed
from infrastructure.settings import Settings
from tests.support.house import SECRET

RUN = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and no settings but the test's; the logs stay as the test run has them."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "TRADEGRAPH_SECRET", "TRADEGRAPH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("graph.logs.set_up", lambda _settings: None)
    return tmp_path


def test_schema_when_written_then_a_check_passes_until_it_is_changed(here: Path) -> None:
    missing = RUN.invoke(app, ["schema", "--check"])
    written = RUN.invoke(app, ["schema"])
    same = RUN.invoke(app, ["schema", "--check"])
    path = here / "schema.graphql"
    assert path.read_text(encoding="utf-8") == printed()
    path.write_text(printed() + "# more", encoding="utf-8")
    changed = RUN.invoke(app, ["schema", "--check"])
    assert [result.exit_code for result in (missing, written, same, changed)] == [1, 0, 0, 1]
    assert changed.stderr == "schema.graphql is not what the code says: run `tradegraph schema`.\n"


def test_settings_when_some_are_wrong_then_each_is_a_line_and_the_exit_code_is_2(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DATABASE_URL", "mysql://here")
    monkeypatch.setenv("TRADEGRAPH_PORT", "many")
    result = RUN.invoke(app, ["migrate"])
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "DATABASE_URL: it has to start with postgresql:// or sqlite:///",
        "TRADEGRAPH_PORT: Input should be a valid integer, unable to parse string as an integer",
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("LOG_LEVEL", "FOO", "TRADEGRAPH_LOG_LEVEL: it has to be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("LIMIT_LOGIN_PER_ACCOUNT", "often", "TRADEGRAPH_LIMIT_LOGIN_PER_ACCOUNT: it has to be a rate like 5/minute"),
        ("LEASE_S", "2", "TRADEGRAPH_LEASE_S: Input should be greater than or equal to 3"),
        ("PAGE_SIZE", "101", "settings: TRADEGRAPH_PAGE_SIZE may not be more than TRADEGRAPH_PAGE_SIZE_MAX"),
    ],
)
def test_setting_when_it_can_not_be_then_a_line_says_what_can(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"TRADEGRAPH_{name}", value)
    result = RUN.invoke(app, ["migrate"])
    assert (result.exit_code, result.stderr) == (2, f"{said}\n")


def test_serve_when_the_database_is_not_migrated_then_one_line_says_so(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sqlite3.connect(here / "empty.db").close()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{here / 'empty.db'}")
    monkeypatch.setenv("TRADEGRAPH_SECRET", "x" * 32)
    result = RUN.invoke(app, ["serve"])
    said = "The database is not migrated: run `tradegraph migrate` first.\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_migrate_when_the_database_is_not_there_then_one_line_says_so_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TRADEGRAPH_SECRET", SECRET)
    result = RUN.invoke(app, ["migrate"])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("the database can't be reached: ")
    assert "Connect call failed" in line


def test_serve_when_the_kept_secret_is_empty_then_one_line_says_so(here: Path) -> None:
    (here / "var").mkdir()
    (here / "var" / "secret").touch()
    result = RUN.invoke(app, ["serve"])
    said = "var/secret holds no secret of 32 bytes or more: remove it for a new one.\n"
    assert (result.exit_code, result.stderr) == (1, said)


def test_migrate_and_grant_when_the_user_is_missing_then_that_is_said(here: Path) -> None:
    migrated = RUN.invoke(app, ["migrate"])
    granted = RUN.invoke(app, ["users", "grant", "ada@example.com", "admin"])
    assert (migrated.exit_code, migrated.stdout) == (0, "The database is migrated.\n")
    assert (here / "var" / "tradegraph.db").exists()
    assert (granted.exit_code, granted.stderr) == (1, "No such user.\n")


def test_serve_when_it_listens_then_it_says_where_and_the_demo_login(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, Any] = {}

    def run(server: Any, sockets: list[Any]) -> None:
        seen["config"], seen["banner"] = server.config, server._banner
        server.started = True
        for opened in sockets:
            opened.close()

    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setenv("TRADEGRAPH_PORT", "0")
    result = RUN.invoke(app, ["serve"])
    assert (result.exit_code, capsys.readouterr().err) == (0, "")
    config = seen["config"]
    assert (config.ws_max_size, config.ws_per_message_deflate, config.timeout_graceful_shutdown) == (65536, False, 5)
    assert "http://127.0.0.1:" in seen["banner"]
    assert ":0/graphql" not in seen["banner"]
    assert "demo@tradegraph.dev / demo-password" in seen["banner"]
    assert Settings().embedded
