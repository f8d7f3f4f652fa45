from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.changes import CHANGELOG, RELEASED, breaking, dangerous, lines_to_add
from graph.cli import app
from graph.schema import printed

BEFORE = "type Query { order(id: ID!): Order } type Order { id: ID! side: Side! note: String } enum Side { BUY SELL }"
NOW = "type Query { order(id: ID!, at: Int): Order } type Order { id: ID! side: Side } enum Side { BUY SELL SHORT }"
BREAKS = ["Field Order.side changed type from Side! to Side.", "Field Order.note was removed."]
HEAD = "# Changelog\n\n## [0.2.0] - Unreleased\n\n### Changed\n\n"
OLDER = "\n## [0.1.0] - 2026-01-01\n\n- **Breaking**: Field Order.note was removed.\n"


def test_changes_when_a_schema_is_another_then_what_breaks_clients_is_told_from_what_may() -> None:
    assert sorted(breaking(BEFORE, NOW)) == sorted(BREAKS)
    assert sorted(dangerous(BEFORE, NOW)) == [
        "An optional argument Query.order(at:) was added.",
        "Enum value Side.SHORT was added.",
    ]
    assert [*breaking(NOW, NOW), *dangerous(NOW, NOW)] == []


@pytest.mark.parametrize(
    ("named", "lacking"),
    [
        ("", BREAKS),
        (f"- **Breaking**: {BREAKS[0]}\n", BREAKS[1:]),
        (
            f"- **Breaking**: {BREAKS[0]} Null for a transfer.\n- **Breaking**: Field\n  Order.note was removed.\n",
            [],
        ),
    ],
)
def test_changelog_when_its_unreleased_part_names_a_breaking_change_then_it_is_not_lacking(
    named: str, lacking: list[str]
) -> None:
    found = lines_to_add(BEFORE, NOW, HEAD + named + OLDER)
    assert sorted(found) == sorted(f"- **Breaking**: {change}" for change in lacking)


def test_changelog_when_it_has_no_unreleased_part_then_every_breaking_change_is_lacking() -> None:
    assert len(lines_to_add(BEFORE, NOW, f"# Changelog\n{OLDER}")) == len(BREAKS)


def test_schema_check_when_a_field_of_the_last_release_is_gone_then_it_fails_and_says_which_line_to_add(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = CliRunner()
    RELEASED.parent.mkdir()
    assert run.invoke(app, ["schema", "--release"]).exit_code == 0
    assert RELEASED.read_text(encoding="utf-8") == printed()
    assert run.invoke(app, ["schema", "--check"]).exit_code == 0

    RELEASED.write_text(printed().replace("type Query {", 'type Query {\n  "Gone."\n  gone: Int\n'), encoding="utf-8")
    failed = run.invoke(app, ["schema", "--check"])
    line = "- **Breaking**: Field Query.gone was removed."
    assert (failed.exit_code, failed.stderr.splitlines()[-1]) == (1, line)
    assert run.invoke(app, ["schema", "--changes"]).stdout == "breaking: Field Query.gone was removed.\n"

    CHANGELOG.write_text(f"{HEAD}{line}\n", encoding="utf-8")
    assert run.invoke(app, ["schema", "--check"]).exit_code == 0
