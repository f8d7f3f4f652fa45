from collections.abc import AsyncIterator

import pytest

from infrastructure.budgets.limiter import Limiter
from infrastructure.redis import Redis
from infrastructure.settings import Settings
from tests.support.clock import ManualClock


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest, clock: ManualClock) -> AsyncIterator[Limiter]:
    """A limiter in memory, and one on a real Redis."""
    if request.param == "memory":
        yield Limiter(clock)
        return
    redis = Redis(Settings(redis_url=request.getfixturevalue("redis_url"), redis_timeout_ms=5000))
    limiter = Limiter(clock, redis)
    yield limiter
    await limiter.settle()
    await redis.close()
