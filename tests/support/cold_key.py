"""`python -m tests.support.cold_key REDIS_URL PROCESSES ROUNDS`: one of so many that ask for one key at once.

In each round that is a new key. Each process has twenty callers, who begin when all processes are there; to read the
value takes next to no time, so that some come while others have it already.
"""

import asyncio
import sys
from collections.abc import Sequence
from uuid import UUID

from infrastructure import cache as cached
from infrastructure.redis import Redis
from infrastructure.settings import Settings
from tests.support.caches import ADA, NUMBERS, a_cache

CALLERS = 20


async def main(url: str, processes: int, rounds: int) -> None:
    """Ask, and say what came."""
    cached.WAIT_S, cached.LOCK_MS = 60, 60_000  # who does not get to run on a busy machine is not given up
    redis = Redis(Settings(redis_url=url, redis_timeout_ms=20_000))
    cache = await a_cache(redis, operation_ms=120_000)

    async def everybody(what: str) -> None:
        await redis.ask(lambda client: client.incr(what))
        while int(await redis.ask(lambda client: client.get(what)) or 0) < processes:  # noqa: ASYNC110 - other processes tell nobody
            await asyncio.sleep(0.001)

    async def load(keys: Sequence[UUID]) -> list[int]:
        (key,) = keys
        await redis.ask(lambda client: client.incr(f"read {key.int}"))
        return [7]

    for number in range(rounds):
        await everybody(f"there {number}")
        found = await asyncio.gather(*(cache.many(NUMBERS, ADA, [UUID(int=number)], load) for _ in range(CALLERS)))
        sys.stdout.write("".join(f"{value} " for (value,) in found))
    await redis.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
