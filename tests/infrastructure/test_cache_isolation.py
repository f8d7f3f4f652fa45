"""Whatever is asked by whom in whatever order: nobody is shown what is kept for another."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from infrastructure.cache import Kind, _Lookup
from tests.support.caches import a_cache

IDS = [UUID(int=number) for number in range(4)]
OWNERS: list[Any] = [None, *((user, is_admin) for user in IDS[:2] for is_admin in (False, True))]
KINDS: list[Kind[Any, Any]] = [Kind("things by id", tuple[str, ...], 60), Kind("things", tuple[str, ...], 60)]
batches = st.lists(
    st.tuples(st.sampled_from(OWNERS), st.sampled_from(KINDS), st.lists(st.sampled_from(IDS), min_size=1, unique=True)),
    max_size=30,
)


@given(batches, st.booleans())
async def test_many_when_two_users_ask_for_mixed_ids_in_any_order_then_each_gets_what_was_read_for_them(
    asked: list[tuple[Any, Kind[Any, Any], list[UUID]]], together: bool
) -> None:
    cache = await a_cache()

    async def ask(owner: Any, kind: Kind[Any, Any], ids: list[UUID]) -> None:
        async def load(keys: Sequence[UUID]) -> list[tuple[str, ...]]:
            await asyncio.sleep(0)
            return [(str(owner), kind.name, str(key)) for key in keys]

        found = await cache.many(kind, owner, ids, load)
        assert found == [(str(owner), kind.name, str(key)) for key in ids]

    if together:
        await asyncio.gather(*(ask(*each) for each in asked))
    else:
        for each in asked:
            await ask(*each)


@dataclass(frozen=True)
class Key:
    """A key of two fields."""

    name: str
    place: int


keys = st.one_of(st.uuids(), st.text(max_size=8), st.builds(Key, st.text(":\"()',", max_size=4), st.integers(0, 3)))
owners = st.one_of(st.none(), st.tuples(st.uuids(), st.booleans()))


@given(st.tuples(owners, keys), st.tuples(owners, keys))
def test_key_when_owner_or_id_is_another_then_it_is_another_in_either_level(
    one: tuple[Any, Any], other: tuple[Any, Any]
) -> None:
    first, second = (_Lookup(KINDS[0], owner, "epoch") for owner, _ in (one, other))
    if one != other:
        assert first.local(one[1]) != second.local(other[1])
        assert first.shared(one[1]) != second.shared(other[1])
        assert first.lock(one[1]) != second.shared(other[1])
