"""What a client asks, decoded strictly: whatever the transport, this is what comes out of its bytes."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson

_NUL_WRITTEN = re.compile(r"\\u(0000|\{0+\})")
_SHA256 = re.compile(r"[0-9a-f]{64}")
NUL = "A text can't have the character NUL in it."


class Malformed(Exception):  # noqa: N818 - reason: an answer, not an error of the program
    """It is no request of GraphQL; the message says what is wrong."""


class Unaskable(Malformed):
    """It is one by its form, and yet can't be asked."""


@dataclass(slots=True)
class GraphQLRequest:
    """One operation as it was asked for.

    `sha256` is what a client of persisted queries names the text by; then `query` may be empty, for one that is known.
    """

    query: str
    operation_name: str | None = None
    variables: Mapping[str, Any] | None = None
    extensions: Mapping[str, Any] | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, value: Any) -> Self:
        """From a JSON value; raises `Malformed` for what is none. Keys that it does not know are passed over."""
        if not isinstance(value, dict):
            raise Malformed("A request has to be a JSON object with `query`, and perhaps `variables`, `operationName`.")
        variables, extensions = value.get("variables"), value.get("extensions")
        for key, given in (("variables", variables), ("extensions", extensions)):
            if given is not None and not isinstance(given, dict):
                raise Malformed(f"`{key}` has to be an object or null.")
        sha256 = _sha256(extensions)
        query, name = value.get("query"), value.get("operationName")
        if query is None and sha256 is not None:
            query = ""
        if not isinstance(query, str):
            raise Malformed("`query` has to be a string: the GraphQL document.")
        if name is not None and not isinstance(name, str):
            raise Malformed("`operationName` has to be a string or null.")
        if _NUL_WRITTEN.search(query) or (variables and _has_nul(variables)):
            raise Unaskable(NUL)
        return cls(query, name, variables, extensions, sha256)


def _sha256(extensions: Mapping[str, Any] | None) -> str | None:
    """What a persisted query is named by; raises `Unaskable` for what is no such name."""
    persisted = (extensions or {}).get("persistedQuery")
    if persisted is None:
        return None
    found = persisted.get("sha256Hash") if isinstance(persisted, dict) and persisted.get("version") == 1 else None
    if not isinstance(found, str) or not _SHA256.fullmatch(found):
        raise Unaskable(
            "`persistedQuery` has to have `version` 1, and as `sha256Hash` 64 hexadecimal digits in small letters."
        )
    return found


def decoded(content: bytes | str, depth_max: int) -> Any:
    """The value of strict JSON: UTF-8, no NaN, no lone surrogate, no key twice, not nested deeper than so.

    Raises `Malformed`.
    """
    try:
        value = orjson.loads(content)
        text = content if isinstance(content, str) else content.decode()
        # Each level has a bracket of its own, so that few brackets need no look at the value.
        if text.count("{") + text.count("[") > depth_max and _is_deeper([value], depth_max + 1):
            raise Malformed(f"The JSON is nested more than {depth_max} deep.")
        _UNIQUE.raw_decode(text.lstrip())
    except orjson.JSONDecodeError as error:
        raise Malformed(_what_is_wrong(error, content, depth_max)) from None
    return value


def _what_is_wrong(error: orjson.JSONDecodeError, content: bytes | str, depth_max: int) -> str:
    """In our own words: a decoder's are for who wrote the decoder."""
    if not content:
        return "There is nothing: it has to be JSON in UTF-8."
    if "depth" in error.msg:
        return f"The JSON is nested more than {depth_max} deep."
    at = f", from line {error.lineno}, column {error.colno} on" if error.pos else ""
    return f"This is no JSON in UTF-8{at}."


def _unique(pairs: Sequence[tuple[str, Any]]) -> None:
    names: set[str] = set()
    for name, _ in pairs:
        if name in names:
            raise Malformed(f"The JSON has the key {name[:64]!r} twice in one object.")
        names.add(name)


# orjson takes the last of two, silently; this one only looks at the keys of what orjson has let through.
_UNIQUE = json.JSONDecoder(object_pairs_hook=_unique, parse_float=str, parse_int=str)


def _is_deeper(value: Any, most: int) -> bool:
    level = [value]
    for _ in range(most):
        level = [
            each
            for item in level
            for each in (item.values() if isinstance(item, dict) else item)
            if isinstance(each, dict | list)
        ]
    return bool(level)


def _has_nul(value: object) -> bool:
    """Whether a text anywhere in it has a NUL, which PostgreSQL does not keep."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, str):
            if "\0" in item:
                return True
        elif isinstance(item, dict):
            left.extend(item.values())
        elif isinstance(item, list):
            left.extend(item)
    return False
