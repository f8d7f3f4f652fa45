import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from infrastructure.budgets.charges import Bucket, Charge, Standing, State, restored, standings

T = TypeVar("T")

KEYS_MAX = 100_000


class MemoryBudgets:
    """Budgets in this process's memory, for so many at most: the one that was longest not asked for goes first."""

    def __init__(self, now: Callable[[], float] = time.monotonic, keys_max: int = KEYS_MAX) -> None:
        self._now = now
        self._keys_max = keys_max
        # Of a bucket its points, and when it had them; of a window its number, its count, and that of the one before.
        self._buckets: dict[str, tuple[float, float]] = {}
        self._windows: dict[str, tuple[float, float, float]] = {}

    def spend(self, charges: Sequence[Charge]) -> list[Standing]:
        """Charge all if each of them passes, else none; how each then stands."""
        now = self._now()
        states = [self._state(charge, now) for charge in charges]
        found = standings(charges, states)
        if all(standing.wait_s == 0 for standing in found):
            for standing, state in zip(found, states, strict=True):
                if standing.charge.cost:
                    self._keep(standing, state, now)
        return found

    def give_back(self, charges: Sequence[Charge]) -> None:
        """Put points back into buckets, as far as they hold them; a request that was counted stays counted."""
        now = self._now()
        for charge in charges:
            if isinstance(charge.limit, Bucket):
                points = self._points(charge.key, charge.limit, now)
                self._buckets[charge.key] = min(charge.limit.amount, points + charge.cost), now

    def clear(self, key: str) -> None:
        """Forget what was spent."""
        self._buckets.pop(key, None)
        self._windows.pop(key, None)

    def __len__(self) -> int:
        return len(self._buckets) + len(self._windows)

    def _state(self, charge: Charge, now: float) -> State:
        if isinstance(charge.limit, Bucket):
            return self._points(charge.key, charge.limit, now), 0, 0
        number, age_s = divmod(now, charge.limit.get_expiry())
        kept, count, before = self._windows.get(charge.key, (number, 0, 0))
        if kept == number:
            return count, before, age_s
        return 0, count if kept == number - 1 else 0, age_s

    def _points(self, key: str, bucket: Bucket, now: float) -> float:
        kept = self._buckets.get(key)
        return bucket.amount if kept is None else restored(bucket, kept[0], now - kept[1])

    def _keep(self, standing: Standing, state: State, now: float) -> None:
        charge = standing.charge
        if isinstance(charge.limit, Bucket):
            self._buckets.pop(charge.key, None)  # so that it becomes the last of them
            self._buckets[charge.key] = standing.remaining, now
            _bound(self._buckets, self._keys_max)
            return
        count, before, _ = state
        self._windows.pop(charge.key, None)
        self._windows[charge.key] = now // charge.limit.get_expiry(), count + charge.cost, before
        _bound(self._windows, self._keys_max)


def _bound(kept: dict[str, T], most: int) -> None:
    if len(kept) > most:
        del kept[next(iter(kept))]
