"""What the cache may keep, and how much room it takes: what nobody can change, and JSON can say."""

import dataclasses
import functools
import sys
import types
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from enum import Enum, StrEnum
from operator import attrgetter
from typing import Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID

ENTRY_BYTES = 256
"""About what keeping one value takes beside the value and its key: an entry, a tuple, and their place in the memory."""
_PLAIN = (types.NoneType, bool, int, str, Decimal, UUID, datetime)
_UUID_NUMBER_BYTES = sys.getsizeof(UUID(int=1 << 127).int)


def bytes_of(value: Any) -> int:
    """About what it takes in memory with all that it holds, by its types; what is everybody's (enums) takes nothing.

    It goes through the whole of it: for when a value is kept, not for when it is used.
    """
    return _measure(type(value))(value)  # type: ignore[arg-type]  # reason: a class is hashable


@functools.cache
def _measure(kind: type[Any]) -> Callable[[Any], int]:
    if kind in {types.NoneType, bool} or issubclass(kind, Enum):
        return lambda _value: 0
    if issubclass(kind, tuple):
        return lambda value: sys.getsizeof(value) + sum(map(bytes_of, value))
    if kind is UUID:
        return lambda value: sys.getsizeof(value) + _UUID_NUMBER_BYTES
    names = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    if not names:
        return sys.getsizeof
    fields = attrgetter(*names, "__class__")  # a tuple also of one field; the class is everybody's
    return lambda value: sys.getsizeof(value) + sum(map(bytes_of, fields(value)[:-1]))


def refuse_mutable(hint: Any) -> None:
    """Raise `TypeError` for a type whose values could be changed by who is handed them, or are not written as JSON."""
    _refuse_mutable(hint, set())


def _refuse_mutable(hint: Any, seen: set[Any]) -> None:
    if hint in seen:
        return
    seen.add(hint)
    origin, inner = get_origin(hint), get_args(hint)
    if origin in {Union, types.UnionType}:
        parts = inner
    elif origin is tuple and inner[1:] == (...,):
        parts = inner[:1]
    elif hint in _PLAIN or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        parts = ()
    elif dataclasses.is_dataclass(hint) and isinstance(hint, type) and hint.__dataclass_params__.frozen:  # type: ignore[attr-defined]  # reason: typeshed has it not
        hints = get_type_hints(hint)
        parts = tuple(hints[field.name] for field in dataclasses.fields(hint))
    else:
        raise TypeError(f"{hint} can't be cached: a frozen dataclass or a tuple[…, ...] of plain values can")
    for part in parts:
        _refuse_mutable(part, seen)
