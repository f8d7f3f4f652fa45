"""`tradegraph serve` in a process of its own, as a person starts it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.support.house import PATIENCE, SECRET
from tests.support.servers import _free_port
from tests.support.wire import Client

WAIT_S_MAX = 60.0
OUTPUT_LINES_SHOWN = 80
ACCESS = "[uvicorn.access]"
POLL_S = 0.02
WORKS = "Tradegraph worker"
COMMAND = Path(sys.executable).with_name("tradegraph")


class Server:
    """A server on a port that stays its own over kills and restarts; its output is kept in a file under `home`.

    Without a `database_url` it is the embedded default: SQLite under `home`, migrated and seeded by the server itself.
    As an asynchronous context manager it starts and ends; what goes wrong inside is shown with its output.
    """

    WORDS = ("serve",)

    def __init__(self, home: Path, database_url: str = "", **settings: Any) -> None:
        """`settings` are those of `Settings`, by their names."""
        self.address = f"127.0.0.1:{_free_port()}"
        self.home = home
        self._environment = _environment(home, database_url, self.address, settings)
        self._process: subprocess.Popen[bytes] | None = None
        self._watchdog: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{self.address}"

    @property
    def output(self) -> str:
        """All that its processes have written."""
        path = self._output_path
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def _output_path(self) -> Path:
        return self.home / "server.log"

    async def start(self) -> None:
        """Start, and wait until requests can be served."""
        assert self._process is None, "this server is already up"
        self._launch()
        await self.ready()

    async def ready(self) -> None:
        """Wait until requests can be served."""
        deadline = time.monotonic() + WAIT_S_MAX
        async with httpx.AsyncClient(base_url=self.url, trust_env=False) as http:
            while not await _is_ready(http):
                assert self._process is not None, "the server is down"
                assert self._process.poll() is None, f"the server has ended:\n{self.tail()}"
                assert time.monotonic() < deadline, f"the server was not ready in time:\n{self.tail()}"
                await asyncio.sleep(POLL_S)

    def kill(self) -> None:
        """SIGKILL: it gets no chance to end in order."""
        assert self._process is not None, "the server is down"
        self._process.kill()
        self._process.wait(WAIT_S_MAX)
        self._let_go()

    async def stop(self) -> float:
        """SIGTERM; it has to end by itself with exit code 0. Answers how long that took, in seconds."""
        process = self._process
        assert process is not None, "the server is down"
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(process.wait, WAIT_S_MAX)
        assert code == 0, f"the server ended with {code}:\n{self.tail()}"
        self._let_go()
        return time.monotonic() - began

    def run(self, *words: str) -> str:
        """Another `tradegraph` command with the same settings, to its end; answers what it said."""
        done = subprocess.run(  # noqa: S603 - own words
            [COMMAND, *words], env=self._environment, check=False, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def tail(self) -> str:
        """The end of its output, without the requests that went well."""
        lines = [line for line in self.output.splitlines() if ACCESS not in line or " 200 " not in line]
        return "\n".join(lines[-OUTPUT_LINES_SHOWN:])

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """A client with connections of its own."""
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=WAIT_S_MAX, limits=limits) as http:
            yield Client(http)

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None and self._process is not None:
                await self.stop()
        finally:
            self._end()
        if error is not None:
            error.add_note(f"The server's output ended with:\n{self.tail()}")

    def _launch(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with self._output_path.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - own words
                [COMMAND, *self.WORDS], env=self._environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        self._watchdog = _watch(self._process.pid)

    def _end(self) -> None:
        if self._process is not None:
            self.kill()

    def _let_go(self) -> None:
        self._process = None
        if self._watchdog is not None:
            self._watchdog.kill()
            self._watchdog.communicate()
            self._watchdog = None


class Worker(Server):
    """`tradegraph worker`, which serves nobody."""

    WORDS = ("worker",)

    async def ready(self) -> None:
        """Wait until it works."""
        deadline = time.monotonic() + WAIT_S_MAX
        begun = self.output.count(WORKS)
        while self.output.count(WORKS) == begun:
            assert self._process is not None, "the worker is down"
            assert self._process.poll() is None, f"the worker has ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"the worker was not ready in time:\n{self.tail()}"
            await asyncio.sleep(POLL_S)


async def _is_ready(http: httpx.AsyncClient) -> bool:
    try:
        return (await http.get("/readyz")).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _environment(home: Path, database_url: str, address: str, given: dict[str, Any]) -> dict[str, str]:
    """This process's environment, but for what it says of Tradegraph itself."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TRADEGRAPH_") and name not in {"DATABASE_URL", "REDIS_URL"}
    }
    # Without a history of candles, which takes seconds to compute, and without limits: both are tested by themselves.
    settings = PATIENCE | given
    redis_url = settings.pop("redis_url", "")
    own = {
        "TRADEGRAPH_HOME": str(home),
        "TRADEGRAPH_PORT": address.rpartition(":")[2],
        "TRADEGRAPH_CANDLE_DAYS": "0",
        "TRADEGRAPH_LIMITS": "off",
    }
    if redis_url:
        own["REDIS_URL"] = redis_url
    if database_url:
        own |= {"DATABASE_URL": database_url, "TRADEGRAPH_SECRET": SECRET}
    return inherited | own | {f"TRADEGRAPH_{name}".upper(): str(value) for name, value in settings.items()}


def _watch(pid: int) -> subprocess.Popen[bytes]:
    """A process that outlives this one if it is killed, to end the server `pid`."""
    return subprocess.Popen(  # noqa: S603 - own words
        ["/bin/sh", "-c", 'read -r line; kill -KILL "$1"', "sh", str(pid)],
        stdin=subprocess.PIPE,  # ends when this process ends, however it ends
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
