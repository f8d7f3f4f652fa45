"""Files of market data, as a person imports and plays them."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from graph.cli import app
from tests.support.csvfiles import daily_rows, write

RUN = CliRunner()
CANDLES = ["candles", "import", "prices.csv", "--interval", "one_day", "--symbol", "AAPL"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own, and no settings but the test's; the logs stay as the test run has them."""
    monkeypatch.chdir(tmp_path)
    for name in ("DATABASE_URL", "TRADEGRAPH_SECRET", "TRADEGRAPH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("graph.logs.set_up", lambda _settings: None)
    return tmp_path


def rows_of(table: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect("var/tradegraph.db")
    try:
        return connection.execute(f"SELECT * FROM {table}").fetchall()  # noqa: S608 - the test's own words
    finally:
        connection.close()


def test_candles_import_when_the_file_is_good_then_what_was_done_and_what_is_odd_is_said(here: Path) -> None:
    rows = daily_rows(years=2)
    write(here / "prices.csv", [row.text for row in rows])
    checked = RUN.invoke(app, [*CANDLES, "--check"])
    assert checked.stdout.splitlines()[-1] == (
        f"{len(rows)} candles (AAPL), {rows[0].day} to {rows[-1].day}: could be imported, nothing was written."
    )
    assert rows_of("candles") == []

    done = RUN.invoke(app, CANDLES)
    first, second, last = done.stdout.splitlines()
    assert done.exit_code == 0
    assert first.startswith(f"  warning, line {len(rows) // 2 + 2}: AAPL moves by ")
    assert second == "  The column Adj Close is not used."
    assert last == f"{len(rows)} candles (AAPL), {rows[0].day} to {rows[-1].day}: imported."
    assert len(rows_of("candles")) == len(rows)


def test_candles_import_when_there_are_faults_then_the_lines_are_said_and_nothing_is_imported(here: Path) -> None:
    write(here / "prices.csv", [daily_rows(years=2)[0].text, *["2025-01-02,,12,9,11,11,100"] * 30])
    done = RUN.invoke(app, CANDLES)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        *(f"  line {line}, Open: is empty" for line in range(3, 23)),
        "  and 10 more",
        "30 faults: nothing was imported.",
    ]
    assert rows_of("candles") == []


def test_quotes_and_instruments_import_when_the_files_are_good_then_they_are_there(here: Path) -> None:
    write(here / "i.csv", ["ACME,Acme Inc.,EQUITY,USD,0.01,1"], header="Symbol,Name,Class,Currency,Tick,Lot")
    write(
        here / "q.csv",
        ["2026-01-05 14:30,10,100,11,100,10.5"],
        header="Time,Bid,Bid Size,Ask,Ask Size,Last",
    )
    instruments = RUN.invoke(app, ["instruments", "import", "i.csv"])
    quotes = RUN.invoke(app, ["quotes", "import", "q.csv", "--symbol", "ACME"])
    again = RUN.invoke(app, ["quotes", "import", "q.csv", "--symbol", "ACME"])
    assert instruments.stdout == "1 instruments (ACME): imported.\n"
    assert quotes.stdout == "1 quotes (ACME), 2026-01-05 to 2026-01-05: imported.\n"
    assert again.stdout.splitlines()[0] == "  Left out, as what is stored is as new: 1."
    assert [row[:4] for row in rows_of("quotes")] == [("ACME", "10", "100", "11")]


@pytest.mark.parametrize("words", [["candles", "import"], ["quotes", "import"], ["instruments", "import"]])
def test_import_when_there_is_no_such_file_then_that_is_said_with_exit_code_2(words: list[str]) -> None:
    done = RUN.invoke(app, [*words, "none.csv"])
    assert done.exit_code == 2
    assert "none.csv" in done.stderr


def test_serve_when_the_replay_has_faults_then_they_are_said_and_it_does_not_start(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *_: pytest.fail("it must not start"))
    (here / "q.csv").write_text("symbol,timestamp,bid,bid_size,ask,ask_size,last\nNOPE,2026-01-05,1,1,1,1,1\n")
    done = RUN.invoke(app, ["serve", "--replay", "q.csv"])
    assert (done.exit_code, done.stderr.splitlines()[0]) == (
        1,
        "  line 2, symbol: there is no instrument NOPE: import it first",
    )
    for speed in ("0", "-1", "fast", "NaN"):
        assert RUN.invoke(app, ["serve", "--replay", "q.csv", "--speed", speed]).exit_code == 2
