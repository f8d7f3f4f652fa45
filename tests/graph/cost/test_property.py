"""Documents made up at random over the whole schema: none comes to more than it was taken to cost at most."""

import random
from typing import Any

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLField,
    GraphQLNamedType,
    GraphQLNonNull,
    GraphQLObjectType,
    get_named_type,
    is_abstract_type,
    is_composite_type,
    is_list_type,
)

from graph.base import global_id
from graph.cost.counting import counter
from infrastructure.services import Services
from tests.graph.cost.measure import PRICES, SCHEMA, SETTINGS, shape_of
from tests.support.market import Market, Trader

DOCUMENTS = 300
DEPTH_MAX = 9
CORE = SCHEMA._schema


class Writer:
    """Writes documents that are valid and that the trader's data answers without an error."""

    def __init__(self, seed: int, ids: dict[str, str]) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self._ids = ids

    def document(self) -> str:
        return f"query {self._selection(CORE.query_type, 1)}"

    def _selection(self, kind: GraphQLNamedType | None, depth: int) -> str:
        if is_abstract_type(kind):
            types = self._draw.sample(sorted(CORE.get_possible_types(kind), key=str), k=2)
            parts = [f"... on {each} {self._selection(each, depth)}" for each in types]
            return "{ __typename " + " ".join(parts) + " }"
        assert isinstance(kind, GraphQLObjectType)
        names = [name for name, field in kind.fields.items() if self._can_be_asked(field, depth)]
        if depth > 1:
            chosen = self._draw.sample(names, k=min(len(names), self._draw.randint(1, 3)))
        else:
            chosen = self._draw.sample(names, k=2)
        return "{ __typename " + " ".join(self._field(kind, name, depth) for name in chosen) + " }"

    def _can_be_asked(self, field: GraphQLField, depth: int) -> bool:
        if depth >= DEPTH_MAX and is_composite_type(get_named_type(field.type)):
            return False
        return all(name in KNOWN for name, of in field.args.items() if isinstance(of.type, GraphQLNonNull))

    def _field(self, kind: GraphQLObjectType, name: str, depth: int) -> str:
        field = kind.fields[name]
        arguments = [f"{arg}: {self._value(arg, field.args[arg].type, kind, name)}" for arg in self._arguments(field)]
        written = f"{name}({', '.join(arguments)})" if arguments else name
        named = get_named_type(field.type)
        alias = f"{name}{self._draw.randint(0, 10**9)}: " if is_composite_type(named) or arguments else ""
        return alias + written + (f" {self._selection(named, depth + 1)}" if is_composite_type(named) else "")

    def _arguments(self, field: GraphQLField) -> list[str]:
        asked = [name for name, of in field.args.items() if isinstance(of.type, GraphQLNonNull)]
        if "first" in field.args and self._draw.random() < 0.8:
            asked.append(self._draw.choice([name for name in ("first", "last") if name in field.args]))
        return asked

    def _value(self, argument: str, of: Any, kind: GraphQLObjectType, field: str) -> str:
        named = get_named_type(of)
        if isinstance(named, GraphQLEnumType):
            return str(self._draw.choice(sorted(named.values)))
        if is_list_type(of.of_type if isinstance(of, GraphQLNonNull) else of):
            return "[" + ", ".join(f'"{self._draw.choice(list(self._ids.values()))}"' for _ in range(3)) + "]"
        if argument == "id":
            type_name = "Node" if field == "node" else get_named_type(kind.fields[field].type).name
            return f'"{self._ids.get(type_name, self._ids["Order"])}"'
        return {"symbol": '"AAPL"', "at": '"2026-01-05T14:30:00Z"'}.get(argument) or str(self._draw.randint(0, 6))


KNOWN = {"id", "ids", "symbol", "interval", "at", "first", "last"}


def objects(value: Any) -> int:
    """What is shown, weighed one by one."""
    if isinstance(value, list):
        return sum(map(objects, value))
    if not isinstance(value, dict):
        return 0
    own = PRICES.weights.get(value.get("__typename", ""), 0)
    return own + sum(map(objects, value.values()))


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_documents_when_made_up_at_random_then_none_comes_to_more_than_it_could_cost(services: Services) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.01", last="100")
    trader = await Trader.with_cash(services)
    orders = [await trader.trade("BUY", "1", "100") for _ in range(4)]
    await trader.place("BUY", "1", limit="90")
    ids: dict[str, str] = {
        "User": global_id("User", trader.ctx.owner_id),
        "Portfolio": global_id("Portfolio", trader.portfolio_id),
        "Order": global_id("Order", orders[0].id),
        "Instrument": global_id("Instrument", "AAPL"),
    }
    counted = 0
    for seed in range(DOCUMENTS):
        document = Writer(seed, ids).document()
        shape = shape_of(document, SETTINGS.model_copy(update={"cost_aliases_max": 10_000, "cost_depth_max": 40}))
        result = await SCHEMA.execute(document, {}, trader.ctx)
        if result.errors:
            continue
        assert result.data is not None
        requested, actual = shape.requested({}), max(1, shape.root.count(result.data))
        assert actual == max(1, counter(shape.root)(result.data)), document
        assert actual <= requested, document
        # The root weighs nothing.
        assert actual == max(1, objects(result.data) - PRICES.weights["Query"]), document
        counted += actual > 1
    assert counted > DOCUMENTS / 3
