"""`tradegraph events …`, as it is typed."""

import asyncio
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.base import global_id
from graph.cli import app
from graph.process import build_services
from infrastructure.migrations import migrate
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.cursors import CursorExpired
from resolvers.events import queries
from tests.support.clock import START, ManualClock
from tests.support.house import settings_for
from tests.support.market import Market, Trader

RUN = CliRunner()


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of a migrated database, in the environment too."""
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path / 'tradegraph.db'}")
    monkeypatch.setenv("TRADEGRAPH_SECRET", "x" * 32)
    monkeypatch.setenv("TRADEGRAPH_HOME", str(tmp_path))
    monkeypatch.setattr("graph.logs.set_up", lambda _settings: None)
    return settings_for(f"sqlite:///{tmp_path / 'tradegraph.db'}", tmp_path)


def do(settings: Settings, work: Callable[[Services], Awaitable[object]]) -> None:
    """Something with the services of these settings."""

    async def whole() -> None:
        services = build_services(settings, ManualClock())
        await migrate(services.database, START)
        await services.relay.start()
        try:
            await work(services)
        finally:
            await services.relay.stop()
            await services.database.close()

    asyncio.run(whole())


async def a_trade(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "99.99", "100.01")
    await trader.trade("BUY", "10", "100")


def test_verify_when_the_log_is_sound_then_there_is_a_receipt_that_holds_later(settings: Settings) -> None:
    do(settings, a_trade)

    result = RUN.invoke(app, ["events", "verify"])

    found = re.fullmatch(r"8 events, and the tables are what they say\. Receipt: (8:[0-9a-f]{64})\n", result.stdout)
    assert (result.exit_code, found is not None) == (0, True), result.output
    assert found is not None
    assert RUN.invoke(app, ["events", "verify", "--receipt", found[1]]).exit_code == 0
    other = RUN.invoke(app, ["events", "verify", "--receipt", "8:" + "0" * 64])
    assert other.exit_code == 1
    assert other.stderr == "  the log up to event 8 is not the one of the receipt\n1 flaw.\n"
    assert RUN.invoke(app, ["events", "verify", "--receipt", "8"]).exit_code == 2


def test_verify_when_something_was_changed_then_each_flaw_is_a_line_with_its_number(settings: Settings) -> None:
    do(settings, a_trade)
    database = sqlite3.connect(settings.url.removeprefix("sqlite+aiosqlite:///"))
    database.execute("DROP TRIGGER events_are_kept_update")
    database.execute("UPDATE events SET actor_id = NULL WHERE seq = 5")
    database.execute("UPDATE portfolios SET cash = '99'")
    database.commit()
    database.close()

    result = RUN.invoke(app, ["events", "verify"])

    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert lines[0] == "  event 5: it does not hang on the one before it: it was changed, or the one before it"
    assert re.fullmatch(
        r"  Portfolio .{36}: the table does not have what the log says; cash: '99', not '98999'", lines[1]
    )
    assert lines[2:] == ["2 flaws."]


def test_verify_when_there_is_no_log_then_it_says_what_to_do(settings: Settings, tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "tradegraph.db").close()

    result = RUN.invoke(app, ["events", "verify"])

    assert (settings.embedded, result.exit_code) == (False, 1)
    assert result.stderr == "The database is not migrated: run `tradegraph migrate` first.\n"


def test_list_when_asked_by_type_thing_portfolio_and_time_then_these_events_are_written(settings: Settings) -> None:
    do(settings, a_trade)

    every = RUN.invoke(app, ["events", "list", "--json"])

    events = [json.loads(line) for line in every.stdout.splitlines()]
    assert [event["seq"] for event in events] == list(range(1, 9))
    [placed] = [event for event in events if event["type"] == "ORDER_PLACED"]
    order, portfolio = placed["aggregateId"], placed["portfolioId"]

    def seqs(*options: str) -> list[int]:
        result = RUN.invoke(app, ["events", "list", *options])
        assert result.exit_code == 0, result.output
        return [int(line.split()[0]) for line in result.stdout.splitlines()]

    assert seqs("--type", "ORDER_PLACED", "--type", "user_created") == [1, 5]
    assert seqs("--aggregate", order) == seqs("--aggregate", global_id("Order", order)) == [5, 6]
    assert seqs("--portfolio", global_id("Portfolio", portfolio)) == [3, 4, 5, 6, 7, 8]
    assert seqs("--aggregate-type", "Position") == [7]
    assert seqs("--after", "2", "--limit", "3") == [3, 4, 5]
    assert seqs("--from", "2026-01-05", "--to", "2026-01-05T14:29:59Z") == []
    assert seqs("--from", "2026-01-05T14:30:00", "--to", "2026-01-06") == list(range(1, 9))
    assert RUN.invoke(app, ["events", "list", "--aggregate", "nothing"]).exit_code == 2


def test_new_epoch_when_given_then_cursors_from_before_it_have_expired(settings: Settings) -> None:
    kept: list[str] = []

    async def before(services: Services) -> None:
        trader = await Trader.with_cash(services)
        kept.append(queries.cursor_of(trader.ctx, 2))
        assert await queries.known_place(trader.ctx, kept[0]) == 2

    async def after(services: Services) -> None:
        trader = await Trader.with_cash(services, email="bob@example.com")
        with pytest.raises(CursorExpired):
            await queries.known_place(trader.ctx, kept[0])

    do(settings, before)
    result = RUN.invoke(app, ["events", "new-epoch"])
    assert re.fullmatch(r"The log's epoch is [0-9a-f]{16} now: readers begin anew\.\n", result.stdout)
    do(settings, after)
    assert RUN.invoke(app, ["events", "verify"]).exit_code == 0


def test_archive_when_typed_then_the_files_are_named_and_unarchive_brings_the_events_back(
    settings: Settings, tmp_path: Path
) -> None:
    do(settings, a_trade)
    name = "events-000000000001-000000000008.jsonl.gz"

    early = RUN.invoke(app, ["events", "archive", "--before", "2026-01-05"])
    done = RUN.invoke(app, ["events", "archive", "--before", "2026-01-05T14:30:01"])

    assert (early.stdout, done.stdout) == ("0 events archived.\n", f"  {name}\n8 events archived.\n")
    assert (tmp_path / "archive" / name).exists()
    assert RUN.invoke(app, ["events", "list"]).stderr == "No such events.\n"
    assert RUN.invoke(app, ["events", "verify"]).stdout.startswith("8 events, and the tables are what they say.")
    elsewhere = RUN.invoke(app, ["events", "verify", "--folder", str(tmp_path / "elsewhere")])
    assert elsewhere.stdout.startswith(
        "The events up to 8 are archived, and not all of their files are here: left out.\n0 events, and"
    )
    gone = RUN.invoke(app, ["events", "unarchive", "--folder", str(tmp_path / "elsewhere")])
    assert (gone.exit_code, "can't be read" in gone.stderr) == (1, True)
    assert RUN.invoke(app, ["events", "unarchive", "--all"]).stdout == f"  1 to 8, from {name}\n"
    assert RUN.invoke(app, ["events", "list"]).stdout.count("\n") == 8
    future = RUN.invoke(app, ["events", "archive", "--before", "2999-01-01"])
    assert (future.exit_code, future.stderr) == (1, "2999-01-01T00:00:00.000000Z is to come: archive what is past.\n")
