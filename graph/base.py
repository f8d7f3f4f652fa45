"""What every type of the API stands on: global ids, nodes, pages.

Resolvers answer with the frozen dataclasses of `models`; a type here reads its plain fields straight off them.
"""

import base64
import binascii
from collections.abc import Callable
from typing import Annotated, Any, ForwardRef, Generic, TypeVar
from uuid import UUID

import strawberry

from graph.weights import COMMAND, FREE, PAGED, STREAM, Cost, ListSize
from models.cursors import SEQ_MAX
from models.errors import BadRequest, Refused, invalid
from resolvers.context import Context
from resolvers.paging import Page, PageArgs

T = TypeVar("T")
Key = UUID | str | int
"""What a type's objects are told apart by."""

Info = strawberry.Info[Context, None]


def _seq(written: str) -> int:
    seq = int(written)
    if not 0 <= seq <= SEQ_MAX:
        raise ValueError("no place in the log")
    return seq


def _symbol(written: str) -> str:
    if "\0" in written:
        raise ValueError("PostgreSQL can't be asked for a text with the character NUL in it")
    return written


_KEYS: dict[str, Callable[[str], Key]] = {"Instrument": _symbol, "Event": _seq}
"""How a key is read where it is no UUID."""


def global_id(type_name: str, key: Key) -> strawberry.ID:
    """The id by which the API knows an object: opaque, the same for ever."""
    return strawberry.ID(base64.urlsafe_b64encode(f"{type_name}:{key}".encode()).rstrip(b"=").decode())


def parsed_id(given: str) -> tuple[str, Key] | None:
    """The type's name and the key of an id that `global_id` wrote; none for any other text."""
    try:
        raw = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True).decode()
        type_name, _, written = raw.partition(":")
        key = _KEYS.get(type_name, UUID)(written)
    except (ValueError, binascii.Error):
        return None
    # Decoders pass over spare bits, `UUID` over braces and capitals, `int` over signs and underscores.
    return (type_name, key) if global_id(type_name, key) == given else None


def local_id(given: str, type_name: str, argument: str) -> UUID:
    """The key behind a query's id argument; raises `BadRequest` for what is no id of that type."""
    found = parsed_id(given)
    if found is None or found[0] != type_name or not isinstance(found[1], UUID):
        raise BadRequest(_no_id(argument, type_name), argument)
    return found[1]


def input_id(given: str, type_name: str, field: str) -> UUID:
    """The key behind an id in a mutation's input; raises `Refused` for what is no id of that type."""
    try:
        return local_id(given, type_name, field)
    except BadRequest as error:
        raise Refused(invalid(str(error), field)) from None


def _no_id(argument: str, type_name: str) -> str:
    return f"`{argument}` is no id of {'an' if type_name[0] in 'AEIO' else 'a'} {type_name}."


@strawberry.interface(description="Anything that can be asked for again by its id.")
class Node:
    """What has a global id."""

    id: strawberry.ID = strawberry.field(description="Opaque, the same for ever, and like no other object's.")


def identified(type_name: str, key: str = "id") -> Any:
    """The `id` field of a type whose objects are told apart by their attribute `key`."""

    def resolve(parent: strawberry.Parent[Any]) -> strawberry.ID:
        return global_id(type_name, getattr(parent, key))

    return strawberry.field(resolver=resolve, description="Opaque, the same for ever, and like no other object's.")


def stands_for(*kinds: type) -> Any:
    """A type's `is_type_of`: it shows objects of these classes of `models` (or of `resolvers`)."""

    def is_type_of(_cls: type, value: object, _info: object) -> bool:
        return isinstance(value, kinds)

    return classmethod(is_type_of)


def later(module: str, name: str) -> Any:
    """A type of another module of `graph`, looked up when the schema is built, so that types may refer in circles."""
    return Annotated[ForwardRef(name), strawberry.lazy(f"graph.{module}")]


def list_of(graphql_type: Any) -> Any:
    """A list of a type that `later` names."""
    return list[graphql_type]


# ---------------------------------------------------------------- pages

First = Annotated[int | None, strawberry.argument(description="The first so many, or those behind `after`.")]
After = Annotated[str | None, strawberry.argument(description="Only what comes behind this cursor.")]
Last = Annotated[int | None, strawberry.argument(description="The last so many, or those in front of `before`.")]
Before = Annotated[str | None, strawberry.argument(description="Only what comes in front of this cursor.")]
Id = Annotated[strawberry.ID, strawberry.argument(name="id", description="Its id.")]
Input = Annotated[T, strawberry.argument(name="input", description="What is asked for.")]


def following(resolver: Callable[..., Any], description: str, graphql_type: Any) -> Any:
    """A subscription's field: `resolver` answers with an asynchronous iterator of what `graphql_type` shows."""
    return strawberry.subscription(
        resolver=resolver, description=description, graphql_type=graphql_type, directives=[Cost(weight=str(STREAM))]
    )


def resolved(
    resolver: Callable[..., Any], description: str, graphql_type: Any = None, *directives: Cost | ListSize
) -> Any:
    """A field that needs work: a plain function of the parent, and of `info` and arguments where it wants them.

    Its type is the class attribute's annotation, or `graphql_type` where that says more. A list of objects says by
    `graph.weights.at_most` how many there may be.
    """
    return strawberry.field(
        resolver=resolver, description=description, graphql_type=graphql_type, directives=directives
    )


def paged(resolver: Callable[..., Any], description: str, graphql_type: Any = None) -> Any:
    """A field with a page of a list: `resolver` takes Relay's four arguments and answers with a `Page`."""
    return resolved(resolver, description, graphql_type, PAGED)


def command(resolver: Callable[..., Any], description: str) -> Any:
    """A mutation's field."""
    return resolved(resolver, description, None, Cost(weight=str(COMMAND)))


def _start_cursor(parent: strawberry.Parent[Page[Any]]) -> str | None:
    return parent.cursors[0] if parent.cursors else None


def _end_cursor(parent: strawberry.Parent[Page[Any]]) -> str | None:
    return parent.cursors[-1] if parent.cursors else None


def _edges(parent: strawberry.Parent[Page[Any]]) -> list[Any]:
    return [Edge(cursor=cursor, node=node) for node, cursor in zip(parent.items, parent.cursors, strict=True)]


def _itself(parent: strawberry.Parent[Page[Any]]) -> Any:
    return parent


def _total_count(parent: strawberry.Parent[Page[Any]]) -> Any:
    return parent.count()


@strawberry.type(description="Where a page lies in its list.", directives=[FREE])
class PageInfo:
    """Shows a `Page`."""

    has_next_page: bool = strawberry.field(description="Whether something comes behind this page.")
    has_previous_page: bool = strawberry.field(description="Whether something comes in front of it.")
    start_cursor: str | None = resolved(_start_cursor, "The first item's cursor; null on an empty page.")
    end_cursor: str | None = resolved(_end_cursor, "The last item's cursor; null on an empty page.")


@strawberry.type(description="One item of a page.", directives=[FREE])
class Edge(Generic[T]):
    """An item and its cursor."""

    cursor: str = strawberry.field(description="Give it as `after` or `before` to go on from here.")
    node: T = strawberry.field(description="The item.")


@strawberry.type(description="A page of a list.")
class Connection(Generic[T]):
    """Shows a `Page`."""

    edges: list[Edge[T]] = resolved(_edges, "The items, each with its cursor.")
    page_info: PageInfo = resolved(_itself, "Where this page lies in the list.")


@strawberry.type(description="A page of a list that can be counted.")
class CountedConnection(Connection[T]):
    """Shows a `Page`; the whole list is counted only when asked for."""

    total_count: int = resolved(_total_count, "How long the whole list is.")


def page_args(first: int | None, after: str | None, last: int | None, before: str | None) -> PageArgs:
    """Relay's four as one value."""
    return PageArgs(first, after, last, before)
