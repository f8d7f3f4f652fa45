"""Pages by keyset: a page's cost does not grow with its distance from the beginning, and nothing is skipped."""

import base64
from collections import defaultdict
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar, get_type_hints
from uuid import UUID

import orjson
from sqlalchemy import BigInteger, ColumnElement, Dialect, Integer, Select, bindparam, func, null, select, tuple_
from sqlmodel import SQLModel

from infrastructure.cache import Kind, Tag
from infrastructure.pages import ordered, pages_of
from infrastructure.rows import columns
from infrastructure.statements import Among, Many, Row, Statement
from models.errors import BadRequest
from models.payloads import written
from resolvers.caching import Kept, through_cache
from resolvers.context import Context

T = TypeVar("T")
KEY_BITS = 64
STATEMENTS_MAX = 128
"""Statements that a list keeps compiled."""
MANY = tuple, frozenset
SIZE = bindparam("size", type_=Integer())
"""How many rows of each parent."""


@dataclass(frozen=True, slots=True)
class PageArgs:
    """Relay's four: the first or last so many, after or before a cursor."""

    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None

    @property
    def backwards(self) -> bool:
        """Whether it is the end of the list that is wanted."""
        return self.last is not None or (self.before is not None and self.first is None)

    @property
    def size(self) -> int:
        """How many are asked for, where that is said."""
        return (self.last if self.backwards else self.first) or 0

    def sized(self, default: int, most: int) -> "PageArgs":
        """The same, with how many are asked for said; raises `BadRequest` for what can't be.

        The default is a process's setting: a page is kept for its size, whatever that is.
        """
        if self.first is not None and self.last is not None:
            raise BadRequest("`first` and `last` can't be given together.", "last")
        for name, wanted in (("first", self.first), ("last", self.last)):
            if wanted is not None and not 0 <= wanted <= most:
                raise BadRequest(f"`{name}` is {wanted}: it has to be between 0 and {most}.", name)
        if self.first is not None or self.last is not None:
            return self
        return replace(self, last=default) if self.backwards else replace(self, first=default)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list with each item's cursor. `count` counts the whole list, when asked."""

    items: list[T]
    cursors: list[str]
    has_next_page: bool
    has_previous_page: bool
    count: Callable[[], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class PageKey:
    """One page of one parent's list (no parent: of the viewer's); `args` says how many are asked for."""

    parent: Hashable
    chosen: Hashable
    args: PageArgs


@dataclass(frozen=True, slots=True)
class CountKey:
    """The whole of one parent's list."""

    parent: Hashable
    chosen: Hashable


class Form(NamedTuple):
    """What the statement of a page depends on, apart from what is chosen."""

    many: bool
    after: bool
    before: bool
    backwards: bool


class Listing(Generic[T]):
    """A list of `kind` that can be paged in the order of `keys`, whose last one is unique.

    `parent` is the column that says whose list it is; `conditions` turns what the caller chose (hashable) into SQL, in
    which what may be anything (text, several words) is a parameter: `one_of`.
    With `owned`, only the viewer's rows are there. With `kept`, pages are cached.
    """

    def __init__(
        self,
        table: type[SQLModel],
        kind: type[T],
        keys: tuple[str, ...],
        *,
        parent: str | None = None,
        owned: bool = True,
        descending: bool = False,
        conditions: Callable[[Any], Sequence[ColumnElement[bool]]] = lambda _chosen: (),
        kept: Kept | None = None,
    ) -> None:
        self.table: Any = table.__table__  # type: ignore[attr-defined]  # reason: SQLModel sets it on table classes
        self.columns = columns(table, kind)
        self.kind, self.keys, self.parent = kind, keys, parent
        # The dataclass says what a key's values are: a column with a type of our own does not.
        hints = get_type_hints(kind)
        self._kinds = [hints[key] for key in keys]
        # A cursor's number may be any of 64 bits; bound as the column's own, smaller type it would be an error.
        self._edge_types = [
            BigInteger() if hint is int else self.table.c[key].type for key, hint in zip(keys, self._kinds, strict=True)
        ]
        self.owned, self.descending, self.conditions = owned, descending, conditions
        self._statements: dict[Hashable, Statement] = {}
        """What was used last comes last."""
        self._cached: Kind[PageKey, tuple[T, ...]] | None = None
        self._counted: Kind[CountKey, int] | None = None
        if kept is not None:
            name = f"{self.table.name} by {parent}, {'descending' if descending else 'ascending'} {keys[0]}"
            tag, ttl_s, shared, if_error = kept.changed_by, kept.ttl_s, not owned, kept.if_error

            def tags(_owner: Hashable, key: PageKey | CountKey) -> list[Tag]:
                return [] if tag is None else [(tag, key.parent)]

            def keep(items: tuple[T, ...]) -> bool:
                return all(map(kept.keep, items))

            of: Any = tuple[kind, ...]  # type: ignore[valid-type]  # reason: it is looked at when it runs
            self._cached = Kind(name, of, ttl_s, tags, keep, shared, if_error)
            self._counted = Kind(f"count of {name}", int, ttl_s, tags, shared=shared, if_error=if_error)

    def page(
        self, ctx: Context, args: PageArgs, chosen: Hashable = None, parent: Hashable = None
    ) -> Awaitable[Page[T]]:
        """One page; those that are asked for in the same turn of the loop with the same arguments are read together.

        Raises `BadRequest` for arguments that can't be.
        """
        # Before the batch, in which one that is wrong would fail all the others.
        args = args.sized(ctx.services.settings.page_size, ctx.services.settings.page_size_max)
        self._edges(ctx, args)
        return ctx.load(self.pages, PageKey(parent, chosen, args))

    async def pages(self, ctx: Context, asked: Sequence[PageKey]) -> list[Page[T]]:
        """A loader's batch."""
        if self._cached is None:
            found = await self._found(ctx, asked)
        else:
            found = await through_cache(ctx, self._cached, asked, partial(self._found, ctx))
        return [self._page(ctx, key, items) for key, items in zip(asked, found, strict=True)]

    async def _found(self, ctx: Context, asked: Sequence[PageKey]) -> list[tuple[T, ...]]:
        """The items of each page in the order of the index, and one more if there is; a statement for all parents."""
        groups: dict[tuple[Hashable, PageArgs], list[Hashable]] = defaultdict(list)
        for key in asked:
            groups[key.chosen, key.args].append(key.parent)
        done: dict[PageKey, tuple[T, ...]] = {}
        for (chosen, args), parents in groups.items():
            for parent, items in (await self._read(ctx, chosen, args, parents)).items():
                done[PageKey(parent, chosen, args)] = tuple(items)
        return [done[key] for key in asked]

    async def counts(self, ctx: Context, asked: Sequence[CountKey]) -> list[int]:
        """A loader's batch: how long the lists are."""
        if self._counted is None:
            return await self._count(ctx, asked)
        return await through_cache(ctx, self._counted, asked, partial(self._count, ctx))

    async def _count(self, ctx: Context, asked: Sequence[CountKey]) -> list[int]:
        done: dict[CountKey, int] = {}
        for chosen in {key.chosen for key in asked}:
            parents = [key.parent for key in asked if key.chosen == chosen]
            many = len(parents) > 1
            statement = self._built(("count", many), chosen, lambda named: self._counting(named, many=many))  # noqa: B023 - reason: it is built at once
            counted: dict[Hashable, int] = dict(await self._rows(ctx, statement, self._values(ctx, chosen, parents)))
            done |= {CountKey(parent, chosen): counted.get(parent, 0) for parent in parents}
        return [done[key] for key in asked]

    def cursor(self, _ctx: Context, item: T) -> str:
        """The cursor of an item: the values of its keys."""
        return encode([getattr(item, key) for key in self.keys])

    def decoded(self, _ctx: Context, cursor: str, argument: str) -> list[Any]:
        """The values of the keys in a cursor; raises `BadRequest` if it is none of this list."""
        return decode(cursor, self._kinds, argument)

    async def _read(
        self, ctx: Context, chosen: Hashable, args: PageArgs, parents: list[Hashable]
    ) -> dict[Hashable, list[T]]:
        dialect = ctx.services.database.reader.dialect
        form = Form(len(parents) > 1, args.after is not None, args.before is not None, args.backwards)
        way = "page", dialect.name, form
        statement = self._built(way, chosen, lambda named: self._statement(dialect, named, form))
        values = self._values(ctx, chosen, parents) | self._edges(ctx, args) | {"size": args.size + 1}
        by_parent: dict[Hashable, list[T]] = {parent: [] for parent in parents}
        for row in await self._rows(ctx, statement, values):
            by_parent[row[-1]].append(self.kind(*row[:-1]))
        return by_parent

    async def _rows(self, ctx: Context, statement: Statement, values: dict[str, Any]) -> list[Row]:
        # What may be cached is what only events change.
        return await (ctx.rows_now if self._cached is None else ctx.rows)(statement, **values)

    def _built(self, way: Hashable, chosen: Any, build: Callable[[Any], Select[Any]]) -> Statement:
        """The statement of that way for all that is chosen alike, built the first time."""
        alike, named = self._named(chosen)
        statement = self._statements.pop((way, alike), None) or Statement(build(named))
        self._statements[way, alike] = statement
        if len(self._statements) > STATEMENTS_MAX:
            del self._statements[next(iter(self._statements))]
        return statement

    def _varying(self, chosen: Any) -> dict[str, Any]:
        """What of a choice (a dataclass) is a parameter of its statement, by its field.

        That is all but what there are few of: a word of ours, yes or no.
        """
        fields: Iterable[str] = getattr(type(chosen), "__dataclass_fields__", ())
        given = {name: getattr(chosen, name) for name in fields}
        return {
            name: value
            for name, value in given.items()
            if isinstance(value, UUID | datetime | str | int | tuple) and not isinstance(value, StrEnum | bool)
        }

    def _named(self, chosen: Any) -> tuple[Hashable, Any]:
        """What is the same in all choices that have the same statement, and the choice with parameters for the rest."""
        varying = self._varying(chosen)
        if not varying:
            return chosen, chosen
        # One of many is found in order where several are not.
        alone = frozenset(name for name, value in varying.items() if not isinstance(value, MANY) or len(value) == 1)
        named: dict[str, Any] = {
            name: bindparam(_parameter(name)) if name in alone else Many(_parameter(name)) for name in varying
        }
        return (replace(chosen, **dict.fromkeys(varying)), tuple(varying), alone), replace(chosen, **named)

    def _values(self, ctx: Context, chosen: Any, parents: list[Hashable]) -> dict[str, Any]:
        owner = {"owner": ctx.owner_id} if self.owned else {}
        varying = self._varying(chosen).items()
        given = {
            _parameter(name): next(iter(value)) if isinstance(value, MANY) and len(value) == 1 else value
            for name, value in varying
        }
        return given | owner | {"parents": parents, "parent": parents[0]}

    def _edges(self, ctx: Context, args: PageArgs) -> dict[str, Any]:
        """What the cursors say, as parameters; raises `BadRequest` for what is none."""
        return {
            f"{argument}_{key}": value
            for argument, cursor in (("after", args.after), ("before", args.before))
            if cursor is not None
            for key, value in zip(self.keys, self.decoded(ctx, cursor, argument), strict=True)
        }

    def _page(self, ctx: Context, key: PageKey, found: tuple[T, ...]) -> Page[T]:
        size, backwards = key.args.size, key.args.backwards
        more, items = len(found) > size, list(found[:size])
        if backwards:
            items.reverse()
        return Page(
            items=items,
            cursors=[self.cursor(ctx, item) for item in items],
            has_next_page=key.args.before is not None or (more and not backwards),
            has_previous_page=key.args.after is not None or (more and backwards),
            count=lambda: ctx.load(self.counts, CountKey(key.parent, key.chosen)),
        )

    def _counting(self, chosen: Any, *, many: bool) -> Select[Any]:
        where = self._where(chosen)
        if self.parent is None:
            return _count(null()).select_from(self.table).where(*where)
        column = self.table.c[self.parent]
        return _count(column).where(self._of_parents(many=many), *where).group_by(column)

    def _of_parents(self, *, many: bool) -> ColumnElement[bool]:
        column = self.table.c[self.parent]
        return Among(column, "parents") if many else column == bindparam("parent")

    def _where(self, chosen: Any) -> list[ColumnElement[bool]]:
        return [*self.conditions(chosen), *([self.table.c.owner_id == bindparam("owner")] if self.owned else [])]

    def _between(self, form: Form) -> list[ColumnElement[bool]]:
        position = tuple_(*(self.table.c[key] for key in self.keys))
        found = []
        for argument, given, behind in (("after", form.after, True), ("before", form.before, False)):
            if given:
                named = zip(self.keys, self._edge_types, strict=True)
                edge = tuple_(*(bindparam(f"{argument}_{key}", type_=kind) for key, kind in named))
                found.append(position > edge if behind != self.descending else position < edge)
        return found

    def _statement(self, dialect: Dialect, chosen: Any, form: Form) -> Select[Any]:
        """The first `size` rows of each parent, with the parent behind its columns."""
        keys, down = [self.table.c[key] for key in self.keys], self.descending != form.backwards
        where = [*self._where(chosen), *self._between(form)]
        page = select(*self.columns).where(*where).order_by(*ordered(keys, down=down)).limit(SIZE)
        if self.parent is None:
            return page.add_columns(null())
        column = self.table.c[self.parent]
        if not form.many:
            return page.add_columns(column).where(self._of_parents(many=False))
        return pages_of(dialect.name, page, column, keys, down=down)


def _parameter(field: str) -> str:
    return f"chosen_{field}"


def _count(of: ColumnElement[Any]) -> Select[Any]:
    return select(of, func.count())


def encode(values: Sequence[Any]) -> str:
    """An opaque cursor of these values."""
    return base64.urlsafe_b64encode(orjson.dumps(written(list(values)))).rstrip(b"=").decode()


def decode(cursor: str, kinds: Sequence[type], argument: str) -> list[Any]:
    """The values of a cursor that `encode` made; raises `BadRequest` for any other text."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        values = orjson.loads(raw)
        decoded = [_value(value, kind) for value, kind in zip(values, kinds, strict=True)]
        if encode(decoded) == cursor:
            return decoded
    except (ValueError, TypeError, OverflowError):
        pass
    raise BadRequest(f"`{argument}` is no cursor of this list.", argument)


def _value(value: Any, kind: type) -> Any:
    """One key's value; raises `ValueError`, `TypeError` or `OverflowError` for what a database would not take."""
    if kind is int and isinstance(value, int) and not isinstance(value, bool) and value.bit_length() < KEY_BITS:
        return value
    if not isinstance(value, str) or "\0" in value:
        raise TypeError("another kind of value")
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is UUID or issubclass(kind, StrEnum):
        return kind(value)
    if kind is not str:
        raise TypeError("another kind of value")
    return value
