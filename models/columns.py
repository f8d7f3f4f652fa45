"""Column types that keep their value exactly on both databases, and the CHECK constraints that go with them."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import CheckConstraint, DateTime, Dialect, Numeric, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from models.money import text

E = TypeVar("E", bound=StrEnum)


class Exact(TypeDecorator[Decimal]):
    """A decimal: NUMERIC on PostgreSQL, canonical text on SQLite, whose NUMERIC is a float."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """NUMERIC where it is exact."""
        return dialect.type_descriptor(Numeric() if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Decimal | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None or dialect.name == "postgresql":
            return value
        return text(value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], Decimal | None] | None:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """From the database: PostgreSQL's driver gives decimals."""
        return None if dialect.name == "postgresql" else _decimal


class Moment(TypeDecorator[datetime]):
    """A moment in UTC to the microsecond; a naive datetime is refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """To the database."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a moment needs its offset from UTC")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], datetime | None] | None:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """From the database: PostgreSQL's driver gives moments in UTC."""
        return None if dialect.name == "postgresql" else _moment


class Word(TypeDecorator[E]):
    """An enum's member, stored as its name in text; `one_of` gives the CHECK for it."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[E]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: E | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """To the database."""
        return None if value is None else self.words(value).value

    def result_processor(self, dialect: Dialect, coltype: object) -> Callable[[Any], E | None]:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """From the database."""
        members: dict[str | None, E | None] = {None: None, **{word.value: word for word in self.words}}
        return members.__getitem__


class Words(TypeDecorator[tuple[E, ...]]):
    """Members of an enum, stored as their names with commas between them."""

    impl = Text
    cache_ok = True

    def __init__(self, words: type[E]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: tuple[E, ...] | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """To the database."""
        return None if value is None else ",".join(self.words(word).value for word in value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> tuple[E, ...] | None:  # noqa: ARG002 - reason: SQLAlchemy's signature
        """From the database."""
        return None if value is None else tuple(self.words(word) for word in value.split(",") if word)


def _decimal(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _moment(value: str | None) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value + "Z")  # a tenth of what `replace` takes


def one_of(column: str, words: type[StrEnum]) -> CheckConstraint:
    """The column holds one of the enum's words."""
    listed = ", ".join(f"'{word.value}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def at_least_zero(column: str) -> CheckConstraint:
    """The column is no negative number (the cast makes SQLite compare a number, not a text)."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) >= 0", name=f"{column}_is_not_negative")


def more_than_zero(column: str) -> CheckConstraint:
    """The column is a positive number."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) > 0", name=f"{column}_is_positive")
