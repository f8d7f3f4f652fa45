"""`tradegraph seed`, as a person types it."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.cli import app

RUN = CliRunner()


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, and no settings but the test's; the logs stay as the test run has them."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "TRADEGRAPH_SECRET", "TRADEGRAPH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("graph.logs.set_up", lambda _settings: None)


def test_seed_when_asked_for_volume_then_it_says_what_there_is_and_refuses_a_second_time() -> None:
    first = RUN.invoke(app, ["seed", "--users", "2", "--orders", "20"])
    assert first.exit_code == 0
    assert first.stdout.startswith("2 users (user1@volume.tradegraph.dev and on) and 20 orders in ")
    second = RUN.invoke(app, ["seed", "--orders", "20"])
    assert second.exit_code == 1
    assert second.stderr == "The database has volume already: use an empty one.\n"


def test_seed_when_asked_for_nothing_then_the_demo_is_there_once() -> None:
    said = [RUN.invoke(app, ["seed"]).stdout for _ in range(2)]
    login = "demo@tradegraph.dev / demo-password"
    assert said == [f"The demo is seeded: {login}\n", f"The demo is there already: {login}\n"]


@pytest.mark.parametrize("given", [["--users", "0"], ["--orders", "-1"]])
def test_seed_when_it_is_told_to_make_nothing_then_the_option_is_named(given: list[str]) -> None:
    result = RUN.invoke(app, ["seed", *given])
    assert result.exit_code == 2
    assert given[0] in result.stderr
