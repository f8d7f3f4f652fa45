"""A person's first minutes, from a fresh clone: soaked only, as setting up needs the network."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
SETUP_S_MAX = 600
END_S_MAX = 30

pytestmark = [pytest.mark.soak, pytest.mark.timeout(900)]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
def test_clone_when_make_run_is_typed_then_it_serves_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    clone, output = tmp_path / "tradegraph", tmp_path / "output"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)  # noqa: S603, S607 - own words
    server = Server(tmp_path)  # for its free port only
    environment = {**os.environ, "TRADEGRAPH_PORT": server.address.rpartition(":")[2]}
    command = ["make", "run"]
    with output.open("wb") as written:
        run = subprocess.Popen(command, cwd=clone, env=environment, stdout=written, stderr=written, process_group=0)  # noqa: S603 - own words
    try:
        _wait(lambda: run.poll() is not None or _ready(server.url), SETUP_S_MAX)
        assert run.poll() is None, output.read_text()
        answer = httpx.post(f"{server.url}/graphql", json={"query": "{ viewer { id } }"})
        assert answer.json() == {"data": {"viewer": None}}
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to make, too
        run.wait(END_S_MAX)
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    assert "demo@tradegraph.dev / demo-password" in output.read_text()
    assert "Finished server process" in output.read_text()
    assert (clone / "var" / "tradegraph.db").exists()


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=1, trust_env=False).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _wait(condition: Callable[[], bool], seconds_max: float) -> None:
    deadline = time.monotonic() + seconds_max
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
