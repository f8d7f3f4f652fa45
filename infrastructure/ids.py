"""Where new ids and secrets come from."""

import random
import secrets
from uuid import UUID

from infrastructure.clock import Clock


class Ids:
    """Time-ordered ids (UUID version 7, RFC 9562 section 5.7): new rows stand together in an index.

    Give `source` a seeded `random.Random` to have the same ids again.
    """

    def __init__(self, clock: Clock, source: random.Random | None = None) -> None:
        self._clock = clock
        self._source = source or random.SystemRandom()

    def new(self) -> UUID:
        """An id that nothing else has."""
        unix_ms = int(self._clock.now().timestamp() * 1000)
        return UUID(
            int=unix_ms << 80
            | 0x7 << 76
            | self._source.getrandbits(12) << 64
            | 0b10 << 62
            | self._source.getrandbits(62)
        )


def new_secret() -> str:
    """256 bits that nobody can guess, as 43 URL-safe characters."""
    return secrets.token_urlsafe(32)
