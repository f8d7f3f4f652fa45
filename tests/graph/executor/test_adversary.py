"""Whatever goes wrong in resolvers, the compiled executor answers what graphql-core's own answers."""

import asyncio
import contextlib
import gc
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from graphql import parse
from graphql.execution import Executor

from tests.graph.executor.adversary import Adversary
from tests.graph.executor.comparing import awaited, by_place, compiled, in_order
from tests.support.operations import Operation, Writer, chance_of

SEEDS = 60


def _value(rng: random.Random, _name: str, scalar: str) -> Any:
    return {"Int": rng.randint(0, 5), "Float": 1.5, "String": rng.choice("abc"), "ID": "x", "Boolean": True}[scalar]


def _executors(seed: int, *, calm: bool) -> tuple[Operation, Callable[[], Executor[Any]]]:
    """An operation by chance, and what executes it, new each time."""
    rng = chance_of(seed)
    adversary = Adversary(seed, calm=calm)
    root = rng.choice(["Query", "Query", "Mutation"])
    operation = Writer(adversary.schema, rng, _value, depth_max=4, root=root).operation()
    document = parse(operation.text)

    def executor() -> Executor[Any]:
        made = Executor.build(
            adversary.schema, document, raw_variable_values=operation.variables, field_resolver=adversary.resolve
        )
        assert isinstance(made, Executor)
        return made

    return operation, executor


async def _held_together(seed: int, *, calm: bool) -> None:
    operation, executor = _executors(seed, calm=calm)
    theirs, ours = await awaited(executor().execute_operation()), await compiled(executor())
    said = in_order if calm else by_place
    assert (ours.data, said(ours)) == (theirs.data, said(theirs)), (seed, operation)
    assert list(_keys(ours.data)) == list(_keys(theirs.data)), (seed, operation)


def _keys(value: Any) -> Any:
    """Every key in its order."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield key
        yield from _keys(item)


async def test_answers_when_nothing_is_awaited_then_data_errors_and_their_order_are_the_same() -> None:
    for seed in range(SEEDS):
        await _held_together(seed, calm=True)


@contextlib.contextmanager
def _untidy() -> Iterator[None]:
    """The interpreter leaves coroutines behind that it never awaits."""
    hook, sys.unraisablehook = sys.unraisablehook, lambda _unraisable: None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
            gc.collect()
    finally:
        sys.unraisablehook = hook


async def test_answers_when_much_is_awaited_then_data_and_errors_are_the_same() -> None:
    with _untidy():
        for seed in range(SEEDS):
            await _held_together(seed, calm=False)


async def test_answers_when_much_is_awaited_then_nothing_is_left_behind() -> None:
    gc.collect()
    for seed in range(SEEDS):
        await compiled(_executors(seed, calm=False)[1]())
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.soak
@pytest.mark.timeout(3600)
async def test_answers_when_thousands_are_asked_then_all_are_the_same() -> None:
    with _untidy():
        for seed in range(SEEDS, 5000):
            await _held_together(seed, calm=seed % 2 == 0)
