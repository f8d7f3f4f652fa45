"""A process that spends from a bucket on Redis, many times at once, and says how often that passed.

Its arguments: the URL, how often, the cost, the bucket's capacity.
"""

import asyncio
import sys

from infrastructure.budgets.charges import Bucket, Charge
from infrastructure.budgets.limiter import Limiter
from infrastructure.clock import SystemClock
from infrastructure.redis import Redis
from infrastructure.settings import Settings


async def spend(url: str, times: int, cost: int, capacity: int) -> int:
    redis = Redis(Settings(redis_url=url, redis_timeout_ms=30_000))
    limiter = Limiter(SystemClock(), redis)
    charge = Charge(Bucket(capacity, 0), "user:1", cost)
    found = await asyncio.gather(*(limiter.spend([charge]) for _ in range(times)))
    await redis.close()
    assert all(spending.shared for spending in found)
    return sum(spending.passed for spending in found)


if __name__ == "__main__":
    sys.stdout.write(str(asyncio.run(spend(sys.argv[1], *map(int, sys.argv[2:])))))
