"""The scalars that the wire carries, strict in what they take in and canonical in what they give out."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NewType

import strawberry
from strawberry.types.scalar import ScalarDefinition

from models.money import MAX_DIGITS, MAX_PLACES, fits, text
from models.payloads import moment_text


class ScalarError(ValueError):
    """A value that a scalar does not take in. No GraphQLError: that would lose its place in the request."""


JSON = NewType("JSON", object)
"""A JSON value as Python has it."""

# More digits than any amount may have, so that what is too long is told from what is no number.
_NUMBER = re.compile(r"-?[0-9]{1,64}(\.[0-9]{1,64})?")
_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)


YEAR_MIN, YEAR_MAX = 1900, 9998
"""Moments that databases keep as they are: PostgreSQL's driver takes the last one of the year 9999 for infinity."""


def decimal_in(value: Any) -> Decimal:
    """The number that a string writes; raises `ScalarError` for anything else."""
    if not isinstance(value, str):
        raise ScalarError('A Decimal has to be a string, like "10.50": JSON numbers lose digits.')
    if not _NUMBER.fullmatch(value):
        raise ScalarError('A Decimal has to be written as digits with at most one point, like "-10.50".')
    number = Decimal(value)
    if not fits(number):
        raise ScalarError(
            f"A Decimal may have {MAX_DIGITS} digits before the point and {MAX_PLACES} after it, no more."
        )
    return number


def decimal_out(value: Any) -> str:
    """The canonical text."""
    if not isinstance(value, Decimal):
        raise TypeError(f"{type(value).__name__} is no Decimal")
    return text(value)


def moment_in(value: Any) -> datetime:
    """The moment in UTC that a string names; raises `ScalarError` for anything else."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        raise ScalarError('A DateTime has to be ISO 8601 with an offset, like "2026-01-31T09:30:00Z".')
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ScalarError("There is no such DateTime.") from None
    if not YEAR_MIN <= moment.year <= YEAR_MAX:
        raise ScalarError(f"A DateTime has to be in the years {YEAR_MIN} to {YEAR_MAX}.")
    return moment


def moment_out(value: Any) -> str:
    """ISO 8601 in UTC with microseconds and `Z`."""
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError(f"{value!r} is no moment")
    return moment_text(value)


def _as_it_is(value: Any) -> Any:
    return value


SCALARS: dict[object, ScalarDefinition] = {
    Decimal: strawberry.scalar(
        name="Decimal",
        description="An exact decimal number, serialised as a string, never as a float.",
        serialize=decimal_out,
        parse_value=decimal_in,
    ),
    datetime: strawberry.scalar(
        name="DateTime",
        description="An ISO 8601 timestamp with offset, always UTC on output.",
        serialize=moment_out,
        parse_value=moment_in,
    ),
    JSON: strawberry.scalar(name="JSON", description="A JSON value.", serialize=_as_it_is, parse_value=_as_it_is),
}
"""For the schema's configuration."""
