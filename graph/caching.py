"""What the cache has done, on the wire."""

import strawberry

from graph.base import Info, resolved
from graph.weights import CACHED_KINDS, at_most
from resolvers import caching as domain


@strawberry.type(description="What became of the values of one kind that were asked for, since the process began.")
class CachedKind:
    """Shows `resolvers.caching.CachedKind`."""

    name: str = strawberry.field(description="The kind.")
    memory: int = strawberry.field(
        description="Found in the process's memory, or just being read for another; with `redis` the hits."
    )
    redis: int = strawberry.field(description="Found in Redis, where another process had put it.")
    loaded: int = strawberry.field(
        description="Read from the database, as neither had it: together with `passed` the misses."
    )
    passed: int = strawberry.field(
        description="Read from the database although kept: the process had not seen yet what the caller did elsewhere."
    )
    stale: int = strawberry.field(
        description="Shown although too old, as the database did not answer, or not soon: of market data only."
    )
    entries: int = strawberry.field(description="Values of it that the memory keeps just now.")
    bytes: int = strawberry.field(description="About what they take in the memory, with their keys.")
    evicted: int = strawberry.field(description="Values of it that had to make room for others.")


@strawberry.type(description="The cache of the process that answers.")
class CacheStatistics:
    """Shows `resolvers.caching.CacheStatistics`."""

    entries: int = strawberry.field(description="Values that its memory keeps.")
    bytes: int = strawberry.field(description="About what they take in it, with their keys.")
    evicted: int = strawberry.field(description="Values that had to make room.")
    kinds: list[CachedKind] = strawberry.field(
        description="Each kind by itself, by name.", directives=[at_most(CACHED_KINDS)]
    )


def _statistics(info: Info) -> domain.CacheStatistics:
    return domain.statistics(info.context)


@strawberry.type
class CacheQueries:
    """What can be asked of the cache."""

    cache_statistics: CacheStatistics = resolved(
        _statistics, "What the cache of the process that answers has done: for an ADMIN.", CacheStatistics
    )
