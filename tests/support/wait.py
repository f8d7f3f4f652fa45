"""Waiting for what a test cannot be told of."""

import asyncio
from collections.abc import Callable


async def until(condition: Callable[[], object], seconds_max: float = 30) -> None:
    """Let everything else go on until the condition holds; `TimeoutError` if it does not in time."""
    async with asyncio.timeout(seconds_max):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0)
