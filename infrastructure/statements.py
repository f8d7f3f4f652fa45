"""Hot selects: SQLAlchemy builds and compiles each once, and from then on its text goes to the driver as it is.

Building a select of forty columns, looking it up among the compiled ones and wrapping its rows takes SQLAlchemy several
times as long as the driver takes to run it.
"""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson
from sqlalchemy import BindParameter, ColumnElement, Dialect, Text, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import NULLTYPE, TypeDecorator, TypeEngine

Row = tuple[Any, ...]
Process = Callable[[Any], Any]

NUMERIC = 1700
"""How PostgreSQL's driver would call the type of a number that is not whole; for other columns nobody asks."""
KEYS_KEPT = 16_384
"""Ids whose objects are kept: rows are full of the same ones, and to make one takes longer than all else of a row."""


class Several(TypeDecorator[Sequence[Any]]):
    """Many values of one type as one parameter: an array on PostgreSQL, a list in JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The array, where there are any."""
        return dialect.type_descriptor(ARRAY(self.item) if dialect.name == "postgresql" else Text())

    def process_bind_param(self, value: Sequence[Any] | None, dialect: Dialect) -> Any:
        """To the database."""
        values = list(value or ())
        if dialect.name == "postgresql":
            return values
        stored = _bound(self.item, dialect)
        return orjson.dumps(values if stored is None else [stored(each) for each in values]).decode()


class Somewhere(TypeDecorator[str]):
    """Text that is looked for anywhere in another, as LIKE's pattern with the escape `/`."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str:
        """To the database."""
        escaped = (value or "").replace("/", "//").replace("%", "/%").replace("_", "/_")
        return f"%{escaped}%"


class Among(ColumnElement[Any]):
    """Whether a column has one of the values of the parameter `name`: the text is the same for any number of them."""

    inherit_cache = False
    # As a Boolean it would be compared to 1 on SQLite, and no index found for it.
    type = NULLTYPE

    def __init__(self, column: ColumnElement[Any], name: str, *, sought: bool = True) -> None:
        self.column, self.values, self.sought = column, bindparam(name, type_=Several(column.type)), sought


@dataclass(frozen=True, slots=True)
class Many:
    """In a choice, many values that are the parameter `name`."""

    name: str


def one_of(column: ColumnElement[Any], given: Any, *, sought: bool = True) -> ColumnElement[bool]:
    """Whether a column has one of the values: of `Many`, of one that is a parameter, or of those that stay as they are.

    Where it is not `sought` by many, rows are read in another order, and those that have none of the values left out.
    """
    if isinstance(given, Many):
        return Among(column, given.name, sought=sought)
    return column == given if isinstance(given, BindParameter) else column.in_(sorted(given))


@compiles(Among)
def _any_of(among: Among, compiler: SQLCompiler, **options: Any) -> str:
    column, values = compiler.process(among.column, **options), compiler.process(among.values, **options)
    if compiler.dialect.name == "postgresql":
        return f"{column} = ANY ({values})"
    # With a plus SQLite looks for no index of it.
    plus = "" if among.sought else "+"
    return f"{plus}{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - reason: both are SQLAlchemy's


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One of the text's parameters: which of the given values it is, or what it always is."""

    name: str | None
    value: Any
    process: Process | None


@dataclass(frozen=True, slots=True)
class Compiled:
    """A statement as one database takes it."""

    sql: str
    parameters: tuple[_Parameter, ...]
    results: tuple[tuple[int, Process], ...]

    def given(self, values: Mapping[str, Any]) -> list[Any]:
        """The parameters in their order; raises `KeyError` for one without a value."""
        return [
            each.value
            if each.name is None
            else values[each.name]
            if each.process is None
            else each.process(values[each.name])
            for each in self.parameters
        ]

    def rows(self, found: Sequence[Iterable[Any]]) -> list[Row]:
        """What the driver found, each value as its column's type has it."""
        if not found or not self.results:
            return [tuple(row) for row in found]
        columns: list[Iterable[Any]] = list(zip(*found, strict=True))
        for place, process in self.results:
            columns[place] = map(process, columns[place])
        return list(zip(*columns, strict=True))


class Statement:
    """A select (or a union) whose parameters have names (`bindparam`, `Among`); what else is in it stays as it is."""

    def __init__(self, select: Any) -> None:
        self._select = select
        self._compiled: dict[str, Compiled] = {}

    def compiled(self, dialect: Dialect) -> Compiled:
        """For a database of that kind."""
        found = self._compiled.get(dialect.name)
        if found is None:
            found = self._compiled[dialect.name] = _compile(self._select, dialect)
        return found


def _compile(select: Any, dialect: Dialect) -> Compiled:
    compiler: SQLCompiler = select.compile(dialect=dialect)
    binds = compiler.binds
    # Lists that are always the same (`IN`) become a parameter for each item.
    state = compiler.construct_expanded_state(dict.fromkeys(name for name, bind in binds.items() if bind.required))
    parameters = []
    for name in state.positiontup or ():
        bind = binds.get(name)
        process = state.processors.get(name) if bind is None else _bound(bind.type, dialect)
        if bind is not None and bind.required:
            parameters.append(_Parameter(name, None, process))
        else:
            value = state.parameters[name]
            parameters.append(_Parameter(None, value if process is None else process(value), None))
    results = [
        (place, process)
        for place, column in enumerate(select.selected_columns)
        if (process := _found(column.type, dialect)) is not None
    ]
    return Compiled(state.statement, tuple(parameters), tuple(results))


def _found(kind: TypeEngine[Any], dialect: Dialect) -> Process | None:
    stored = kind.dialect_impl(dialect)
    process: Process | None = stored.result_processor(dialect, NUMERIC)
    return _key if process is not None and isinstance(stored, Uuid) else process


@functools.lru_cache(KEYS_KEPT)
def _key(value: str | None) -> UUID | None:
    return None if value is None else UUID(value)


def _bound(kind: TypeEngine[Any], dialect: Dialect) -> Process | None:
    process: Process | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return process
