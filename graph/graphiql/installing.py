"""`tradegraph graphiql`: brings GraphiQL's files from npm, so that its page needs no other host."""

import io
import json
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import typer

from graph.graphiql import files

WAIT_S_MAX = 60
PATIENCE = ("--fetch-retries=0", "--fetch-timeout=20000")


class Unavailable(Exception):  # noqa: N818 - reason: it is no error: the page has another way
    """Why the files could not be had."""


def graphiql() -> None:
    """Fetch the files of GraphiQL's page from npm; without them browsers load them from a CDN.

    Where there is no Node, or npm can't be reached, that is said, and all else goes on.
    """
    try:
        if not _complete():
            _install()
    except Unavailable as reason:
        typer.echo(f"GraphiQL's page will load its files from a CDN: {reason} Later: `make graphiql`.", err=True)
    else:
        typer.echo("GraphiQL is served from this host.")


def _complete() -> bool:
    paths = [(file, files.INSTALLED / file.name) for file in files.FILES]
    return all(path.is_file() and file.fits(path.read_bytes()) for file, path in paths)


def _install() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("there is no npm here (it comes with Node).")
    with tempfile.TemporaryDirectory() as folder:
        contents = {
            name: content for spec in _specs() for name, content in _unpacked(_packed(npm, spec, Path(folder)), spec)
        }
    shutil.rmtree(files.INSTALLED, ignore_errors=True)
    files.INSTALLED.mkdir(parents=True)
    for name, content in contents.items():
        (files.INSTALLED / name).write_bytes(content)


def _specs() -> list[str]:
    return list(dict.fromkeys(file.spec for file in files.FILES))


def _packed(npm: str, spec: str, folder: Path) -> bytes:
    """The package as npm has it."""
    command = [npm, "pack", spec, "--json", "--pack-destination", str(folder), *PATIENCE]
    try:
        done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=WAIT_S_MAX)  # noqa: S603 - own words
        name: str = json.loads(done.stdout)[0]["filename"]
        return (folder / name).read_bytes()
    except (subprocess.SubprocessError, OSError, ValueError, LookupError) as error:
        raise Unavailable(f"npm can't bring {spec}.") from error


def _unpacked(archive: bytes, spec: str) -> Iterator[tuple[str, bytes]]:
    """The files that the page needs of a package, by their names here."""
    wanted = [file for file in files.FILES if file.spec == spec]
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as packed:
            members = [packed.extractfile(f"package/{file.path}") for file in wanted]
            contents = [member.read() if member else b"" for member in members]
    except (tarfile.TarError, KeyError) as error:
        raise Unavailable(f"what npm has as {spec} can't be unpacked.") from error
    for file, content in zip(wanted, contents, strict=True):
        if not file.fits(content):
            raise Unavailable(f"what npm has as {spec} is not what is pinned.")
        yield file.name, content
