import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from limits import RateLimitItem
from limits.aio.strategies import RateLimiter
from limits.util import WindowStats

from infrastructure.budgets.charges import Bucket, Charge, Standing
from infrastructure.budgets.memory import MemoryBudgets
from infrastructure.budgets.shared import SharedBudgets
from infrastructure.clock import Clock
from infrastructure.redis import Redis, RedisUnavailable

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Spending:
    """What became of charges: all of them passed, or none was made."""

    standings: Sequence[Standing]
    shared: bool
    """Whether it was charged on Redis, and not in this process's memory."""

    @property
    def wait_s(self) -> float:
        """0 if it passed, else the seconds until it would; infinite if it never would."""
        return max((standing.wait_s for standing in self.standings), default=0)

    @property
    def passed(self) -> bool:
        """Whether it was charged."""
        return self.wait_s == 0


class Limiter(RateLimiter):
    """Budgets of points and of requests: on Redis where there is one, so that all processes share them, else in memory.

    While Redis is gone, this process goes on with a share of each budget in its own memory. It is a strategy of the
    library `limits` (`hit`, `test`, `get_window_stats`, `clear`) that charges several budgets at once (`spend`), and
    gives back (`give_back`).
    """

    def __init__(
        self, clock: Clock, redis: Redis | None = None, share: float = 1, now: Callable[[], float] = time.monotonic
    ) -> None:
        # Not the library's own: it wants one of its storages, and this strategy keeps its budgets itself.
        self._memory = MemoryBudgets(now)
        self._shared = None if redis is None else SharedBudgets(redis)
        self._share = share
        self._clock = clock
        self._fell_back = False
        self._returning: set[asyncio.Task[None]] = set()
        self.fallbacks = 0
        """How many spendings were charged here because Redis was gone."""

    @property
    def is_shared(self) -> bool:
        """Whether spending has to ask another process."""
        return self._shared is not None

    async def spend(self, charges: Sequence[Charge]) -> Spending:
        """Charge all if each passes, else none; each key once."""
        if self._shared is None:
            return Spending(self._memory.spend(charges), shared=False)
        try:
            found = await self._shared.spend(charges)
        except RedisUnavailable:
            self._tell(fell_back=True)
            self.fallbacks += 1
            return Spending(self._memory.spend([charge.share(self._share) for charge in charges]), shared=False)
        self._tell(fell_back=False)
        return Spending(found, shared=True)

    def give_back(self, spending: Spending, points: int) -> None:
        """Put points back into the buckets of a spending that passed; on Redis that is under way when this returns.

        Raises `ValueError` for more than was charged.
        """
        charges = [each.charge for each in spending.standings if isinstance(each.charge.limit, Bucket)]
        if not 0 <= points <= min((charge.cost for charge in charges), default=points):
            raise ValueError("what is given back was charged before")
        charges = [Charge(charge.limit, charge.key, points) for charge in charges]
        if self._shared is None or not spending.shared:
            self._memory.give_back(charges)
            return
        task = asyncio.create_task(self._return(self._shared, charges))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def settle(self) -> None:
        """Wait until all that is given back is there."""
        while self._returning:
            await asyncio.wait(self._returning)

    async def hit(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Charge one budget; whether it passed."""
        return (await self.spend([Charge(item, item.key_for(*identifiers), cost)])).passed

    async def test(self, item: RateLimitItem, *identifiers: str, cost: int = 1) -> bool:
        """Whether a charge would pass now."""
        (standing,) = (await self.spend([Charge(item, item.key_for(*identifiers), 0)])).standings
        return standing.remaining >= cost

    async def get_window_stats(self, item: RateLimitItem, *identifiers: str) -> WindowStats:
        """When the budget is whole again, in seconds since the epoch, and what is left of it."""
        (standing,) = (await self.spend([Charge(item, item.key_for(*identifiers), 0)])).standings
        reset_time = self._clock.now().timestamp() + standing.full_s
        return WindowStats(reset_time, math.floor(standing.remaining))

    async def clear(self, item: RateLimitItem, *identifiers: str) -> None:
        """Forget what was spent of one budget."""
        key = item.key_for(*identifiers)
        self._memory.clear(key)
        if self._shared is not None:
            with contextlib.suppress(RedisUnavailable):
                await self._shared.clear(key)

    async def _return(self, shared: SharedBudgets, charges: Sequence[Charge]) -> None:
        try:
            await shared.give_back(charges)
        except RedisUnavailable:
            logger.warning("points could not be given back", keys=[charge.key for charge in charges])

    def _tell(self, *, fell_back: bool) -> None:
        if fell_back and not self._fell_back:
            logger.error("limits are kept in this process: redis is gone", share=self._share)
        elif self._fell_back and not fell_back:
            logger.warning("limits are shared again")
        self._fell_back = fell_back
