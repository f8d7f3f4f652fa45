"""Fields that come with what is loaded give the loader's future on: a coroutine of each would cost a task of each."""

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

from strawberry.types.base import StrawberryObjectDefinition

from graph.schema import build_schema

ROOTS = {"Query", "Mutation", "Subscription"}
COROUTINES = {
    "Order.events": "it asks around its page whether something of it is archived",
    "Instrument.candles": "a hundred objects and more come of each, beside which a task is little",
    "Portfolio.history": "it loads a book, and then candles for it",
    "RiskLimit.current": "what it loads depends on its kind, and some on what was loaded",
    "RiskLimit.utilization": "likewise",
}
"""Fields that are coroutines all the same, and why."""


def resolvers_of_fields() -> Iterator[tuple[str, Any]]:
    """The functions behind the fields of what is listed, by their names."""
    for name, known in build_schema().schema_converter.type_map.items():
        if isinstance(known.definition, StrawberryObjectDefinition) and name not in {
            "Query",
            "Mutation",
            "Subscription",
        }:
            for field in known.definition.fields:
                if field.base_resolver is not None:
                    yield f"{name}.{field.python_name}", field.base_resolver.wrapped_func


def is_coroutine(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine: its own, or that of what it answers with."""
    if inspect.iscoroutinefunction(function):
        return True
    [tree] = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    answers = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return) and node.value is not None]
    called = [node.func for answer in answers for node in ast.walk(answer) if isinstance(node, ast.Call)]
    return any(inspect.iscoroutinefunction(_found(function, each)) for each in called)


def _found(function: Callable[..., Any], name: ast.expr) -> Any:
    """What is called so in a function, as far as its module tells."""
    if isinstance(name, ast.Attribute):
        return getattr(_found(function, name.value), name.attr, None)
    return function.__globals__.get(name.id) if isinstance(name, ast.Name) else None


def test_fields_when_they_are_loaded_then_they_give_on_the_loaders_future() -> None:
    found = dict(resolvers_of_fields())
    assert len(found) > 100
    assert {name for name, function in found.items() if is_coroutine(function)} == set(COROUTINES)
