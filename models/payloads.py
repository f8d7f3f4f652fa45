"""How a value of the domain is written into an event and read back: canonical JSON, decimals as strings."""

import dataclasses
import functools
import types
from collections.abc import Callable, Hashable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints
from uuid import UUID

import orjson

from models.money import text

T = TypeVar("T")
Json = dict[str, Any]


def written(value: Any) -> Any:
    """The JSON form of a value: dataclasses as objects with camelCase keys, decimals as strings, UTC timestamps."""
    return _writer(type(value))(value)  # type: ignore[arg-type]  # reason: a class is hashable


def read(kind: type[T], data: Json) -> T:
    """The dataclass that `written` made `data` of; keys that it does not know are passed over."""
    readers = _readers(cast("Hashable", kind))
    return kind(**{name: reader(data[key]) for name, key, reader in readers if key in data})


def canonical(payload: Json) -> bytes:
    """The bytes that are stored and chained: keys sorted, nothing optional in the writing."""
    return orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)


def moment_text(value: datetime) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    moment = value if value.tzinfo is UTC else value.astimezone(UTC)
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def camel(name: str) -> str:
    """`filled_quantity` as `filledQuantity`."""
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


@functools.cache
def _keys(kind: Hashable) -> tuple[tuple[str, str], ...]:
    return tuple((field.name, camel(field.name)) for field in dataclasses.fields(cast("type[Any]", kind)))


@functools.cache
def _writer(kind: type[Any]) -> Callable[[Any], Any]:
    """How values of that type are written. Looked up once for each: an order has thirty, and an event each time."""
    if issubclass(kind, StrEnum):
        return lambda value: value.value
    if issubclass(kind, bool | int | str | type(None)):
        return lambda value: value
    for known, writer in _PLAIN.items():
        if issubclass(kind, known):
            return writer
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind.__name__} has no place in an event")
    keys = _keys(cast("Hashable", kind))
    return lambda value: {key: written(getattr(value, name)) for name, key in keys}


def _list(value: Iterable[Any]) -> list[Any]:
    return [written(item) for item in value]


def _mapping(value: Mapping[str, Any]) -> Json:
    return {key: written(item) for key, item in value.items()}


_PLAIN: dict[Any, Callable[[Any], Any]] = {
    Decimal: text,
    datetime: moment_text,
    UUID: str,
    list: _list,
    tuple: _list,
    Mapping: _mapping,
}


@functools.cache
def _readers(kind: Hashable) -> tuple[tuple[str, str, Callable[[Any], Any]], ...]:
    hints = get_type_hints(cast("type[Any]", kind))
    return tuple((name, key, reader(hints[name])) for name, key in _keys(kind))


def reader(hint: Any) -> Callable[[Any], Any]:
    """What reads back the JSON of a value of that type."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = reader(next(arm for arm in get_args(hint) if arm is not type(None)))
        return lambda value: None if value is None else inner(value)
    if get_origin(hint) in (list, tuple):
        item, container = reader(get_args(hint)[0]), get_origin(hint)
        return lambda value: container(item(each) for each in value)
    if hint is datetime:
        return datetime.fromisoformat
    if hint in (Decimal, UUID) or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        return cast("Callable[[Any], Any]", hint)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return lambda value: read(hint, value)
    return lambda value: value
