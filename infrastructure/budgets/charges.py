"""What may be spent, and how much of it is left: the arithmetic that memory and Redis share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from limits import RateLimitItem, RateLimitItemPerSecond

HAIR = 1e-6
"""So much may be missing from a whole point: what is restored is counted in floats."""

State = tuple[float, float, float]
"""What is kept of a budget: a bucket's points, 0, 0; a window's count, that of the one before it, and its age (s)."""


class Bucket(RateLimitItemPerSecond):
    """Points that may be spent at once, and how many of them come back in a second."""

    __slots__ = ["restore_rate"]

    def __init__(self, capacity: int, restore_rate: float) -> None:
        super().__init__(capacity)
        self.restore_rate = restore_rate

    def get_expiry(self) -> int:
        """Seconds after which an empty one is full again; a day if nothing is restored."""
        return math.ceil(self.amount / self.restore_rate) if self.restore_rate else 24 * 3600


@dataclass(frozen=True, slots=True)
class Charge:
    """What something costs one budget: a `Bucket`, or any other limit of the library as a sliding window.

    `key` tells whose it is. A cost of 0 only looks.
    """

    limit: RateLimitItem
    key: str
    cost: int = 1

    def __post_init__(self) -> None:
        if self.cost < 0:
            raise ValueError("a negative cost would add to the budget")

    def share(self, part: float) -> Self:
        """The same cost, of a part of the budget."""
        limit = self.limit
        amount = max(1, math.floor(limit.amount * part))
        if isinstance(limit, Bucket):
            return type(self)(Bucket(amount, limit.restore_rate * part), self.key, self.cost)
        return type(self)(type(limit)(amount, limit.multiples), self.key, self.cost)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a budget stands after a charge: what is left, the seconds until the charge would pass, and until it is whole.

    `wait_s` is 0 for a charge that passes, and infinite for one that never would.
    """

    charge: Charge
    remaining: float
    wait_s: float
    full_s: float


def restored(bucket: Bucket, points: float, passed_s: float) -> float:
    """The points of a bucket so many seconds later."""
    return min(bucket.amount, points + max(0.0, passed_s) * bucket.restore_rate)


def standings(charges: Sequence[Charge], states: Sequence[State]) -> list[Standing]:
    """How each stands after all were charged, or, if one does not pass, with none charged."""
    found = [_standing(charge, state) for charge, state in zip(charges, states, strict=True)]
    if all(standing.wait_s == 0 for standing in found):
        return found
    return [
        standing if standing.wait_s else _standing(Charge(standing.charge.limit, standing.charge.key, 0), state)
        for standing, state in zip(found, states, strict=True)
    ]


def _standing(charge: Charge, state: State) -> Standing:
    first, second, age_s = state
    if isinstance(charge.limit, Bucket):
        return _of_bucket(charge, charge.limit, first)
    return _of_window(charge, first, second, age_s)


def _of_bucket(charge: Charge, bucket: Bucket, points: float) -> Standing:
    if points + HAIR >= charge.cost:
        left = max(0.0, points - charge.cost)
        return Standing(charge, left, 0, _time_s(bucket, bucket.amount - left))
    wait_s = _time_s(bucket, charge.cost - points) if charge.cost <= bucket.amount else math.inf
    return Standing(charge, points, wait_s, _time_s(bucket, bucket.amount - points))


def _time_s(bucket: Bucket, points: float) -> float:
    if points <= 0:
        return 0
    return points / bucket.restore_rate if bucket.restore_rate else math.inf


def _of_window(charge: Charge, count: float, before: float, age_s: float) -> Standing:
    """The window before weighs by how much of it is still in sight."""
    window_s, amount = charge.limit.get_expiry(), charge.limit.amount
    weighed = math.floor(count + before * (1 - age_s / window_s))
    wait_s = _window_wait_s(count, before, amount - charge.cost + 1, window_s, age_s)
    if wait_s == 0:
        count, weighed = count + charge.cost, weighed + charge.cost
    full_s = 2 * window_s - age_s if count else window_s - age_s if before else 0
    return Standing(charge, max(0, amount - weighed), wait_s, full_s)


def _window_wait_s(count: float, before: float, below: int, window_s: float, age_s: float) -> float:
    """Seconds until what is weighed is below this."""
    if below <= 0:
        return math.inf
    if count + before * (1 - age_s / window_s) < below:
        return 0
    if count < below:
        return max(HAIR, window_s - age_s - (below - count) * window_s / before)
    # Not in this window; in the next one this one is the one before.
    return window_s - age_s + max(0.0, window_s * (1 - below / count))
