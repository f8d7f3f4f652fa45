"""A stand-in for npm brings what a test gives it: the suite needs neither Node nor a network."""

import dataclasses
import io
import sys
import tarfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from graph.cli import app
from graph.graphiql import files
from graph.graphiql.files import File, integrity_of

SCRIPT, STYLE = b"script", b"style"
FILES = (
    File("@a/one", "1.0.0", "dist/one.css", integrity_of(STYLE)),
    File("@a/one", "1.0.0", "dist/one.js", integrity_of(SCRIPT)),
)
NPM = """#!{python}
import json, pathlib, shutil, sys
words = sys.argv[1:]
assert words[:2] == ["pack", "@a/one@1.0.0"], words
shutil.copy("{archive}", pathlib.Path(words[words.index("--pack-destination") + 1]) / "a-one-1.0.0.tgz")
print(json.dumps([dict(filename="a-one-1.0.0.tgz")]))
"""
SERVED = "GraphiQL is served from this host.\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the files go; nothing else is on the path."""
    monkeypatch.setattr(files, "FILES", FILES)
    monkeypatch.setattr(files, "INSTALLED", tmp_path / "npm")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    return tmp_path


def npm(here: Path, text: str) -> None:
    path = here / "bin" / "npm"
    path.write_text(text)
    path.chmod(0o700)


def packed(here: Path, script: bytes = SCRIPT) -> None:
    """npm has a package with these files."""
    archive = here / "archive.tgz"
    with tarfile.open(archive, "w:gz") as into:
        for name, content in (("package/dist/one.css", STYLE), ("package/dist/one.js", script)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            into.addfile(member, io.BytesIO(content))
    npm(here, NPM.format(python=sys.executable, archive=archive))


def test_graphiql_when_npm_has_its_files_then_they_are_installed_once(here: Path) -> None:
    packed(here)
    first = CliRunner().invoke(app, ["graphiql"])
    assert (first.exit_code, first.stdout) == (0, SERVED)
    assert {path.name: path.read_bytes() for path in files.INSTALLED.iterdir()} == {
        "one-1.0.0.css": STYLE,
        "one-1.0.0.js": SCRIPT,
    }
    assert files.installed()

    (here / "bin" / "npm").unlink()
    again = CliRunner().invoke(app, ["graphiql"])
    assert (again.exit_code, again.stdout) == (0, SERVED)


def test_graphiql_when_another_version_is_wanted_then_what_is_here_is_none_of_it(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(here)
    CliRunner().invoke(app, ["graphiql"])
    monkeypatch.setattr(files, "FILES", [dataclasses.replace(file, version="1.0.1") for file in FILES])
    assert not files.installed()


def test_graphiql_when_a_file_here_has_changed_then_it_is_fetched_again(here: Path) -> None:
    packed(here)
    CliRunner().invoke(app, ["graphiql"])
    (files.INSTALLED / "one-1.0.0.js").write_text("torn")
    CliRunner().invoke(app, ["graphiql"])
    assert (files.INSTALLED / "one-1.0.0.js").read_bytes() == SCRIPT


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("none", "there is no npm here (it comes with Node)."),
        ("fails", "npm can't bring @a/one@1.0.0."),
        ("nonsense", "npm can't bring @a/one@1.0.0."),
        ("no archive", "what npm has as @a/one@1.0.0 can't be unpacked."),
        ("another content", "what npm has as @a/one@1.0.0 is not what is pinned."),
    ],
)
def test_graphiql_when_its_files_can_not_be_had_then_that_is_said_and_all_else_goes_on(
    here: Path, case: str, said: str
) -> None:
    if case == "fails":
        npm(here, f"#!{sys.executable}\nraise SystemExit(1)\n")
    elif case == "nonsense":
        npm(here, f"#!{sys.executable}\n")
    elif case == "no archive":
        packed(here)
        (here / "archive.tgz").write_text("torn")
    elif case == "another content":
        packed(here, script=b"another")
    result = CliRunner().invoke(app, ["graphiql"])
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"GraphiQL's page will load its files from a CDN: {said} Later: `make graphiql`.\n"
    assert not files.INSTALLED.exists()
