"""Operations by chance: valid ones of any schema, with aliases, fragments, variables and directives."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    parse,
    validate,
)

Composite = GraphQLObjectType | GraphQLInterfaceType | GraphQLUnionType
CHARS_MAX = 1500
Value = Callable[[random.Random, str, str], Any]
"""A value for an argument or an input field of this name, of a scalar of this name; None to leave it out."""


@dataclass
class Operation:
    """A document with one operation, and its variables."""

    text: str
    variables: dict[str, Any]


@dataclass
class Writer:
    """Writes operations of a schema."""

    schema: GraphQLSchema
    rng: random.Random
    value: Value
    depth_max: int = 5
    root: str = "Query"
    skipped: frozenset[str] = frozenset()
    """Fields that are never asked for."""
    _definitions: list[str] = field(default_factory=list)
    _variables: dict[str, Any] = field(default_factory=dict)
    _fragments: list[str] = field(default_factory=list)

    def operation(self) -> Operation:
        """A valid one."""
        while True:
            self._definitions, self._variables, self._fragments = [], {}, []
            root: Any = self.schema.get_type(self.root)
            body = self._selection(root, 1)
            head = f"({', '.join(self._definitions)})" if self._definitions else ""
            text = "\n".join([f"{self.root.lower()} Asked{head} {body}", *self._fragments])
            if len(text) <= CHARS_MAX and not validate(self.schema, parse(text)):
                return Operation(text, self._variables)

    def _selection(self, type_: Composite, depth: int) -> str:
        parts = [self._part(type_, depth) for _ in range(self.rng.randint(1, 4))]
        written = [part for part in parts if part]
        return "{ " + " ".join(written or ["__typename"]) + " }"

    def _part(self, type_: Composite, depth: int) -> str:
        chance = self.rng.random()
        if chance < 0.08:
            return f"{self._alias(0.5)}__typename{self._directive()}"
        if chance < 0.16:
            return f"... {self._directive()} {self._selection(type_, depth)}"
        if chance < 0.26:
            return self._spread(type_, depth)
        if not isinstance(type_, GraphQLObjectType) and chance < 0.7:
            inner = self.rng.choice(self.schema.get_possible_types(type_))
            return f"... on {inner.name}{self._directive()} {self._selection(inner, depth)}"
        return "" if isinstance(type_, GraphQLUnionType) else self._field(type_, depth)

    def _spread(self, type_: Composite, depth: int) -> str:
        on = type_
        if not isinstance(type_, GraphQLObjectType) and self.rng.random() < 0.5:
            on = self.rng.choice(self.schema.get_possible_types(type_))
        body = self._selection(on, depth)
        name = f"F{len(self._fragments)}"
        self._fragments.append(f"fragment {name} on {on.name} {body}")
        spread = f"...{name}{self._directive()}"
        return f"{spread} ...{name}" if self.rng.random() < 0.2 else spread

    def _field(self, type_: GraphQLObjectType | GraphQLInterfaceType, depth: int) -> str:
        names = [name for name in type_.fields if f"{type_.name}.{name}" not in self.skipped]
        name = self.rng.choice(names)
        asked = type_.fields[name]
        named: Any = get_named_type(asked.type)
        if not is_leaf_type(named) and depth >= self.depth_max:
            return ""
        arguments = self._arguments(asked.args)
        # Several fields of one name with arguments of their own would not go together.
        alias = self._alias(1.0 if arguments else 0.25)
        body = "" if is_leaf_type(named) else " " + self._selection(named, depth + 1)
        written = f"{alias}{name}{arguments}{self._directive()}{body}"
        if not is_leaf_type(named) and self.rng.random() < 0.15:
            written += f" {alias}{name}{arguments} {self._selection(named, depth + 1)}"
        return written

    def _alias(self, chance: float) -> str:
        return f"a{self.rng.randrange(1_000_000)}: " if self.rng.random() < chance else ""

    def _directive(self) -> str:
        if self.rng.random() > 0.12:
            return ""
        kind, value = self.rng.choice(["skip", "include"]), self.rng.random() < 0.5
        return f" @{kind}(if: {self._variable('Boolean!', value) if self.rng.random() < 0.7 else str(value).lower()})"

    def _arguments(self, arguments: dict[str, GraphQLArgument]) -> str:
        written = []
        for name, argument in arguments.items():
            if not is_required_argument(argument) and self.rng.random() < 0.6:
                continue
            made = self._made(name, argument.type)
            if made is None:
                continue
            if self.rng.random() < 0.5:
                written.append(f"{name}: {self._variable(str(argument.type), made)}")
            else:
                written.append(f"{name}: {_literal(made, get_named_type(argument.type))}")
        return f"({', '.join(written)})" if written else ""

    def _made(self, name: str, type_: Any) -> Any:
        if isinstance(type_, GraphQLNonNull):
            return self._made(name, type_.of_type)
        if isinstance(type_, GraphQLList):
            return [self._made(name, type_.of_type) for _ in range(self.rng.randint(1, 3))]
        if isinstance(type_, GraphQLEnumType):
            return self.rng.choice(list(type_.values))
        if isinstance(type_, GraphQLInputObjectType):
            given = {key: self._made(key, each.type) for key, each in type_.fields.items()}
            wanted = {key for key, each in type_.fields.items() if isinstance(each.type, GraphQLNonNull)}
            return {key: made for key, made in given.items() if key in wanted or self.rng.random() < 0.3}
        return self.value(self.rng, name, type_.name)

    def _variable(self, type_: str, value: Any) -> str:
        name = f"v{len(self._variables)}"
        self._definitions.append(f"${name}: {type_}")
        self._variables[name] = value
        return f"${name}"


def _literal(value: Any, type_: Any) -> str:
    """As it stands in a document."""
    if isinstance(value, dict):
        fields = ", ".join(
            f"{key}: {_literal(each, get_named_type(type_.fields[key].type))}" for key, each in value.items()
        )
        return "{" + fields + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_literal(each, type_) for each in value) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and not isinstance(type_, GraphQLEnumType):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def chance_of(*seed: Any) -> random.Random:
    """The same chance for the same seed."""
    return random.Random(repr(seed))  # noqa: S311 - repeatable on purpose
