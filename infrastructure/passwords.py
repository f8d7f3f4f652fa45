import asyncio
import secrets

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

AT_ONCE_MAX = 2
"""Hashes in work at the same time: each takes its memory and a core."""


class Passwords:
    """Passwords hashed with argon2id, in threads, so that the event loop goes on.

    The defaults are 19 MiB (`memory_kib`), two passes (`time_cost`), one lane. Tests pass cheaper ones.
    """

    def __init__(self, *, memory_kib: int = 19 * 1024, time_cost: int = 2) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._nobodys = self._hasher.hash(secrets.token_bytes(32))
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)

    async def hash(self, password: str) -> str:
        """What is stored in the password's place; another string each time."""
        async with self._turns:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether `stored` was made of this password. None, for an unknown user, is as much work and False."""
        async with self._turns:
            matches = await asyncio.to_thread(self._matches, stored or self._nobodys, _bytes(password))
        return matches and stored is not None

    def _matches(self, stored: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except VerifyMismatchError:
            return False


def _bytes(password: str) -> bytes:
    # A lone surrogate has no UTF-8 form; it is a wrong password, not an error.
    return password.encode("utf-8", "surrogatepass")
