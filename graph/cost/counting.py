"""Counts what an answer came to, by a function made for the operation: looking at each object costs more than all else.

For `{ orders { edges { node { fills { edges { node { id } } } } } } }` it is

    def count(o):
        t = 1
        v1 = o['orders']['edges']
        t += 2 * len(v1)
        for v2 in v1:
            v3 = v2['node']['fills']['edges']
            t += 1 * len(v3)
        return t
"""

from collections.abc import Callable, Mapping
from typing import Any

from graph.cost.shapes import Child, Shape, State, count_shown

LINES_MAX = 200
BLOCKS_MAX = 12
"""Python nests 20 at most."""

Count = Callable[[Mapping[str, Any]], int]


def came_to(shape: Shape, data: Mapping[str, Any]) -> int:
    """What an answer came to; an operation that is asked again gets a function of its own for that."""
    shape.answers += 1
    if shape.counter is None and shape.answers > 1:
        shape.counter = counter(shape.root)
    return max(1, (shape.counter or shape.root.count)(data))


def counter(state: State) -> Count:
    """The function for an object of which this is asked; for what would be too long, the one for any."""
    writer = _Writer()
    try:
        writer.write(state, "o", 1)
    except _TooLong:
        return state.count
    text = "\n".join(["def count(o):", f" t = {state.fixed}", *writer.lines, " return t"])
    space: dict[str, Any] = {"any_of": count_shown, **writer.names}
    exec(compile(text, "<count>", "exec"), space)  # noqa: S102 - reason: nothing but names of GraphQL and numbers is in it
    made: Count = space["count"]
    return made


class _TooLong(Exception):  # noqa: N818 - reason: it is no error, there is another way
    pass


class _Writer:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.names: dict[str, Child] = {}

    def write(self, state: State, value: str, blocks: int) -> None:
        """What is loose of an object; what is fixed is added by who knows how many there are."""
        for child, each in state.loose:
            self._child(child, each, f"{value}[{child.key!r}]", blocks)

    def _child(self, child: Child, each: int | None, value: str, blocks: int) -> None:
        if child.own:
            self._line(blocks, f"t += {child.own}")
        if child.lists > 1 or (each is None and len(child.variants) > 1):
            name = f"child{len(self.names)}"
            self.names[name] = child
            self._line(blocks, f"t += any_of({name}, {value})")
            return
        weight, state = next(iter(child.variants.values()))
        if child.lists:
            self._list(child, state, weight + state.fixed, value, blocks)
        elif child.sure:
            if weight + state.fixed:
                self._line(blocks, f"t += {weight + state.fixed}")
            self.write(state, value, blocks)
        else:
            name = self._named(value, blocks)
            self._line(blocks, f"if {name} is not None:")
            self._line(blocks + 1, f"t += {weight + state.fixed}")
            self.write(state, name, blocks + 1)

    def _list(self, child: Child, state: State, each: int, value: str, blocks: int) -> None:
        name = self._named(value, blocks)
        if not child.sure:
            self._line(blocks, f"if {name} is not None:")
            blocks += 1
        self._line(
            blocks, f"t += {each} * " + (f"len({name})" if child.sure else f"(len({name}) - {name}.count(None))")
        )
        if state.loose:
            item = f"v{len(self.lines)}"
            self._line(blocks, f"for {item} in {name}:")
            blocks += 1
            if not child.sure:
                self._line(blocks, f"if {item} is not None:")
                blocks += 1
            self.write(state, item, blocks)

    def _named(self, value: str, blocks: int) -> str:
        name = f"v{len(self.lines)}"
        self._line(blocks, f"{name} = {value}")
        return name

    def _line(self, blocks: int, text: str) -> None:
        if blocks > BLOCKS_MAX or len(self.lines) > LINES_MAX:
            raise _TooLong
        self.lines.append(" " * blocks + text)
