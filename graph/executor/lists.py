"""How lists are completed: item by item, each in its place, whether they are there or still come."""

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

from graphql import GraphQLError, Undefined, located_error
from graphql.pyutils import is_iterable

from graph.executor.positions import At, Position
from graph.executor.runs import Complete, Run, Wait, drop, drop_awaitable

END = object()
"""What comes behind the last item."""


class ListValue:
    """The lists at a position; `take` completes an item at its own."""

    def __init__(self, position: Position, item: Position, take: Complete) -> None:
        self._position = position
        self._item = item
        self._take = take

    def complete(self, run: Run, value: Any, at: At) -> Any:
        """The whole list; raises when it has to be null."""
        if value is None or value is Undefined:
            return self._position.absent()
        if isinstance(value, Exception):
            raise value
        if value.__class__ is not list:
            if run.executor.is_async_iterable(value):
                return self._drained(run, value, at)
            if not is_iterable(value):
                raise GraphQLError(f"Expected Iterable, but did not find one for field '{self._position.field}'.")
        items: list[Any] = []
        iterator: Iterator[Any] = iter(value)
        try:
            for each in iterator:
                self._place(run, each, items, at)
        except Exception:
            _drop_rest(run, iterator)
            raise
        return items

    def _place(self, run: Run, each: Any, items: list[Any], at: At) -> None:
        here = (*at, len(items))
        try:
            items.append(self._take(run, each, here))
        except Exception as error:  # noqa: BLE001 - reason: a resolver's, to be said in the answer
            run.failed(self._item, error, here)
            items.append(None)

    def _drained(self, run: Run, value: AsyncIterable[Any], at: At) -> list[Any]:
        # It is in the answer from now on, and grows there: what its items wait for finds its way.
        items: list[Any] = []
        held: list[Wait] = []

        def is_drained(run: Run, _nothing: None, _at: At) -> list[Any]:
            run.waits += held
            return items

        run.wait(self._drain(run, aiter(value), items, held, at), self._position, at, is_drained, held)
        return items

    async def _drain(self, run: Run, iterator: AsyncIterator[Any], items: list[Any], held: list[Wait], at: At) -> None:
        """`held` is what the items wait for: not begun before the last is there, as it is for nothing if one fails."""
        try:
            while (each := await self._next(iterator, at)) is not END:
                others, run.waits = run.waits, held
                try:
                    self._place(run, each, items, at)
                finally:
                    run.waits = others
        except BaseException:
            drop(held)
            if (close := getattr(iterator, "aclose", None)) is not None:
                with suppress(Exception):
                    await close()
            raise

    async def _next(self, iterator: AsyncIterator[Any], at: At) -> Any:
        try:
            return await anext(iterator)
        except StopAsyncIteration:
            return END
        except Exception as error:
            raise located_error(error, self._position.field.nodes, self._position.path(at)) from error


def _drop_rest(run: Run, iterator: Iterator[Any]) -> None:
    """What the items behind a failed one would have had awaited."""
    with suppress(Exception):
        for each in iterator:
            if run.is_awaitable(each):
                drop_awaitable(each)
