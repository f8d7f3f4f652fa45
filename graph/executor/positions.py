"""Where a value stands in an answer, known before there is one: what is wrong with it is told from here."""

from collections.abc import Sequence

from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLObjectType,
    GraphQLOutputType,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path

At = tuple[int, ...]
"""The indices in the lists that lead to a value, from the outside in."""


class Field:
    """A field of a selection, asked for once or more by the same name."""

    __slots__ = ("definition", "details", "name", "nodes", "parent_type", "response_name")

    def __init__(
        self, parent_type: GraphQLObjectType, definition: GraphQLField, details: FieldDetailsList, response_name: str
    ) -> None:
        self.parent_type = parent_type
        self.definition = definition
        self.details = details
        self.nodes: list[FieldNode] = [each.node for each in details]
        self.name = self.nodes[0].name.value
        self.response_name = response_name

    def __str__(self) -> str:
        return f"{self.parent_type}.{self.name}"


class Position:
    """Where a field's value stands, or an item of its list: all but the indices, which are known at run time."""

    __slots__ = ("depth", "field", "is_item", "nullable", "parent", "type")

    def __init__(self, field: Field, parent: "Position | None", type_: GraphQLOutputType, *, is_item: bool) -> None:
        self.field = field
        self.parent = parent
        self.type = type_
        self.is_item = is_item
        self.nullable = not is_non_null_type(type_)
        """Whether a null stays here; otherwise it goes on to the parent."""
        self.depth: int = (0 if parent is None else parent.depth) + is_item
        """How many list indices lead to it."""

    def item(self, type_: GraphQLOutputType) -> "Position":
        """Of an item of the list that stands here."""
        return Position(self.field, self, type_, is_item=True)

    def of_field(self) -> "Position":
        """Where the field's whole value stands, if this is an item of it."""
        here = self
        while here.is_item and here.parent is not None:
            here = here.parent
        return here

    def path(self, at: At) -> list[str | int]:
        """As errors have it."""
        steps: list[str | int] = []
        here: Position | None = self
        while here is not None:
            steps.append(at[here.depth - 1] if here.is_item else here.field.response_name)
            here = here.parent
        steps.reverse()
        return steps

    def linked_path(self, at: At) -> Path:
        """As a resolver's `info` has it."""
        above = None if self.parent is None else self.parent.linked_path(at)
        if self.is_item:
            return Path(above, at[self.depth - 1], None)
        return Path(above, self.field.response_name, self.field.parent_type.name)

    def is_beneath(self, other: "Position") -> bool:
        """Whether it is the other one, or in it."""
        here: Position | None = self
        while here is not None and here is not other:
            here = here.parent
        return here is other

    def absent(self) -> None:
        """There is nothing to stand here; raises where there has to be something."""
        if not self.nullable:
            raise TypeError(f"Cannot return null for non-nullable field {self.field}.")


def keys(steps: Sequence[str | int]) -> tuple[Sequence[str | int], str | int]:
    """A path as the way to what holds a value, and the value's key in that."""
    return steps[:-1], steps[-1]
