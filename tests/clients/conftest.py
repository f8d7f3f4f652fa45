"""A server for real clients of npm's, which `make clients` installs."""

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.support.server import Server

HERE = Path(__file__).parent
WAIT_S_MAX = 60


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The embedded default with its demo data, and with all that a client may use set."""
    assert (HERE / "node_modules").is_dir(), "`make clients` installs what this needs"
    async with Server(tmp_path / "home", get_queries=True) as server:
        yield server


@pytest.fixture
def node() -> Callable[..., str]:
    """Runs a script of this folder to its end; answers what it wrote."""

    def run(script: str, *words: str) -> str:
        command = ["node", str(HERE / script), *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=WAIT_S_MAX)  # noqa: S603 - own words
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run
