"""A process of its own for each server that is measured, and what it computes."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.servers import _free_port

START_S_MAX = 30


@asynccontextmanager
async def served(module: str, *words: str, **environment: str) -> AsyncIterator[tuple[int, str]]:
    """The module as a server, with these words and its port; gives its process's id, and its host and port."""
    port = _free_port()
    process = subprocess.Popen(  # noqa: ASYNC220, S603 - own words, at once
        [sys.executable, "-m", module, *words, str(port)], env={**os.environ, **environment}
    )
    try:
        async with asyncio.timeout(START_S_MAX):
            while not await _listens(port):
                assert process.poll() is None, f"{module} has ended"
                await asyncio.sleep(0.05)
        yield process.pid, f"127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait)


def cpu_ms(pid: int) -> float:
    """What all threads of a process have computed so far."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e6


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
