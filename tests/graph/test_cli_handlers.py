"""Handlers as who runs the place sees them."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.cli import app
from graph.cli.running import with_services
from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS
from infrastructure.rows import values
from infrastructure.services import Services
from models.handling import DeadLetter
from models.payloads import moment_text
from resolvers.registry import HANDLERS, bus_of
from tests.support.clock import START
from tests.support.handlers import head
from tests.support.market import Market, Trader

RUN = CliRunner()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own with a migrated database, and no settings but the test's."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "TRADEGRAPH_SECRET", "TRADEGRAPH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("graph.logs.set_up", lambda _settings: None)
    assert RUN.invoke(app, ["migrate"]).exit_code == 0
    return tmp_path


def test_handlers_when_listed_then_each_has_a_line_with_how_it_is_and_what_it_reacts_to() -> None:
    seq, _ = an_order_whose_confirmation_was_given_up()
    _, *lines = RUN.invoke(app, ["events", "handlers"]).stdout.splitlines()
    assert [line.split()[0] for line in lines] == [handler.name for handler in HANDLERS]
    end = str(seq + 2)
    assert lines[0].split() == ["order-audit", end, "0", "-", "0", "0", "-", "ORDER_PLACED"]
    assert lines[2].split() == ["order-executed", end, "0", "-", "0", "1", "-", "ORDER_EXECUTED"]


def an_order_whose_confirmation_was_given_up() -> tuple[int, str]:
    """Its event's number, and a moment when every handler had dealt with all that there was, but for that."""

    async def prepare(services: Services) -> tuple[int, str]:
        market = await Market.open(services)
        await market.quote("AAPL", "100", "100.1")
        await bus_of(services).register()
        await services.relay.start()
        trader = await Trader.with_cash(services)
        order = (await trader.place("BUY", "1", limit="100")).value
        await trader.fill(order, "1", "100")
        async with services.database.read() as connection:
            executed = "SELECT seq FROM events WHERE type = 'ORDER_EXECUTED'"
            seq = int((await connection.exec_driver_sql(executed)).scalar_one())
        async with services.database.write() as tx:
            letter = DeadLetter("order-executed", seq, 8, "RuntimeError: no", START)
            await tx.execute(DEAD_LETTERS.insert().values(values(letter)))
            await tx.execute(CHECKPOINTS.update().values(seq=await head(services)))
        await services.relay.stop()
        return seq, moment_text(services.clock.now())

    return with_services(prepare)


def test_dead_letters_when_listed_and_replayed_then_they_are_dealt_with_and_gone() -> None:
    assert RUN.invoke(app, ["events", "dead-letters"]).stdout == "There are none.\n"
    seq, _ = an_order_whose_confirmation_was_given_up()
    listed = RUN.invoke(app, ["events", "dead-letters", "--handler", "order-executed"]).stdout
    assert listed.split() == [
        "order-executed", str(seq), "2026-01-05", "14:30:00Z", "8", "attempts", "RuntimeError:", "no",
    ]  # fmt: skip
    done = RUN.invoke(app, ["events", "replay", "--handler", "order-executed"])
    assert (done.exit_code, done.stdout) == (0, "1 event was dealt with, 0 failed.\n")
    assert RUN.invoke(app, ["events", "dead-letters"]).stdout == "There are none.\n"
    old = RUN.invoke(app, ["events", "replay", "--handler", "order-executed", "--after", "0"])
    assert (old.exit_code, old.stdout) == (0, "1 event was dealt with, 0 failed.\n")


def test_replay_when_there_is_no_such_handler_then_it_says_which_there_are() -> None:
    done = RUN.invoke(app, ["events", "replay", "--handler", "nobody"])
    assert done.exit_code == 2
    assert "there is no handler 'nobody'" in done.stderr


def test_dead_letters_when_dropped_then_they_are_gone_and_no_longer_keep_the_log_from_being_archived() -> None:
    seq, moment = an_order_whose_confirmation_was_given_up()
    archive = ["events", "archive", "--before", moment]
    held = RUN.invoke(app, archive)
    assert held.stdout.splitlines()[-1].endswith("events archived.")
    assert held.stderr == f"The rest stays: event {seq} is a dead letter of the handler order-executed.\n"

    nobodys = RUN.invoke(app, ["events", "dead-letters", "--drop", str(seq)])
    assert (nobodys.exit_code, "say of which handler" in nobodys.stderr) == (2, True)
    wrong = RUN.invoke(app, ["events", "dead-letters", "--handler", "order-executed", "--drop", str(seq + 1)])
    assert (wrong.exit_code, wrong.stderr) == (1, f"The handler order-executed has no dead letter {seq + 1}.\n")
    done = RUN.invoke(app, ["events", "dead-letters", "--handler", "order-executed", "--drop", str(seq)])
    assert (done.exit_code, done.stdout) == (0, "1 dead letter was dropped.\n")
    assert RUN.invoke(app, ["events", "dead-letters"]).stdout == "There are none.\n"
    again = RUN.invoke(app, ["events", "dead-letters", "--handler", "order-executed", "--drop-all"])
    assert (again.exit_code, again.stdout) == (0, "0 dead letters were dropped.\n")
    free = RUN.invoke(app, archive)
    assert (free.exit_code, free.stderr) == (0, "")
