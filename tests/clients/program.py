"""A script of this folder that runs in Node, and says what it found as lines of JSON."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

HERE = Path(__file__).parent
WAIT_S_MAX = 60.0
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
IN_BROWSER = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")


class Program:
    """Runs while it is entered; what it says to stderr is shown when it ends badly."""

    def __init__(self, script: str, *words: str) -> None:
        """The script's name here, and its arguments."""
        self._words = ["node", str(HERE / script), *words]
        self._process: asyncio.subprocess.Process | None = None

    async def heard(self) -> Any:
        """The next that it says."""
        output = self._running.stdout
        assert output is not None
        line = await asyncio.wait_for(output.readline(), WAIT_S_MAX)
        return json.loads(line) if line else await self._ended()

    async def tell(self) -> None:
        """Let it go on: it waits for a line."""
        given = self._running.stdin
        assert given is not None
        given.write(b"\n")
        await given.drain()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        assert self._process is not None, "it is not entered"
        return self._process

    async def _ended(self) -> None:
        _, errors = await self._running.communicate()
        raise AssertionError(f"{self._words[1]} ended with {self._running.returncode}:\n{errors.decode()}")

    async def __aenter__(self) -> Self:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self._words, cwd=HERE, stdin=pipe, stdout=pipe, stderr=pipe, limit=2**24
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._running.returncode is None and error is not None:
            self._running.kill()
        _, errors = await asyncio.wait_for(self._running.communicate(), WAIT_S_MAX)
        if error is None:
            assert self._running.returncode == 0, errors.decode()
        else:
            error.add_note(f"{self._words[1]} said: {errors.decode()}")


async def run(script: str, *words: str) -> Any:
    """What a script says that says one thing and ends."""
    async with Program(script, *words) as program:
        return await program.heard()


def tool(name: str, *words: str, cwd: Path = HERE) -> str:
    """Run one of the installed packages' commands to its end, which has to be good; what it said."""
    command = [str(HERE / "node_modules" / ".bin" / name), *words]
    done = subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, timeout=WAIT_S_MAX)  # noqa: S603 - own words
    return done.stdout
