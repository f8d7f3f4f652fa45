"""What does not fit the schema, said so that it helps: where in the arguments it is, and what is allowed there."""

import re
from collections.abc import Iterator

from graphql import (
    ArgumentNode,
    DocumentNode,
    GraphQLEnumType,
    GraphQLError,
    GraphQLSchema,
    ListValueNode,
    Node,
    ObjectFieldNode,
    ObjectValueNode,
    ValueNode,
    VariableNode,
    Visitor,
    visit,
)

from graph.codes import Code

_OF_VARIABLE = re.compile(r"Variable '\$(\w+)' has invalid value(?: at ([^:]+))?:")
_OF_OBJECT = re.compile(
    r"(Expected value of type '[^']+' (?:(?:not )?to include \w+ field '([^']+)'|to be an object).*?)"
    r"(?:, | )[Ff]ound: .*",
    re.DOTALL,
)
_OF_STRING = re.compile(r"(String cannot represent a non string value): .*", re.DOTALL)
_OF_ENUM = re.compile(r"'(\w+)' enum|[Ee]num '(\w+)'")


def of_document(error: GraphQLError, document: DocumentNode, schema: GraphQLSchema, *, suggests: bool) -> GraphQLError:
    """An error of validation. A value that does not fit is the caller's input, wherever it was written."""
    node = error.nodes[0] if error.nodes else None
    if not isinstance(node, ValueNode | ObjectFieldNode) or isinstance(node, VariableNode):
        return _told(error, Code.GRAPHQL_VALIDATION_FAILED, None)
    member = _without_values(error)
    _add_allowed(error, schema, suggests=suggests)
    return _told(error, Code.BAD_USER_INPUT, _way(_argument_of(node, document), member))


def of_variables(error: GraphQLError, schema: GraphQLSchema, *, suggests: bool) -> GraphQLError:
    """An error of a variable's value."""
    found = _OF_VARIABLE.match(error.message)
    member = _without_values(error)
    _add_allowed(error, schema, suggests=suggests)
    return _told(error, Code.BAD_USER_INPUT, _way(f"{found[1]}{found[2] or ''}" if found else None, member))


def _without_values(error: GraphQLError) -> str | None:
    """Leave out what was given where that may be a whole object, or a text: passwords are in such.

    Answers with the member of the object that is missing or too many, if that is what is wrong.
    """
    error.message = _OF_STRING.sub(r"\1.", error.message)
    found = _OF_OBJECT.search(error.message)
    if found is None:
        return None
    error.message = f"{error.message[: found.start()]}{found[1]}" + ("" if found[1].endswith("?") else ".")
    return found[2]


def _way(way: str | None, member: str | None) -> str | None:
    return way if way is None or member is None or way.endswith(f".{member}") else f"{way}.{member}"


def _told(error: GraphQLError, code: Code, argument: str | None) -> GraphQLError:
    error.extensions = {"code": code, **({"argument": argument} if argument else {})}
    return error


def _add_allowed(error: GraphQLError, schema: GraphQLSchema, *, suggests: bool) -> None:
    """Name an enum's values; to who may not know the schema, they are part of it."""
    found = _OF_ENUM.search(error.message)
    kind = schema.get_type(found[1] or found[2]) if found else None
    if suggests and isinstance(kind, GraphQLEnumType):
        said = error.message if error.message.endswith("?") else f"{error.message.rstrip('.')}."
        error.message = f"{said.replace('?.', '?')} It has to be one of {', '.join(kind.values)}."


def _argument_of(node: Node, document: DocumentNode) -> str | None:
    """The way to a value from the argument that it is in: `filter.placedFrom`."""

    class Finder(Visitor):
        found: str | None = None

        def enter_argument(self, argument: ArgumentNode, *_args: object) -> None:
            for way, value in _values(argument.name.value, argument.value):
                if value is node:
                    self.found = way

    finder = Finder()
    visit(document, finder)
    return finder.found


def _values(way: str, value: ValueNode) -> Iterator[tuple[str, Node]]:
    yield way, value
    if isinstance(value, ObjectValueNode):
        for field in value.fields:
            yield f"{way}.{field.name.value}", field
            yield from _values(f"{way}.{field.name.value}", field.value)
    elif isinstance(value, ListValueNode):
        for number, item in enumerate(value.values):
            yield from _values(f"{way}[{number}]", item)
