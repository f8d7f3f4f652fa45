import gc
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest

from infrastructure.cache import Kind
from infrastructure.cache_values import refuse_mutable
from models.enums import OrderSide
from models.orders import Order
from models.payloads import reader, written
from models.portfolios import Portfolio
from models.positions import Position
from resolvers.orders.queries import OrderChoice
from resolvers.paging import PageArgs, PageKey
from resolvers.portfolios.loaders import Held
from tests.support.caches import ADA, a_cache
from tests.support.clock import START
from tests.support.orders import an_order
from tests.support.samples import a_portfolio, a_position

MANY = 80


def read_anew(of: Any, value: Any) -> Callable[[], Any]:
    """Makes the value as a database would: nothing of it is shared with another."""
    text = orjson.dumps(written(value))
    return lambda: reader(of)(orjson.loads(text))


ORDERS = tuple[Order, ...]
HELD = Held(a_portfolio(), tuple(a_position() for _ in range(20)))
KINDS: Mapping[str, tuple[Any, Callable[[int], Any], Callable[[], Any]]] = {
    "numbers": (int, lambda number: UUID(int=number), lambda: int("1000000")),
    "nothing": (int | None, lambda number: UUID(int=number), lambda: None),
    "texts": (str, lambda number: f"text {number}", lambda: "".join(["x"] * 500)),
    "portfolios": (Portfolio, lambda number: UUID(int=number), read_anew(Portfolio, a_portfolio())),
    "pages of orders": (
        ORDERS,
        lambda number: PageKey(UUID(int=number), OrderChoice(), PageArgs(first=10)),
        read_anew(ORDERS, tuple(an_order() for _ in range(10))),
    ),
    "holdings": (Held | None, lambda number: (UUID(int=number), START), read_anew(Held, HELD)),
}


@pytest.mark.parametrize("name", KINDS)
async def test_bytes_when_many_are_kept_then_they_are_about_what_the_process_grew_by(name: str) -> None:
    of, key, make = KINDS[name]
    cache, kind = await a_cache(), Kind[Any, Any](name, of, 60)

    async def load(keys: Sequence[Any]) -> list[Any]:
        return [make() for _ in keys]

    await cache.many(kind, (ADA, False), [key(MANY)], load)  # what is made once for all is made now
    before = cache.memory.bytes
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(MANY):
            await cache.many(kind, (UUID(int=1), False), [key(number)], load)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown / 1.5 < cache.memory.bytes - before < grown * 1.5


async def test_memory_when_large_values_are_kept_then_its_bound_is_that_of_the_process() -> None:
    cache, kind = await a_cache(cache_bytes=500_000), Kind[int, Held | None]("holdings", Held | None, 60)
    make = read_anew(Held, HELD)

    async def load(keys: Sequence[int]) -> list[Held | None]:
        return [make() for _ in keys]

    tracemalloc.start()
    try:
        for number in range(MANY):
            await cache.many(kind, ADA, [number], load)
        gc.collect()
        grown, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert grown < 1_000_000
    assert cache.memory.bytes <= 500_000
    assert cache.memory.evicted == MANY - len(cache.memory)


async def test_memory_when_one_value_is_larger_than_all_may_be_then_the_others_stay() -> None:
    cache, kind = await a_cache(cache_bytes=10_000), Kind[int, str]("texts", str, 60)

    async def load(keys: Sequence[int]) -> list[str]:
        return ["x" * key for key in keys]

    await cache.many(kind, ADA, [1, 2, 3], load)
    assert await cache.many(kind, ADA, [20_000], load) == ["x" * 20_000]

    assert (len(cache.memory), cache.memory.evicted) == (3, 0)


@dataclass
class Open:
    """Anybody may change it."""

    number: int


@dataclass(frozen=True)
class Ajar:
    """Somebody may change what is in it."""

    number: int
    inner: tuple[Open, ...]


@pytest.mark.parametrize(
    "of",
    [list[int], dict[str, int], tuple[list[int], ...], Open, Ajar, Ajar | None, Any, Sequence[int], tuple[int, str]],
)
def test_kind_when_its_values_could_be_changed_or_not_be_read_back_then_it_is_refused(of: Any) -> None:
    with pytest.raises(TypeError, match="can't be cached"):
        Kind("a kind", of, 60)


@pytest.mark.parametrize(
    "of", [int, str | None, Decimal, OrderSide, tuple[str, ...], Position, tuple[Order, ...] | None]
)
def test_kind_when_its_values_are_plain_or_frozen_then_it_is_taken(of: Any) -> None:
    refuse_mutable(of)
