"""Holding two executors against each other."""

from collections.abc import Awaitable
from typing import Any

from graphql import ExecutionResult, GraphQLError
from graphql.execution import Executor

from graph.executor import Plans, Room, executed

Answered = ExecutionResult | Awaitable[ExecutionResult]


async def awaited(answer: Any) -> ExecutionResult:
    """The answer when it is there."""
    if isinstance(answer, ExecutionResult):
        return answer
    result: ExecutionResult = await answer
    return result


async def compiled(executor: Executor[Any], plans: Plans | None = None) -> ExecutionResult:
    """By a plan; fails if there is none."""
    answer = executed(Plans(Room()) if plans is None else plans, executor)
    assert answer is not None, "it can't be compiled"
    return await awaited(answer)


def in_order(result: ExecutionResult) -> list[Any]:
    """The errors as they are."""
    return [_said(error) for error in result.errors or ()]


def by_place(result: ExecutionResult) -> set[Any]:
    """The errors, each with the null that it explains.

    Where several things go wrong at once under one null, which of them is told of is a matter of timing: for an error
    from below there is only the null's place.
    """
    found = set()
    for error in result.errors or ():
        place = _null_of(result.data, error.path or [])
        found.add((place, _said(error) if place == tuple(error.path or ()) else None))
    return found


def _said(error: GraphQLError) -> Any:
    return tuple(error.path or ()), error.message, tuple(map(tuple, error.locations or ()))


def _null_of(data: Any, path: Any) -> tuple[Any, ...]:
    here, gone = data, []
    for step in path:
        if here is None:
            break
        here = here[step]
        gone.append(step)
    assert here is None, f"an error at {path}, where there is a value"
    return tuple(gone)
