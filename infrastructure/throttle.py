from limits import parse

from infrastructure.budgets.addresses import household
from infrastructure.budgets.charges import Charge
from infrastructure.budgets.limiter import Limiter
from infrastructure.settings import Settings
from models.errors import Throttled


class Throttle:
    """How often one may try to sign in or to register; asked before a password is hashed."""

    def __init__(self, settings: Settings, limiter: Limiter) -> None:
        self._login_per_account = parse(settings.limit_login_per_account)
        self._login_per_address = parse(settings.limit_login_per_address)
        self._register_per_address = parse(settings.limit_register_per_address)
        self._limiter = limiter

    async def login(self, account: str, address: str) -> None:
        """Count a try at an account (a lower-case email) from an address; raises `Throttled`, and counts nothing."""
        await self._spend(
            "Too many tries to sign in.",
            Charge(self._login_per_account, f"login-account:{account}"),
            Charge(self._login_per_address, f"login-address:{household(address)}"),
        )

    async def register(self, address: str) -> None:
        """Count a registration from an address; raises `Throttled`, and counts nothing."""
        charge = Charge(self._register_per_address, f"register-address:{household(address)}")
        await self._spend("Too many registrations.", charge)

    async def _spend(self, message: str, *charges: Charge) -> None:
        spending = await self._limiter.spend(charges)
        if not spending.passed:
            raise Throttled(message, spending.wait_s)
