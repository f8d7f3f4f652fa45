"""A schema that does everything that goes wrong: each value is made by chance, the same by whomever it is asked for.

What a field has depends on the seed and its path alone, so two executors can be held against each other.
"""

import asyncio
import functools
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from typing import Any

from graphql import (
    GraphQLInterfaceType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLResolveInfo,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_leaf_type,
)

from tests.support.operations import chance_of

SDL = """
interface Named { name: String, self: Named }
interface Aged { age: Int! }
enum Mood { GOOD BAD }
input Wish { text: String, times: [Int!] = [1, 2], mood: Mood = GOOD }

type Cat implements Named & Aged {
  name: String, self: Named, age: Int!, mood: Mood, moods: [Mood!], kittens: [Cat!], friend: Pet, strict: Cat!
  weight: Float, tame: Boolean!, id: ID!, matrix: [[Int!]!], wish(wish: Wish, n: Int = 3): String
}
type Dog implements Named & Aged {
  name: String, self: Named, age: Int!, friend: Pet!, friends: [Pet!]!, loose: [Pet], bones: [Bone]!, id: ID
}
type Bone { length: Float!, owner: Named!, names: [String]!, deep: Bone }
union Pet = Cat | Dog

type Query {
  cat: Cat, dog: Dog!, pets: [Pet], strictPets: [Pet!]!, named: Named, bone(length: Float): Bone, aged: [Aged!]
  echo(text: String!, wish: Wish, mood: Mood): String
}
type Mutation { cat: Cat, dog: Dog!, bone(length: Float): Bone, echo(text: String!): String }
"""


class Thing:
    """The source of an object."""

    def __init__(self, kind: str, *, async_kind: bool) -> None:
        self.kind = kind
        self.async_kind = async_kind


class Later:
    """To be awaited, and no coroutine: nobody misses it when it is not."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._begin = begin

    def __await__(self) -> Generator[Any, None, Any]:
        return self._begin().__await__()


class Adversary:
    """The schema with values of one seed. `calm`: nothing has to be awaited."""

    def __init__(self, seed: int, *, calm: bool = False) -> None:
        self.seed = seed
        self.calm = calm
        self.schema = adversarial_schema()

    def resolve(self, _source: Any, info: GraphQLResolveInfo[Any], **args: Any) -> Any:
        """The field resolver of the whole schema."""
        path = info.path.as_list()
        rng = chance_of(self.seed, path, sorted(args.items(), key=str))
        return self._value(rng, info.return_type, repr(path))

    def _value(self, rng: random.Random, type_: Any, where: str) -> Any:
        chance = rng.random()
        if chance < 0.03:
            if rng.random() < 0.5:
                return ValueError(f"given at {where}")
            raise ValueError(f"raised at {where}")
        if chance < 0.33 and not self.calm:
            later = functools.partial(self._later, rng, type_, where, rng.randint(0, 3))
            # A coroutine that nobody finds in a list that is given up would be missed.
            return Later(later) if "[" in where.removeprefix("[") else later()
        return self._plain(rng, type_, where)

    async def _later(self, rng: random.Random, type_: Any, where: str, turns: int) -> Any:
        for _ in range(turns):
            await asyncio.sleep(0)
        if rng.random() < 0.05:
            raise ValueError(f"later at {where}")
        return self._plain(rng, type_, where)

    def _plain(self, rng: random.Random, type_: Any, where: str) -> Any:
        if rng.random() < (0.02 if isinstance(type_, GraphQLNonNull) else 0.1):
            return None
        if isinstance(type_, GraphQLNonNull):
            type_ = type_.of_type
        if isinstance(type_, GraphQLList):
            items = [self._item(type_.of_type, f"{where}[{index}]") for index in range(rng.randint(0, 4))]
            kind = rng.random()
            if kind < 0.1 and not self.calm:
                return self._iterated(items)
            return tuple(items) if kind < 0.3 else items
        if is_leaf_type(type_):
            return self._leaf(rng, type_.name)
        kinds = {"Pet": ["Cat", "Dog"], "Named": ["Cat", "Dog"], "Aged": ["Cat", "Dog"]}.get(type_.name, [type_.name])
        name = "Bone" if rng.random() < 0.02 else rng.choice(kinds)
        return Thing(name, async_kind=not self.calm and rng.random() < 0.2)

    def _item(self, type_: Any, where: str) -> Any:
        try:
            return self._value(chance_of(self.seed, where), type_, where)
        except ValueError as error:
            return error

    async def _iterated(self, items: list[Any]) -> AsyncIterator[Any]:
        for item in items:
            await asyncio.sleep(0)
            yield item

    def _leaf(self, rng: random.Random, name: str) -> Any:
        if rng.random() < 0.02:
            return object
        good: dict[str, Any] = {"Int": rng.randint(-5, 5), "Float": rng.random(), "Boolean": rng.random() < 0.5}
        odd: dict[str, Any] = {"Int": 2**31, "Float": float("nan"), "Boolean": 1, "ID": 7, "String": 7, "Mood": "AWFUL"}
        if rng.random() < 0.08:
            return odd[name]
        return good.get(name, rng.choice(["GOOD", "BAD"]))


def adversarial_schema() -> GraphQLSchema:
    """With types that are told apart in every way there is."""
    schema = build_schema(SDL)
    for type_ in schema.type_map.values():
        if isinstance(type_, GraphQLUnionType) or type_.name == "Named":
            assert isinstance(type_, GraphQLUnionType | GraphQLInterfaceType)
            type_.resolve_type = _kind_of
        elif type_.name in ("Cat", "Dog"):
            type_.is_type_of = _is(type_.name)  # type: ignore[attr-defined]
    return schema


def _kind_of(value: Any, _info: Any, _type: Any) -> Any:
    return _soon(value.kind) if value.async_kind else value.kind


def _is(name: str) -> Any:
    def is_type_of(value: Any, _info: Any) -> Any:
        return _soon(value.kind == name) if value.async_kind else value.kind == name

    return is_type_of


async def _soon(value: Any) -> Any:
    await asyncio.sleep(0)
    return value
