"""`tradegraph schema`: the file that clients are made from, and what has changed in it since the last release."""

from pathlib import Path
from typing import Annotated

import typer

from graph.changes import CHANGELOG, RELEASED, breaking, dangerous, lines_to_add
from graph.schema import printed

SCHEMA = Path("schema.graphql")


def schema(
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Compare only; exit 1 if schema.graphql differs, or CHANGELOG.md does not name what breaks clients.",
        ),
    ] = False,
    changes: Annotated[bool, typer.Option("--changes", help="Say what has changed since the last release.")] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Also keep it as what the next one is held against.")
    ] = False,
) -> None:
    """Write schema.graphql into the current directory."""
    text = printed()
    if check:
        _check(text)
    elif changes:
        _tell(text)
    else:
        for path in (SCHEMA, RELEASED) if release else (SCHEMA,):
            path.write_text(text, encoding="utf-8")


def _check(text: str) -> None:
    if not SCHEMA.exists() or SCHEMA.read_text(encoding="utf-8") != text:
        typer.echo("schema.graphql is not what the code says: run `tradegraph schema`.", err=True)
        raise typer.Exit(1)
    if lacking := lines_to_add(
        _released(text), text, CHANGELOG.read_text(encoding="utf-8") if CHANGELOG.exists() else ""
    ):
        typer.echo("This breaks clients of the last release. Add to CHANGELOG.md, below Unreleased:", err=True)
        typer.echo("\n".join(lacking), err=True)
        raise typer.Exit(1)


def _tell(text: str) -> None:
    released = _released(text)
    for mark, found in (("breaking", breaking(released, text)), ("dangerous", dangerous(released, text))):
        for change in found:
            typer.echo(f"{mark}: {change}")


def _released(text: str) -> str:
    """The schema as it was released last; `text` itself if there was no release."""
    return RELEASED.read_text(encoding="utf-8") if RELEASED.exists() else text
