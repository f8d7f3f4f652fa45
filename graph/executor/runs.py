"""One execution of a plan: the answer as it grows, what is still waited for, and what went wrong.

A pass runs without waiting. Where it meets something to be awaited it leaves `PENDING` in the answer and a `Wait` here.
When that has come, another pass makes its value and puts it into its place.
"""

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from inspect import iscoroutine
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLResolveInfo, located_error
from graphql.execution import Executor

from graph.executor.positions import At, Position, keys

PENDING = object()
"""Stands in an answer for what is still to come."""

Complete = Callable[["Run", Any, At], Any]
"""Makes what an answer says out of what a resolver gave; raises for what can't be said there."""
Part = Callable[["Run", Any, At], dict[str, Any]]
"""Resolves fields of the root: all of a query's, or one of a mutation's."""


class Wait:
    """Something that is awaited, and where what comes of it belongs."""

    __slots__ = ("at", "awaitable", "dropped", "future", "held", "position", "run", "then")

    def __init__(self, awaitable: Awaitable[Any], position: Position, at: At, then: Complete) -> None:
        self.awaitable = awaitable
        self.position = position
        self.at = at
        self.then = then
        self.future: asyncio.Future[Any] | None = None
        self.dropped = False
        """Nobody wants it any more."""
        self.held: Sequence[Wait] = ()
        """What is not begun before it has come."""
        self.run: Run | None = None
        """Whose it is, as long as that wants somebody else's future."""

    def is_beneath(self, position: Position, at: At) -> bool:
        """Whether it belongs there, or into what is there."""
        return self.at[: position.depth] == at and self.position.is_beneath(position)

    def came(self, future: asyncio.Future[Any]) -> None:
        """Somebody else's future has ended."""
        if self.run is not None:
            self.run.came(self, future)
        else:
            _miss(future)


class Run:
    """The state of one execution."""

    __slots__ = (
        "_idle",
        "_leaving",
        "_live",
        "_places",
        "_variables",
        "arguments",
        "context",
        "data",
        "errors",
        "executor",
        "is_awaitable",
        "waits",
    )

    def __init__(self, executor: Executor[Any]) -> None:
        self.executor = executor
        self.context = executor.context_value
        self.is_awaitable = executor.is_awaitable
        self.data: dict[str, Any] | None = {}
        self.errors: list[GraphQLError] = []
        """In the order in which they happened."""
        self.arguments: dict[Position, dict[str, Any]] = {}
        """Those that are the same wherever in this operation their field is resolved."""
        self.waits: list[Wait] = []
        """What the pass that runs has met."""
        self._live: set[Wait] = set()
        self._places: dict[At, list[Wait]] | None = None
        """What was ever live, by all the indices that lead to it: looked up when a null goes up."""
        self._leaving: set[asyncio.Future[Any]] = set()
        """Tasks that were cancelled, and have not ended yet."""
        self._idle: asyncio.Future[None] | None = None
        self._variables: contextvars.Context | None = None

    # ------------------------------------------------------------ passes

    def execute(self, parts: Sequence[Part]) -> ExecutionResult | Awaitable[ExecutionResult]:
        """Each part when the one before has come to its end."""
        for count, part in enumerate(parts, 1):
            self._begin(part)
            if self.waits:
                return self._go_on(parts[count:])
            if self.data is None:
                break
        return self._result()

    async def _go_on(self, parts: Sequence[Part]) -> ExecutionResult:
        await self._settle()
        for part in parts:
            if self.data is None:
                break
            self._begin(part)
            await self._settle()
        return self._result()

    def _begin(self, part: Part) -> None:
        try:
            made = part(self, self.executor.root_value, ())
        except GraphQLError as error:
            self._null_everything(error)
        except BaseException:
            drop(self.waits)
            raise
        else:
            if self.data is not None:
                self.data |= made

    def _result(self) -> ExecutionResult:
        # An error's traceback leads to this run, which so must not lead to the error.
        errors, self.errors = self.errors, []
        return ExecutionResult(self.data, errors or None)

    def wait(self, awaitable: Any, position: Position, at: At, then: Complete, held: Sequence[Wait] = ()) -> Any:
        """Go on without it; when it has come, `then` makes its value of it."""
        wait = Wait(awaitable, position, at, then)
        wait.held = held
        self.waits.append(wait)
        return PENDING

    def info(self, position: Position, at: At) -> GraphQLResolveInfo[Any]:
        """What graphql-core tells a resolver."""
        field, path = position.field, position.linked_path(at[: position.depth])
        return self.executor.build_resolve_info(field.definition, field.nodes, field.parent_type, path)

    def failed(self, position: Position, error: Exception, at: At) -> None:
        """What the pass was to place there could not be had: it is null, or (raised) what it is in.

        What it waited for is not wanted any more; it was met last.
        """
        located = located_error(error, position.field.nodes, position.path(at))
        if not position.nullable:
            try:
                raise located
            finally:
                del located, error  # whose traceback has this frame: a circle
        self.errors.append(located)
        waits, count = self.waits, len(self.waits)
        while count and waits[count - 1].is_beneath(position, at):
            count -= 1
        if count < len(waits):
            drop(waits[count:])
            del waits[count:]

    # ------------------------------------------------------------ what has come

    def _complete(self, wait: Wait, value: Any) -> None:
        try:
            made = wait.then(self, value, wait.at)
        except Exception as error:  # noqa: BLE001 - reason: a resolver's, to be said in the answer
            self._fail(wait, error)
        else:
            self._put(wait.position, wait.at, made)

    def _fail(self, wait: Wait, error: BaseException) -> None:
        """It is null, or what is around it up to where a null may stand."""
        position: Position | None = wait.position
        nodes, path = wait.position.field.nodes, wait.position.path(wait.at)
        located = located_error(error if isinstance(error, Exception) else _lost(error), nodes, path)
        while position is not None and not position.nullable:
            position = position.parent
        if position is None:
            self._null_everything(located)
            return
        at = wait.at[: position.depth]
        self.errors.append(located)
        self._put(position, at, None)
        # All that the failed pass has met is in what failed.
        drop(self.waits)
        self.waits.clear()
        if position is not wait.position:
            self._cancel(self._beneath(position, at))

    def _null_everything(self, error: GraphQLError) -> None:
        self.errors.append(error)
        self.data = None
        drop(self.waits)
        self.waits.clear()
        self._cancel(list(self._live))

    def _put(self, position: Position, at: At, value: Any) -> None:
        way, key = keys(position.path(at))
        here: Any = self.data
        for step in way:
            here = here[step]
        here[key] = value

    def _beneath(self, position: Position, at: At) -> list[Wait]:
        """What is under way there. Each place is asked for alone: there may be thousands that become null."""
        if self._places is None:
            self._places = {}
            for wait in self._live:
                self._file(wait, self._places)
        return [each for each in self._places.get(at, ()) if each in self._live and each.is_beneath(position, at)]

    def _file(self, wait: Wait, places: dict[At, list[Wait]]) -> None:
        for depth in range(len(wait.at) + 1):
            places.setdefault(wait.at[:depth], []).append(wait)

    def _cancel(self, waits: Sequence[Wait]) -> None:
        """Tasks of our own end; a future that somebody else made may be awaited by others, too."""
        for wait in waits:
            wait.dropped, wait.run = True, None
            self._live.discard(wait)
            if wait.future is not None and wait.future is not wait.awaitable:
                wait.future.cancel()
                self._leaving.add(wait.future)

    # ------------------------------------------------------------ waiting

    async def _settle(self) -> None:
        """Until nothing is waited for, and what was cancelled has ended. Whoever cancels this cancels all of it."""
        self._variables = contextvars.copy_context()
        try:
            while self.waits or self._live:
                if not self._live and (alone := self._only_one()):
                    await self._met(alone)
                    continue
                self._launch()
                self._idle = asyncio.get_running_loop().create_future()
                await self._idle
            while self._leaving:
                await asyncio.wait(self._leaving)
        except BaseException:
            await self._abandon()
            raise

    def _only_one(self) -> Wait | None:
        """What the pass has met, if that is one coroutine: it needs no task of its own."""
        if len(self.waits) == 1 and iscoroutine(self.waits[0].awaitable):
            return self.waits.pop()
        return None

    async def _met(self, wait: Wait) -> None:
        """Its value is made in the step in which it comes: what that loads belongs to this turn's batches."""
        try:
            value = await wait.awaitable
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if wait.dropped or (wait.future is None and (task is None or task.cancelling())):
                raise
            self._live.discard(wait)
            self._fail(wait, error)
        except Exception as error:  # noqa: BLE001 - reason: as above
            if wait.future is not None and not wait.position.nullable:
                # What was met with it has begun when it takes that along, as the interpreter has it.
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(0)
            if not wait.dropped:
                self._live.discard(wait)
                self._fail(wait, error)
        else:
            if wait.dropped:
                drop(wait.held)
                return
            self._live.discard(wait)
            self._complete(wait, value)

    async def _in_task(self, wait: Wait) -> None:
        """It, and then what it alone leads to."""
        task, here = wait.future, wait
        await self._met(here)
        while not here.dropped and (alone := self._only_one()):
            here = alone
            here.future = task
            self._enter(here)
            await self._met(here)
        if not here.dropped:
            self._proceed()

    def _launch(self) -> None:
        loop = asyncio.get_running_loop()
        waits, self.waits = self.waits, []
        for wait in waits:
            if asyncio.isfuture(wait.awaitable):
                # No task: what comes of it is made in a callback, which sees the context variables of the operation.
                wait.future, wait.run = wait.awaitable, self
                wait.future.add_done_callback(wait.came, context=self._variables)
            else:
                # What its resolver sets of context variables is seen where its fields are resolved, and nowhere else.
                wait.future = loop.create_task(self._in_task(wait))
                wait.future.add_done_callback(functools.partial(self._left, wait))
            self._enter(wait)

    def _enter(self, wait: Wait) -> None:
        self._live.add(wait)
        if self._places is not None:
            self._file(wait, self._places)

    def _left(self, wait: Wait, task: asyncio.Future[Any]) -> None:
        """A task of ours has ended."""
        self._leaving.discard(task)
        if task.cancelled():
            drop([wait])  # the task may not even have begun
            if wait in self._live:
                self.came(wait, task)
        elif (error := task.exception()) is not None:
            self._end_waiting(error)

    def came(self, wait: Wait, future: asyncio.Future[Any]) -> None:
        """What is awaited without a task has ended."""
        self._live.discard(wait)
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        try:
            if error is None:
                self._complete(wait, future.result())
            else:
                self._fail(wait, error)
            self._proceed()
        except BaseException as broken:  # noqa: BLE001 - reason: the loop would only log it, and nobody would go on
            self._end_waiting(broken)

    def _proceed(self) -> None:
        """With what the pass has met."""
        self._launch()
        if not self._live:
            self._end_waiting(None)

    def _end_waiting(self, error: BaseException | None) -> None:
        if self._idle is None or self._idle.done():
            return
        if error is None:
            self._idle.set_result(None)
        else:
            self._idle.set_exception(error)

    async def _abandon(self) -> None:
        """Nobody waits for the answer any more: nothing of it goes on."""
        drop(self.waits)
        self.waits.clear()
        self._cancel(list(self._live))
        left = [future for future in self._leaving if not future.done()]
        if left:
            await asyncio.wait(left)


def drop(waits: Sequence[Wait]) -> None:
    """Of what was not begun yet nothing will be."""
    for wait in waits:
        drop_awaitable(wait.awaitable)
        drop(wait.held)


def drop_awaitable(awaitable: Any) -> None:
    """It won't be awaited: a coroutine is closed, and a future's error is nobody's to miss."""
    if iscoroutine(awaitable):
        awaitable.close()
    elif asyncio.isfuture(awaitable):
        awaitable.add_done_callback(_miss)


def _miss(future: asyncio.Future[Any]) -> None:
    """Nobody else may ask for its error, and that would be told of."""
    if not future.cancelled():
        future.exception()


def _lost(error: BaseException) -> Exception:
    """Somebody else has cancelled what was awaited here: a failure of this field, not the end of the operation."""
    if isinstance(error, asyncio.CancelledError):
        return RuntimeError("what it waited for was cancelled")
    raise error
