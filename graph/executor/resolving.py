"""How a field's value is had: the Python expression for it, and what the expression names.

`o` is the parent's value, `at` the indices that lead to it. The cheapest that means the same is chosen: reading an
attribute, calling the resolver with what it declares, or else calling what the schema has for the field.
"""

import builtins
import keyword
from typing import Any

import strawberry
from graphql import (
    GraphQLField,
    GraphQLSchema,
    VariableNode,
    Visitor,
    is_enum_type,
    is_non_null_type,
    is_scalar_type,
    specified_scalar_types,
    visit,
)
from graphql.execution.values import get_argument_values
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types.arguments import convert_arguments
from strawberry.types.field import StrawberryField

from graph.executor.infos import FieldInfo
from graph.executor.positions import At, Position
from graph.executor.runs import Run

Names = dict[str, Any]
STRAWBERRYS_FILE = GraphQLCoreConverter.from_resolver.__code__.co_filename
"""Where the resolvers that Strawberry makes are written. What wraps one has its `__module__`, and does more."""
UNCHANGING = frozenset({*specified_scalar_types, "Decimal", "DateTime", "Date", "Time", "UUID"})
"""The scalars whose values can't be changed, and are the same whenever they are parsed."""


def expression(position: Position, schema: GraphQLSchema, names: Names, number: int) -> str:
    """The expression of a field's value; what it names is added, each name with the field's number."""
    definition = position.field.definition
    if _gives_the_event(definition):
        return "o"
    converter = _converter_of(schema)
    made = None if converter is None or converter.exception_handlers else _made_by_strawberry(definition)
    if made is not None and not made.extensions and type(made).get_result is StrawberryField.get_result:
        name = made.python_name
        if made.base_resolver is None and made.default_resolver is builtins.getattr and _can_be_written(name):
            return f"o.{name}"
        if (direct := _direct(position, made, converter, names, number)) is not None:
            return direct
    resolve = f"resolve{number}"
    if definition.resolve is None:
        resolve = "run.executor.field_resolver"
    else:
        names[resolve] = definition.resolve
    given = ""
    if definition.args:
        names[f"args{number}"] = Arguments(position, None).of
        given = f", **args{number}(run, at)"
    return f"{resolve}(o, run.info(place{number}, at){given})"


def _converter_of(schema: GraphQLSchema) -> Any:
    """Strawberry's; None for a schema that is not of it."""
    made = getattr(schema, "_strawberry_schema", None)
    return None if made is None else made.schema_converter


def _made_by_strawberry(definition: GraphQLField) -> StrawberryField | None:
    made = definition.extensions.get("strawberry-definition")
    resolve = definition.resolve
    code = getattr(resolve, "__code__", None)
    if isinstance(made, StrawberryField) and code is not None and code.co_filename == STRAWBERRYS_FILE:
        return None if hasattr(resolve, "__wrapped__") else made
    return None


def _gives_the_event(definition: GraphQLField) -> bool:
    """Whether it is a subscription's, whose value is the event whatever its arguments are.

    Those were worked out when the subscription began; what the same variables make of them can't fail later.
    """
    made = _made_by_strawberry(definition)
    return made is not None and made.is_subscription


def _direct(position: Position, made: StrawberryField, converter: Any, names: Names, number: int) -> str | None:
    """A call of the resolver itself; none where Strawberry does more than to call it."""
    resolver = made.base_resolver
    if resolver is None or converter.config.info_class is not strawberry.Info or not callable(resolver.wrapped_func):
        return None
    arguments = Arguments(position, converter)
    if made.is_async and not arguments.are_unchanging:
        return None  # its arguments are converted when it is awaited: what fails then fails later
    names[f"call{number}"] = resolver.wrapped_func
    # One parameter may be both the parent's and the root's.
    given = {each.name: "o" for each in (resolver.parent_parameter, resolver.root_parameter) if each}
    if resolver.info_parameter:
        names["Info"] = FieldInfo
        given[resolver.info_parameter.name] = f"Info(run, place{number}, at)"
    said = [*(["o"] if resolver.self_parameter else ()), *(f"{name}={value}" for name, value in given.items())]
    if position.field.definition.args:
        names[f"args{number}"] = arguments.of
        said.append(f"**args{number}(run, at)")
    return f"call{number}({', '.join(said)})"


def _can_be_written(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


class Arguments:
    """A field's. Those that can't be changed by a resolver are worked out once for an operation, or once for all."""

    def __init__(self, position: Position, converter: Any) -> None:
        self._position = position
        self._converter = converter
        self.are_unchanging = all(_is_unchanging(each.type) for each in position.field.definition.args.values())
        self._are_constant = self.are_unchanging and not _has_variables(position)
        self._constant: dict[str, Any] | None = None

    def of(self, run: Run, at: At) -> dict[str, Any]:
        """As keywords; raises for what the variables make of them."""
        if not self.are_unchanging:
            return self._worked_out(run, at)
        found = run.arguments.get(self._position) if self._constant is None else self._constant
        if found is None:
            found = self._worked_out(run, at)
            if self._are_constant:
                self._constant = found
            else:
                run.arguments[self._position] = found
        return found

    def _worked_out(self, run: Run, at: At) -> dict[str, Any]:
        field, executor = self._position.field, run.executor
        values = get_argument_values(
            field.definition, field.nodes[0], executor.variable_values, None, executor.hide_suggestions
        )
        if self._converter is None:
            return values
        made = field.definition.extensions["strawberry-definition"]
        return convert_arguments(
            values,
            made.arguments,
            scalar_registry=self._converter.scalar_registry,
            config=self._converter.config,
            info=FieldInfo(run, self._position, at),
        )


def _is_unchanging(type_: Any) -> bool:
    """A leaf of which that is known, and no list."""
    bare = type_.of_type if is_non_null_type(type_) else type_
    return is_enum_type(bare) or (is_scalar_type(bare) and bare.name in UNCHANGING)


def _has_variables(position: Position) -> bool:
    found = False

    class Look(Visitor):
        def enter_variable(self, _node: VariableNode, *_: Any) -> None:
            nonlocal found
            found = True

    for argument in position.field.nodes[0].arguments or ():
        visit(argument.value, Look())
    return found
