import asyncio

from limits import RateLimitItem, parse
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from infrastructure.settings import Settings
from models.errors import Throttled


class Throttle:
    """How often one may try to sign in or to register; asked before a password is hashed. Kept in this process."""

    def __init__(self, settings: Settings) -> None:
        self._login_per_account = parse(settings.login_per_account)
        self._login_per_address = parse(settings.login_per_address)
        self._register_per_address = parse(settings.register_per_address)
        self._storage = MemoryStorage()
        self._windows = SlidingWindowCounterRateLimiter(self._storage)
        self._turn = asyncio.Lock()

    async def login(self, account: str, address: str) -> None:
        """Count a try at an account (a lower-case email) from an address; raises `Throttled`, and counts nothing."""
        await self._spend(
            "Too many tries to sign in.",
            (self._login_per_account, "login-account", account),
            (self._login_per_address, "login-address", address),
        )

    async def register(self, address: str) -> None:
        """Count a registration from an address; raises `Throttled`, and counts nothing."""
        await self._spend("Too many registrations.", (self._register_per_address, "register-address", address))

    async def _spend(self, message: str, *budgets: tuple[RateLimitItem, str, str]) -> None:
        # One at a time, so that between the look and the hit nobody else spends: all budgets pay, or none.
        async with self._turn:
            wait_s = max([await self._wait_s(*budget) for budget in budgets])
            if wait_s > 0:
                raise Throttled(message, wait_s)
            for budget in budgets:
                await self._windows.hit(*budget)

    async def _wait_s(self, limit: RateLimitItem, *key: str) -> float:
        """Seconds until one more is let through: until the weighted count of both windows is below the limit.

        (The library's own reset time is when either window's count next falls, which may not be enough.)
        """
        window_s = limit.get_expiry()
        before, before_ends_s, during, during_ends_s = await self._storage.get_sliding_window(
            limit.key_for(*key), window_s
        )
        if during >= limit.amount:
            return during_ends_s - window_s
        if before == 0:
            return 0
        return max(0, before_ends_s - (limit.amount - during) * window_s / before)
