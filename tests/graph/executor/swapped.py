"""A plugin of pytest that puts the compiled executor into graphql-core, for graphql-core's own tests.

It is loaded by its bare name, as those tests are a package `tests` of their own.
"""

from collections.abc import Awaitable
from typing import Any

from graphql import ExecutionResult
from graphql.execution import Executor
from graphql.execution.executor_throwing_on_incremental import ExecutorThrowingOnIncremental
from graphql.execution.incremental.incremental_executor import IncrementalExecutor

from graph.executor import Plans, Room, executed

CLASSES = (Executor, ExecutorThrowingOnIncremental, IncrementalExecutor)
_interpret = Executor.execute_operation
counts = {"compiled": 0, "interpreted": 0}


def _execute(self: Executor[Any], serially: bool | None = None) -> Any:
    """By a plan where there is one."""
    result: ExecutionResult | Awaitable[ExecutionResult] | None = None
    if type(self) in CLASSES:
        result = executed(Plans(Room()), self)
    counts["interpreted" if result is None else "compiled"] += 1
    return _interpret(self, serially) if result is None else result


Executor.execute_operation = _execute  # type: ignore[method-assign]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many operations were compiled."""
    terminalreporter.write_line("operations: {compiled} compiled, {interpreted} interpreted".format(**counts))
