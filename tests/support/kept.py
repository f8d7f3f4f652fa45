"""What the cache may keep, found in the code: every kind, what loads it, and the rows that its values are made of."""

import ast
import asyncio
import importlib
import inspect
import pkgutil
import sys
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import SQLModel

import resolvers
from infrastructure.cache import Kind, Tag
from infrastructure.database import Database, Transaction
from infrastructure.rows import values
from infrastructure.services import Services
from models.positions import day_of
from resolvers.changes import tags_of
from resolvers.context import Context
from resolvers.paging import CountKey, Listing, PageArgs, PageKey
from resolvers.positions.queries import PositionChoice

ROOT = Path(resolvers.__path__[0]).parent
RowMap = Mapping[str, Any]
ALL = PageArgs(first=100)


@dataclass(frozen=True)
class Source:
    """Rows that a kind's values are made of: their table, the columns that count, the key of the value one is in."""

    table: str
    columns: tuple[str, ...]
    key: Callable[[RowMap, Services], Hashable]


BY_HAND: dict[str, tuple[Source, ...]] = {
    "users by id": (Source("users", ("*",), lambda row, _: row["id"]),),
    "holdings of a portfolio": (
        Source("portfolios", ("*",), lambda row, services: (row["id"], day_of(services.clock.now()))),
        Source("positions", ("*",), lambda row, services: (row["portfolio_id"], day_of(services.clock.now()))),
    ),
    "limits of a portfolio": (Source("risk_limits", ("*",), lambda row, _: row["portfolio_id"]),),
    "targets of a portfolio": (Source("target_allocations", ("*",), lambda row, _: row["portfolio_id"]),),
    "working orders of a portfolio": (
        Source("orders", ("portfolio_id", "closed_at"), lambda row, _: row["portfolio_id"]),
    ),
    "market status": (Source("market_state", ("*",), lambda _row, _: 0),),
    "instruments by symbol": (Source("instruments", ("*",), lambda row, _: row["symbol"]),),
}
"""Of the loaders that are neither `mine_by_id` nor a `Listing`, which say it themselves."""


OTHER_CHOICES: dict[Any, tuple[Hashable, ...]] = {PositionChoice: (PositionChoice(open=False),)}
"""Choices of a list that its first choice leaves out."""


@dataclass(frozen=True)
class Kept:
    """A kind, and how to ask for a value of it."""

    kind: Kind[Any, Any]
    sources: tuple[Source, ...]
    ask: Callable[[Context, Any], Any]
    keeps: Callable[[RowMap], bool] = lambda _row: True
    """Whether what a row is in may be kept."""


def every_kept() -> list[Kept]:
    """All there are."""
    found = {id(each): each for module in _modules() for each in _within(vars(module).values())}.values()
    lists = [kept for each in found if isinstance(each, Listing) for kept in _of_list(each)]
    return [*lists, *(_of_loader(each) for each in found if not isinstance(each, Listing))]


def _modules() -> Iterator[Any]:
    for each in pkgutil.walk_packages(resolvers.__path__, "resolvers."):
        yield importlib.import_module(each.name)


def _within(items: Iterable[Any]) -> Iterator[Any]:
    for each in items:
        if isinstance(each, dict):
            yield from _within(each.values())
        elif (isinstance(each, Listing) and each._cached) or (inspect.isfunction(each) and _kind(each)):
            yield each


def _kind(function: Any) -> Kind[Any, Any] | None:
    """That a loader was decorated with (`cached`)."""
    inside = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    if not {"kind", "batch"} <= set(inside):
        return None
    kind = inside["kind"].cell_contents
    return kind if isinstance(kind, Kind) else None


def _of_loader(batch: Any) -> Kept:
    kind = _kind(batch)
    assert kind is not None
    if kind.name in BY_HAND:
        return Kept(kind, BY_HAND[kind.name], lambda ctx, key: ctx.load(batch, key))
    table, of = kind.name.removesuffix(" by id"), get_args(kind.of)[0]
    fields = tuple(of.__dataclass_fields__)
    source = Source(table, fields, lambda row, _: row["id"])
    return Kept(kind, (source,), lambda ctx, key: ctx.load(batch, key), lambda row: kind.keep(_made(of, row)))


def _of_list(listing: Listing[Any]) -> list[Kept]:
    pages, counts, parent = listing._cached, listing._counted, listing.parent
    assert pages is not None
    assert counts is not None
    choice = get_type_hints(listing.conditions).get("chosen")
    choices = (None,) if choice is None else (choice(), *OTHER_CHOICES.get(choice, ()))
    fields = tuple(listing.kind.__dataclass_fields__)

    def of_parent(row: RowMap) -> Hashable:
        return None if parent is None else row[parent]

    async def page(ctx: Context, key: PageKey) -> Any:
        found = await listing.page(ctx, key.args, key.chosen, key.parent)
        return values(found) | {"count": None}

    async def count(ctx: Context, key: CountKey) -> int:
        return await ctx.load(listing.counts, key)

    def keeps(row: RowMap) -> bool:
        return pages.keep((_made(listing.kind, row),))

    table = listing.table.name

    def source(key: Callable[[Hashable], Hashable]) -> tuple[Source, ...]:
        return (Source(table, fields, lambda row, _: key(of_parent(row))),)

    found = []
    for chosen in choices:
        found.append(Kept(pages, source(partial(PageKey, chosen=chosen, args=ALL)), page, keeps))
        found.append(Kept(counts, source(partial(CountKey, chosen=chosen)), count, keeps))
    return found


def _made(kind: Any, row: RowMap) -> Any:
    return kind(**{name: row[name] for name in kind.__dataclass_fields__})


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


State = dict[str, dict[tuple[Any, ...], RowMap]]
"""Every row of the tables, by its key."""


async def _state(connection: AsyncConnection, tables: Iterable[str]) -> State:
    found: State = {}
    for name in tables:
        key = [each.name for each in _table(name).primary_key]
        rows = (await connection.execute(select(_table(name)))).mappings().all()
        found[name] = {tuple(row[each] for each in key): dict(row) for row in rows}
    return found


async def everything_kept(ctx: Context) -> dict[tuple[str, Hashable], Any]:
    """What a caller is shown of every kind, for every key that there is in the tables."""
    kinds = every_kept()
    async with ctx.services.database.read() as connection:
        state = await _state(connection, {source.table for kept in kinds for source in kept.sources})
    shown: dict[tuple[str, Hashable], Any] = {}
    for kept in kinds:
        keys = list({source.key(row, ctx.services) for source in kept.sources for row in state[source.table].values()})
        # Together, so that it takes one statement.
        found = await asyncio.gather(*(kept.ask(ctx, key) for key in keys))
        shown |= {(kept.kind.name, key): each for key, each in zip(keys, found, strict=True)}
    return shown


@contextmanager
def each_change_is_named(services: Services) -> Iterator[list[str]]:
    """Look at every transaction meanwhile: what it changes unnamed of anything kept, by kind and table.

    That is: a row that the value of some key is made of is another behind it, and none of the events that it records
    changes that key. Nothing else may be written at the same time.
    """
    kinds = [kept for kept in every_kept() if kept.sources]
    tables = {source.table for kept in kinds for source in kept.sources}
    unnamed: list[str] = []
    write = Database.write
    stood: list[State] = []
    """What the last one left."""

    @asynccontextmanager
    async def watched(self: Database, **how: Any) -> AsyncIterator[Transaction]:
        async with write(self, **how) as tx:
            before = stood[0] if stood else await _state(tx.connection, tables)
            yield tx
            after = await _state(tx.connection, tables)
            named = {tag for event in tx.events for tag in tags_of(event)}
            unnamed.extend(
                f"{kept.kind.name} by {source.table}"
                for kept in kinds
                for source in kept.sources
                for tags in _changed(kept, source, before[source.table], after[source.table], services)
                if tags and not named & tags
            )
        stood[:] = [after]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "write", watched)
        yield unnamed


@contextmanager
def writers() -> Iterator[set[str]]:
    """The functions that begin a transaction meanwhile, as `writers_in_the_code` names them."""
    seen: set[str] = set()
    write = Database.write

    def heard(self: Database, **how: Any) -> Any:
        code = sys._getframe(1).f_code
        seen.add(f"{Path(code.co_filename).relative_to(ROOT).as_posix()} {code.co_name}")
        return write(self, **how)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "write", heard)
        yield seen


def writers_in_the_code() -> set[str]:
    """Every function of `resolvers/` that begins a transaction."""
    return {
        f"{path.relative_to(ROOT).as_posix()} {each.name}"
        for path in sorted((ROOT / "resolvers").rglob("*.py"))
        for each in ast.walk(ast.parse(path.read_text()))
        if isinstance(each, ast.AsyncFunctionDef) and ".database.write(" in ast.unparse(each)
    }


def _changed(
    kept: Kept, source: Source, before: Mapping[Any, RowMap], after: Mapping[Any, RowMap], services: Services
) -> Iterator[set[Tag]]:
    """For each row that is another: the tags of the values that were made of it, and of those that would be now."""
    for place in before.keys() | after.keys():
        old, new = before.get(place), after.get(place)
        if old is not None and new is not None and _seen(source, old) == _seen(source, new):
            continue
        if old is not None and not kept.keeps(old):
            continue  # nothing is kept that it was in
        for row in (old, new):
            if row is not None:
                owner = row.get("owner_id", row.get("user_id", row.get("id"))), False
                yield set(kept.kind.tags(owner, source.key(row, services)))


def _seen(source: Source, row: RowMap) -> Any:
    return row if source.columns == ("*",) else [row[name] for name in source.columns]
