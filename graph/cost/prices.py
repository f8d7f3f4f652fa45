"""What the schema says that fields weigh, looked up once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from graphql import (
    GraphQLField,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
    is_object_type,
)

from graph.weights import PAGED, Cost, ListSize
from infrastructure.settings import Settings

D = TypeVar("D", Cost, ListSize)

INTROSPECTION = 500
"""What a look at the whole schema costs, which is known beforehand; at one type, a tenth of it."""
_META = {"__typename": 0, "__schema": INTROSPECTION, "__type": INTROSPECTION // 10}


@dataclass(frozen=True, slots=True)
class Price:
    """What is known of a field before it is asked for."""

    weight: int | None
    """Its own, in place of its type's; charged once, also for null."""
    types: tuple[str, ...]
    """Which objects it may show; none for a leaf."""
    sure: bool
    """Whether it is never null, nor is an item of it."""
    lists: int
    """How many lists deep it is."""
    assumed: int
    most: int
    """How many items it can have at most; more is refused when it is executed."""
    slicing: tuple[str, ...]
    sized: frozenset[str]


class Prices:
    """By the names of object types: what an object weighs, and its fields."""

    def __init__(self, schema: GraphQLSchema, settings: Settings) -> None:
        self.schema = schema
        self._settings = settings
        self.weights: dict[str, int] = {}
        self.fields: dict[str, dict[str, Price]] = {}
        for name, kind in schema.type_map.items():
            if is_object_type(kind):
                self.weights[name] = 0 if name.startswith("__") else _weight(kind, 1)
                self.fields[name] = dict(self._fields(kind))

    def possible(self, name: str) -> frozenset[str]:
        """The object types that a type condition lets through."""
        kind = self.schema.type_map[name]
        if is_abstract_type(kind):
            return frozenset(each.name for each in self.schema.get_possible_types(kind))
        return frozenset({name})

    def _fields(self, kind: GraphQLObjectType) -> Iterator[tuple[str, Price]]:
        for name, field in kind.fields.items():
            yield name, self._price(field)
        for name, weight in _META.items():
            shown = {"__schema": ("__Schema",), "__type": ("__Type",)}.get(name, ())
            yield name, Price(weight, shown, name == "__schema", 0, 1, 1, (), frozenset())

    def _price(self, field: GraphQLField) -> Price:
        named = get_named_type(field.type)
        types = tuple(sorted(self.possible(named.name))) if is_composite_type(named) else ()
        size = _directive(field, ListSize)
        assumed, most = self._sizes(field, size)
        return Price(
            weight=_own_weight(field),
            types=types,
            sure=_is_sure(field.type),
            lists=_lists(field.type),
            assumed=assumed,
            most=most,
            slicing=tuple((size and size.slicing_arguments) or ()),
            sized=frozenset((size and size.sized_fields) or ()),
        )

    def _sizes(self, field: GraphQLField, size: ListSize | None) -> tuple[int, int]:
        """What a list is taken to hold if nobody says, and at most; as the settings have it, where they do."""
        settings = self._settings
        if size is None:
            return settings.page_size_max, settings.page_size_max
        if size is PAGED:
            return settings.page_size, settings.page_size_max
        assumed = size.assumed_size or 0
        named = get_named_type(field.type).name
        if named == "Candle":
            assumed = settings.candles_max
        elif named == "Order":
            assumed = max(assumed, settings.max_open_orders)
        return assumed, assumed


def _directive(of: Any, kind: type[D]) -> D | None:
    definition = (of.extensions or {}).get("strawberry-definition")
    for directive in getattr(definition, "directives", None) or ():
        if isinstance(directive, kind):
            return directive
    return None


def _own_weight(of: Any) -> int | None:
    cost = _directive(of, Cost)
    return None if cost is None else int(cost.weight)


def _weight(of: Any, default: int) -> int:
    own = _own_weight(of)
    return default if own is None else own


def _is_sure(kind: Any) -> bool:
    while isinstance(kind, GraphQLNonNull):
        kind = kind.of_type
        if not is_list_type(kind):
            return True
        kind = kind.of_type
    return False


def _lists(kind: Any) -> int:
    count = 0
    while hasattr(kind, "of_type"):
        count += is_list_type(kind)
        kind = kind.of_type
    return count
