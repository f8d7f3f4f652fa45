"""Telling a reader that nothing happens."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def with_pauses(stream: AsyncGenerator[T, None], pause_s: float) -> AsyncGenerator[T | None, None]:
    """The stream, with a None each time that nothing has come for `pause_s`."""
    coming: asyncio.Future[T] = asyncio.ensure_future(anext(stream))
    try:
        while True:
            done, _ = await asyncio.wait([coming], timeout=pause_s)
            if not done:
                yield None
                continue
            try:
                found = coming.result()
            except StopAsyncIteration:
                return
            yield found
            coming = asyncio.ensure_future(anext(stream))
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
        await stream.aclose()
