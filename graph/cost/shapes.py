"""What an operation comes to: its selections, merged as they are executed, each with what it can cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from graph.cost.amounts import Amount, Tape, read

_MISSING = object()


@dataclass(slots=True, eq=False)
class Child:
    """A field of a selection that shows objects, or has a weight of its own."""

    key: str
    label: str
    """As it stands in the document, with what sizes it."""
    own: int
    """What it costs by itself, whatever it shows."""
    size: Amount
    variants: Mapping[str, "tuple[int, State]"]
    """For each type that it may show: what such an object weighs, and what is asked of it."""
    total: Amount
    slices: bool
    """Whether an argument says how long it is."""
    sure: bool
    lists: int

    @property
    def surely(self) -> int | None:
        """What it costs in any case, if that can be told without looking at what it shows."""
        if not self.variants:
            return self.own
        each = self.each
        if each == 0:
            return self.own
        return None if each is None or not self.sure or self.lists else self.own + each

    @property
    def each(self) -> int | None:
        """What each object that it shows costs, if they are all alike."""
        costs = {weight + state.fixed for weight, state in self.variants.values()}
        alike = len(costs) == 1 and not any(state.loose for _, state in self.variants.values())
        return costs.pop() if alike else None


@dataclass(slots=True, eq=False)
class State:
    """What is asked of an object of one type."""

    children: list[Child]
    keys: frozenset[str]
    total: Amount
    """What can be asked for at most below it, without the object's own weight."""
    aliases: int
    fixed: int = 0
    """What the children cost in any case,"""
    loose: list[tuple[Child, int | None]] = field(default_factory=list)
    """and those that have to be looked at, with what each of their objects costs if they are alike."""

    def __post_init__(self) -> None:
        for child in self.children:
            if (surely := child.surely) is not None:
                self.fixed += surely
            else:
                self.loose.append((child, child.each))

    def count(self, shown: Mapping[str, Any]) -> int:
        """What an object that was shown came to, without its own weight."""
        total = self.fixed
        for child, each in self.loose:
            value = shown.get(child.key, _MISSING)
            if value is _MISSING:
                continue
            total += child.own
            if value is None:
                continue
            if each is None:
                total += count_shown(child, value)
            elif not child.lists:
                total += each
            elif child.lists == 1:
                total += each * (len(value) if child.sure else len(value) - value.count(None))
            else:
                total += each * _objects(value)
        return total


def count_shown(child: Child, value: Any) -> int:
    """What a field came to that shows one object, many or none, without what it costs by itself."""
    if value is None:
        return 0
    if isinstance(value, list):
        return sum(count_shown(child, item) for item in value)
    if len(child.variants) == 1:
        ((weight, state),) = child.variants.values()
        return weight + state.count(value)
    if named := child.variants.get(value.get("__typename", "")):
        return named[0] + named[1].count(value)
    # Which type it is can't be told: it costs what the dearest costs that has these fields.
    keys = value.keys()
    fits = [weight + state.count(value) for weight, state in child.variants.values() if state.keys == keys]
    return max(fits, default=0)


def _objects(value: Any) -> int:
    if value is None:
        return 0
    return sum(map(_objects, value)) if isinstance(value, list) else 1


@dataclass(slots=True, eq=False)
class Shape:
    """An operation, as far as it is known without its variables (but for those in `@skip` and `@include`)."""

    root: State
    tape: Tape
    counts: Mapping[str, int]
    """How often it counts in the windows of each class."""
    answers: int = 0
    counter: Callable[[Mapping[str, Any]], int] | None = None
    """Made for it when it is answered again."""

    def requested(self, variables: Mapping[str, Any], page_max: int | None = None) -> int:
        """What it can cost at most; with no page longer than `page_max`, if given."""
        return max(1, read(self.root.total, self.tape.run(variables, page_max)))

    def pages(self, variables: Mapping[str, Any]) -> int:
        """What its pages can hold: the part of its cost that arguments set the size of."""
        return _pages(self.root, self.tape.run(variables), {})

    def dearest(self, variables: Mapping[str, Any]) -> tuple[str, int]:
        """The way to the list that costs most, and what it costs."""
        done = self.tape.run(variables)
        labels, state, times, found = [], self.root, 1, ("", 0)
        while state.children:
            child = max(state.children, key=lambda child: read(child.total, done))
            labels.append(child.label)
            if child.slices or not found[0]:
                found = ".".join(labels), times * read(child.total, done)
            if not child.variants:
                break
            times *= read(child.size, done)
            _, state = max(child.variants.values(), key=lambda of: of[0] + read(of[1].total, done))
        return found


def _pages(state: State, done: list[int], known: dict[int, int]) -> int:
    if id(state) not in known:
        known[id(state)] = sum(
            read(child.total, done)
            if child.slices
            else read(child.size, done) * max((_pages(of, done, known) for _, of in child.variants.values()), default=0)
            for child in state.children
        )
    return known[id(state)]
