"""`python -m tests.support.cold_key REDIS_URL PROCESSES`: one of so many processes that ask for one key at once.

Each has twenty callers, who begin when all processes are there. The value is read only once everybody has asked.
"""

import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID

from infrastructure.redis import Redis
from infrastructure.settings import Settings
from tests.support.caches import ADA, NUMBERS, A, a_cache

CALLERS = 20


async def main(url: str, processes: int) -> None:
    """Ask, and say what came."""
    redis = Redis(Settings(redis_url=url, redis_timeout_ms=5000))
    cache = await a_cache(redis)

    async def everybody(what: str, count: int) -> None:
        while int(await redis.ask(lambda client: client.get(what)) or 0) < count:  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.005)

    async def load(keys: Sequence[UUID]) -> list[int]:
        await redis.ask(lambda client: client.incr("read"))
        await everybody("asked", processes * CALLERS)
        return [7 for _ in keys]

    async def ask() -> int:
        await redis.ask(lambda client: client.incr("asked"))
        (value,) = await cache.many(NUMBERS, ADA, [A], load)
        return value

    await redis.ask(lambda client: client.incr("there"))
    await everybody("there", processes)
    values = await asyncio.gather(*(ask() for _ in range(CALLERS)))
    sys.stdout.write(" ".join(map(str, values)))
    await redis.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
