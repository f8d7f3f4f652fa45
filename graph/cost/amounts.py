"""Numbers that depend on variables, put together once and worked out for each request in one go."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Slot:
    """A number that is known when the variables are: the place where `Tape.run` leaves it."""

    index: int


Amount = int | Slot


@dataclass(frozen=True, slots=True)
class Sizing:
    """How long a list will be: the largest of what literals and variables say, else what is assumed."""

    given: int | None
    variables: tuple[str, ...]
    assumed: int
    most: int

    def of(self, values: Mapping[str, Any]) -> int:
        """By the variables."""
        said = self.given
        for name in self.variables:
            value = values.get(name)
            length = value if isinstance(value, int) else len(value) if isinstance(value, list) else None
            if length is not None and (said is None or length > said):
                said = length
        return min(max(0, self.assumed if said is None else said), self.most)


class Tape:
    """Sums, products and maxima in the order in which they need each other.

    What no variable changes is worked out at once and never on it; `sizes_stay` puts the length of each list on it that
    an argument may set, so that `run` can say what shorter pages would come to.
    """

    def __init__(self, *, sizes_stay: bool = False) -> None:
        self._steps: list[tuple[str, Any]] = []
        self._sizes_stay = sizes_stay

    def size(self, sizing: Sizing) -> Amount:
        """The length of a list."""
        return self._step("size", sizing) if sizing.variables or self._sizes_stay else sizing.of({})

    def sum(self, amounts: Sequence[Amount]) -> Amount:
        """All together."""
        known = sum(amount for amount in amounts if isinstance(amount, int))
        slots = [amount.index for amount in amounts if isinstance(amount, Slot)]
        return self._step("sum", (known, slots)) if slots else known

    def times(self, size: Amount, each: Amount) -> Amount:
        """So many of the same."""
        if isinstance(size, int) and isinstance(each, int):
            return size * each
        if 0 in (size, each):
            return 0
        if 1 in (size, each):
            return each if size == 1 else size
        return self._step("times", (size, each))

    def most(self, amounts: Sequence[Amount]) -> Amount:
        """The largest."""
        if len(set(amounts)) == 1:
            return amounts[0]
        if all(isinstance(amount, int) for amount in amounts):
            return max(amount for amount in amounts if isinstance(amount, int))
        return self._step("most", list(amounts))

    def run(self, variables: Mapping[str, Any], page_max: int | None = None) -> list[int]:
        """What is in each slot; with no page longer than `page_max`, if given."""
        done: list[int] = []
        for kind, of in self._steps:
            if kind == "size":
                size = of.of(variables)
                done.append(size if page_max is None else min(size, page_max))
            elif kind == "sum":
                known, slots = of
                done.append(known + sum(done[index] for index in slots))
            elif kind == "times":
                size, each = of
                done.append(read(size, done) * read(each, done))
            else:
                done.append(max(read(amount, done) for amount in of))
        return done

    def _step(self, kind: str, of: Any) -> Slot:
        self._steps.append((kind, of))
        return Slot(len(self._steps) - 1)


def read(amount: Amount, done: Sequence[int]) -> int:
    """A number, once the tape has run."""
    return done[amount.index] if isinstance(amount, Slot) else amount
