"""How many connections that stay open there are, of each user and from each address."""

import collections
import contextlib
from collections.abc import Hashable, Iterator
from typing import Protocol
from uuid import UUID

from infrastructure.budgets.addresses import household
from infrastructure.settings import Settings


class Taken(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """There are as many as there may be."""


class Guest(Protocol):
    """What stays open."""

    def stop(self) -> None:
        """End it, so that its client comes back."""
        ...


class Seats:
    """Counts websockets and event streams; a limit of 0 is none."""

    def __init__(self, settings: Settings) -> None:
        self._of_address = _Places(settings.sockets_per_address, "from this address")
        self._of_user = _Places(settings.sockets_per_user, "of this user")
        self._guests: set[Guest] = set()

    @property
    def open(self) -> int:
        """Of all addresses."""
        return self._of_address.count

    @contextlib.contextmanager
    def guest(self, guest: Guest) -> Iterator[None]:
        """One is open meanwhile."""
        self._guests.add(guest)
        try:
            yield
        finally:
            self._guests.discard(guest)

    def stop(self) -> None:
        """End all that is open: this server stops."""
        for guest in list(self._guests):
            guest.stop()

    def take_address(self, address: str) -> "Seat":
        """One of the address's, or of its network's for IPv6, as budgets count; raises `Taken`."""
        return self._of_address.take(household(address))

    def take_user(self, user_id: UUID) -> "Seat":
        """One of the user's; raises `Taken`."""
        return self._of_user.take(user_id)


class _Places:
    def __init__(self, most: int, of_what: str) -> None:
        self._most = most
        self._of_what = of_what
        self._taken: collections.Counter[Hashable] = collections.Counter()

    def take(self, key: Hashable) -> "Seat":
        if self._most and self._taken[key] >= self._most:
            raise Taken(f"There are {self._most} connections {self._of_what} already: close one first.")
        self._taken[key] += 1
        return Seat(self._taken, key)

    @property
    def count(self) -> int:
        return self._taken.total()


class Seat:
    """A place that is taken until it is left."""

    def __init__(self, taken: "collections.Counter[Hashable]", key: Hashable) -> None:
        self._taken = taken
        self._key = key
        self._left = False

    def leave(self) -> None:
        """Give it back; more than once does no harm."""
        if self._left:
            return
        self._left = True
        self._taken[self._key] -= 1
        if not self._taken[self._key]:
            del self._taken[self._key]
