"""Loaders that go through the cache."""

import functools
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from infrastructure.cache import Kind
from models.enums import ErrorCode
from models.errors import Fault, Refused
from resolvers.context import Context

TTL_S = 3600.0
"""How long a value that only events change is kept: it is not what keeps it right."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
Batch = Callable[[Context, Sequence[K]], Awaitable[list[V]]]


@dataclass(frozen=True, slots=True)
class Kept:
    """How long the pages of a list are kept.

    `changed_by` is the tag that goes with the list's parent, `keep` says which items may be kept, `if_error` whether a
    page that is too old is better than none.
    """

    changed_by: str | None = None
    ttl_s: float = TTL_S
    keep: Callable[[Any], bool] = lambda _item: True
    if_error: bool = False


def owner_of(ctx: Context) -> Hashable:
    """Whose data it is, in a key of the cache: an ADMIN sees rows that they would not as anybody else."""
    return None if ctx.viewer is None else (ctx.viewer.user.id, ctx.viewer.is_admin)


def cached(kind: Kind[Any, Any]) -> Callable[[Batch[K, V]], Batch[K, V]]:
    """Decorate a loader's batch: it is asked only for what the cache does not have."""

    def around(batch: Batch[K, V]) -> Batch[K, V]:
        @functools.wraps(batch)
        async def through(ctx: Context, keys: Sequence[K]) -> list[V]:
            return await through_cache(ctx, kind, keys, functools.partial(batch, ctx))

        return through

    return around


async def through_cache(
    ctx: Context, kind: Kind[K, V], keys: Sequence[K], load: Callable[[Sequence[K]], Awaitable[Sequence[V]]]
) -> list[V]:
    """The value of each key; `load` reads what the cache does not have."""
    seen = 0 if ctx.viewer is None else ctx.viewer.seen
    return await ctx.services.cache.many(kind, owner_of(ctx), keys, load, seen)


@dataclass(frozen=True, slots=True)
class CachedKind:
    """What became of the values of one kind that were asked for."""

    name: str
    memory: int
    redis: int
    loaded: int
    passed: int
    stale: int
    entries: int
    bytes: int
    evicted: int


@dataclass(frozen=True, slots=True)
class CacheStatistics:
    """What a process's cache keeps, and what became of what was asked for."""

    entries: int
    bytes: int
    evicted: int
    kinds: list[CachedKind]


def statistics(ctx: Context) -> CacheStatistics:
    """Of the process that answers. Raises `Unauthenticated`, or `Refused` FORBIDDEN for who is no ADMIN."""
    if not ctx.signed_in().is_admin:
        raise Refused(Fault(ErrorCode.FORBIDDEN, "Only an ADMIN can see what the cache does."))
    cache = ctx.services.cache
    kinds = [
        CachedKind(name, **vars(counts), **vars(cache.memory.rooms[name]))
        for name, counts in sorted(cache.counts.items())
    ]
    return CacheStatistics(len(cache.memory), cache.memory.bytes, cache.memory.evicted, kinds)
