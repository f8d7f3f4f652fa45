from collections.abc import Iterator
from pathlib import Path

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    is_introspection_type,
    is_specified_scalar_type,
)

from graph.errors import ERROR_TYPES
from graph.nodes import FINDERS
from graph.schema import build_schema, printed
from graph.words import DESCRIPTIONS, describe
from models import enums

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = build_schema()._schema
Described = GraphQLNamedType | GraphQLField | GraphQLInputField | GraphQLArgument


def parts(kind: GraphQLNamedType) -> Iterator[tuple[str, str | None]]:
    """Everything of a type that a reader may want described."""
    yield kind.name, kind.description
    if isinstance(kind, GraphQLEnumType):
        for name, value in kind.values.items():
            yield f"{kind.name}.{name}", value.description
    if isinstance(kind, GraphQLInputObjectType):
        for name, given in kind.fields.items():
            yield f"{kind.name}.{name}", given.description
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType):
        for name, field in kind.fields.items():
            yield f"{kind.name}.{name}", field.description
            for argument, given_argument in field.args.items():
                yield f"{kind.name}.{name}({argument})", given_argument.description


def test_schema_when_built_then_it_is_what_the_file_says() -> None:
    assert (ROOT / "schema.graphql").read_text(encoding="utf-8") == printed(), "run `make schema`"


def test_schema_when_walked_then_every_type_field_argument_and_value_is_described() -> None:
    kinds = [
        kind
        for kind in SCHEMA.type_map.values()
        if not is_introspection_type(kind) and not is_specified_scalar_type(kind)
    ]
    assert [name for kind in kinds for name, description in parts(kind) if not description] == []
    assert len(kinds) > 60


def test_schema_when_walked_then_every_description_ends_as_a_sentence() -> None:
    described = [
        (name, description)
        for kind in SCHEMA.type_map.values()
        if not is_introspection_type(kind) and not is_specified_scalar_type(kind)
        for name, description in parts(kind)
    ]
    assert [name for name, text in described if not (text or "").rstrip(")").endswith((".", "!", "?", "…"))] == []


def test_schema_when_a_type_is_a_node_then_it_can_be_found_by_its_id() -> None:
    nodes = SCHEMA.get_possible_types(SCHEMA.type_map["Node"])  # type: ignore[arg-type]  # reason: it is an interface
    assert {kind.name for kind in nodes} == set(FINDERS)


def test_schema_when_an_error_type_is_listed_then_it_implements_the_interface() -> None:
    errors = SCHEMA.get_possible_types(SCHEMA.type_map["MutationError"])  # type: ignore[arg-type]  # reason: likewise
    assert {kind.name for kind in errors} == {kind.__name__ for kind in ERROR_TYPES}


def test_schema_when_a_mutation_is_there_then_it_takes_one_input_and_answers_with_errors() -> None:
    assert SCHEMA.mutation_type is not None
    for name, field in SCHEMA.mutation_type.fields.items():
        assert set(field.args) <= {"input"}, name
        assert str(field.type.of_type.fields["errors"].type) == "[MutationError!]!", name


def test_enums_when_the_api_has_them_then_every_enum_of_the_domain_but_the_aggregates_is_described() -> None:
    words = {getattr(enums, name) for name in dir(enums) if name[0].isupper() and name != "StrEnum"}
    assert words - set(DESCRIPTIONS) == {enums.AggregateType}


def test_enums_when_a_value_is_not_described_then_that_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"OrderSide: \{'SELL'\}"):
        describe(enums.OrderSide, {"BUY": "Buys."})
