"""Every field of the schema says what it weighs where the default would be wrong."""

from collections.abc import Iterator

from graphql import GraphQLField, GraphQLObjectType, get_named_type, is_composite_type

from graph.cost.prices import _directive, _lists
from graph.weights import PAGED, Cost, ListSize
from tests.graph.cost.measure import PRICES, SCHEMA


def fields() -> Iterator[tuple[str, GraphQLField]]:
    for kind in SCHEMA._schema.type_map.values():
        if isinstance(kind, GraphQLObjectType) and not kind.name.startswith("__"):
            for name, field in kind.fields.items():
                yield f"{kind.name}.{name}", field


def test_list_when_it_shows_objects_then_it_says_how_many_by_at_most_or_is_paged() -> None:
    unsaid = [
        place
        for place, field in fields()
        if _lists(field.type)
        and is_composite_type(get_named_type(field.type))
        and not place.endswith("Connection.edges")
        and _directive(field, ListSize) is None
        and any(PRICES.weights[name] for name in PRICES.possible(get_named_type(field.type).name))
    ]
    assert unsaid == [], "declare them with graph.weights.at_most"


def test_connection_when_in_the_schema_then_it_is_paged() -> None:
    pages = {place: field for place, field in fields() if get_named_type(field.type).name.endswith("Connection")}
    assert len(pages) > 10
    assert [place for place, field in pages.items() if _directive(field, ListSize) is not PAGED] == []


def test_operation_when_it_does_or_streams_then_it_says_its_weight() -> None:
    roots = [place for place, field in fields() if place.startswith(("Mutation.", "Subscription."))]
    assert [place for place, field in fields() if place in roots and _directive(field, Cost) is None] == []


def test_slicing_arguments_when_declared_then_the_field_has_them() -> None:
    for place, field in fields():
        size = _directive(field, ListSize)
        for name in (size and size.slicing_arguments) or ():
            assert name in field.args, place
