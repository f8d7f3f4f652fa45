"""What an execution waits for, and what becomes of that when nobody wants it any more."""

import asyncio
import contextvars
import gc
import warnings
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiodataloader import DataLoader
from graphql import ExecutionResult, GraphQLResolveInfo, build_schema, parse
from graphql.execution import Executor

from graph.executor import Plans, Room, executed
from graph.executor.runs import Wait
from tests.graph.executor.comparing import awaited, compiled

SCHEMA = build_schema("""
type Thing { name: String, sure: String!, thing: Thing, sureThing: Thing!, things: [Thing!], all: [Thing] }
type Query { name: String, sure: String!, thing: Thing, other: Thing, things: [Thing!], all: [Thing] }
type Mutation { first: String, second: String!, third: String }
""")
WHERE: contextvars.ContextVar[str] = contextvars.ContextVar("WHERE", default="nowhere")


def executor_of(text: str, root: Any = None) -> Executor[Any]:
    made = Executor.build(SCHEMA, parse(text), root)
    assert isinstance(made, Executor)
    return made


def said(result: ExecutionResult) -> list[Any]:
    return [(error.message, error.path) for error in result.errors or ()]


async def _turns(count: int) -> str:
    """Of the loop."""
    for _ in range(count):
        await asyncio.sleep(0)
    return "done"


def _task(executor: Executor[Any]) -> asyncio.Future[ExecutionResult]:
    answer: Any = executed(Plans(Room()), executor)
    task: asyncio.Future[ExecutionResult] = asyncio.ensure_future(answer)
    return task


class Slow:
    """Something that is awaited until it is cancelled; tells what became of it."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = False
        self.cleaned_up = False

    async def __call__(self, _info: Any) -> str:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.cleaned_up = True
            raise
        raise AssertionError


async def failing_after(event: asyncio.Event) -> str:
    await event.wait()
    raise ValueError("too bad")


async def test_null_when_it_goes_up_then_what_is_awaited_under_it_is_cancelled_and_has_ended() -> None:
    slow = Slow()
    root = {"thing": {"name": slow, "sure": lambda _info: failing_after(slow.begun)}, "name": "still here"}
    result = await compiled(executor_of("{ thing { name sure } name }", root))
    assert result.data == {"thing": None, "name": "still here"}
    assert said(result) == [("too bad", ["thing", "sure"])]
    assert (slow.cancelled, slow.cleaned_up) == (True, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_null_when_it_goes_up_at_once_then_what_was_awaited_under_it_is_not_begun() -> None:
    slow = Slow()

    def broken(_info: Any) -> str:
        raise ValueError("at once")

    result = await compiled(executor_of("{ thing { name sure } }", {"thing": {"name": slow, "sure": broken}}))
    assert result.data == {"thing": None}
    assert said(result) == [("at once", ["thing", "sure"])]
    assert not slow.begun.is_set()


async def test_null_when_it_takes_the_whole_answer_then_everything_is_cancelled() -> None:
    slow = Slow()
    root = {"name": slow, "sure": lambda _info: failing_after(slow.begun)}
    result = await compiled(executor_of("{ name sure }", root))
    assert result.data is None
    assert said(result) == [("too bad", ["sure"])]
    assert slow.cleaned_up


async def test_execution_when_it_is_cancelled_then_nothing_of_it_goes_on() -> None:
    one, other = Slow(), Slow()
    answer = executed(
        Plans(Room()),
        executor_of("{ thing { name } other { name } }", {"thing": {"name": one}, "other": {"name": other}}),
    )
    assert answer is not None
    task = asyncio.ensure_future(answer)  # type: ignore[arg-type]
    await asyncio.gather(one.begun.wait(), other.begun.wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (one.cleaned_up, other.cleaned_up) == (True, True)
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_future_when_its_field_is_given_up_then_others_still_get_it() -> None:
    loop = asyncio.get_running_loop()
    shared, begun = loop.create_future(), asyncio.Event()
    loop.call_soon(begun.set)
    loop.call_later(0.05, shared.set_result, "shared")
    root = {"thing": {"name": shared, "sure": lambda _info: failing_after(begun)}, "other": {"name": shared}}
    result = await compiled(executor_of("{ thing { name sure } other { name } }", root))
    assert result.data == {"thing": None, "other": {"name": "shared"}}
    assert said(result) == [("too bad", ["thing", "sure"])]


async def test_future_when_an_execution_that_awaits_it_is_cancelled_then_others_still_get_it() -> None:
    shared = asyncio.get_running_loop().create_future()
    root = {"name": shared, "sure": "s"}
    one, other = (_task(executor_of("{ name sure }", root)) for _ in range(2))
    await _turns(2)
    one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one
    shared.set_result("shared")
    assert (await other).data == {"name": "shared", "sure": "s"}


async def test_future_when_an_execution_has_given_it_up_then_it_keeps_nothing_of_that() -> None:
    class Root(dict[str, Any]):
        pass

    shared = asyncio.get_running_loop().create_future()
    root = Root(name=shared)
    gone, task = weakref.ref(root), _task(executor_of("{ name }", root))
    await _turns(2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    del task, root
    await _turns(1)  # the loop itself has the cancellation until this step has ended
    gc.collect()
    assert gone() is None
    shared.set_exception(ValueError("for nobody"))
    await _turns(2)


async def test_future_when_somebody_else_cancels_it_then_that_is_an_error_of_its_field() -> None:
    lost = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(lost.cancel)
    result = await compiled(executor_of("{ thing { name } name }", {"thing": {"name": lost}, "name": "here"}))
    assert result.data == {"thing": {"name": None}, "name": "here"}
    assert said(result) == [("what it waited for was cancelled", ["thing", "name"])]


async def test_futures_when_there_are_many_then_no_task_is_made_for_them() -> None:
    loop, tasks = asyncio.get_running_loop(), 0
    futures = [loop.create_future() for _ in range(50)]
    answer: Any = executed(
        Plans(Room()), executor_of("{ all { name } }", {"all": [{"name": each} for each in futures]})
    )

    def count() -> None:
        nonlocal tasks
        tasks = len(asyncio.all_tasks())
        for number, future in enumerate(futures):
            future.set_result(str(number))

    loop.call_later(0.01, count)
    result = await answer
    assert result.data == {"all": [{"name": str(number)} for number in range(50)]}
    assert tasks == 1


class Items:
    """An asynchronous iterator that tells when it is closed."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.closed = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if not self.items:
            raise StopAsyncIteration
        item = self.items.pop(0)
        await item() if callable(item) else await asyncio.sleep(0)
        return item

    async def aclose(self) -> None:
        self.closed = True


async def test_iterator_when_an_item_fails_the_list_then_it_is_closed_and_read_no_further() -> None:
    items = Items([{"name": "a"}, None, {"name": "c"}])
    result = await compiled(executor_of("{ things { name } name }", {"things": items, "name": "here"}))
    assert result.data == {"things": None, "name": "here"}
    assert said(result) == [("Cannot return null for non-nullable field Query.things.", ["things", 1])]
    assert (items.closed, items.items) == (True, [{"name": "c"}])


async def test_iterator_when_the_execution_is_cancelled_then_it_is_closed() -> None:
    waits = asyncio.Event()

    async def forever() -> None:
        waits.set()
        await asyncio.Event().wait()

    items = Items([{"name": "a"}, forever])
    answer: Any = executed(Plans(Room()), executor_of("{ all { name } }", {"all": items}))
    task = asyncio.ensure_future(answer)
    await waits.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert items.closed


async def test_context_variables_when_a_coroutine_sets_them_then_its_fields_see_them_and_no_others() -> None:
    async def moved(_info: Any) -> Any:
        WHERE.set("moved")
        return {"name": lambda _info: WHERE.get()}

    async def at_home(_info: Any) -> Any:
        await asyncio.sleep(0)
        return {"name": lambda _info: WHERE.get()}

    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, {"name": lambda _info: WHERE.get()})
    WHERE.set("at home")
    root = {"thing": moved, "other": at_home, "all": [future]}
    result = await compiled(executor_of("{ thing { name } other { name } all { name } }", root))
    assert result.data == {"thing": {"name": "moved"}, "other": {"name": "at home"}, "all": [{"name": "at home"}]}


async def test_context_variables_when_a_coroutine_sets_them_then_futures_of_others_do_not_see_it() -> None:
    loop = asyncio.get_running_loop()
    first, second = loop.create_future(), loop.create_future()

    async def moved(_info: Any) -> Any:
        WHERE.set("moved")
        loop.call_soon(first.set_result, {})
        return {"thing": first}

    async def later(_info: Any) -> Any:
        await first
        await _turns(3)
        loop.call_soon(second.set_result, {"name": lambda _info: WHERE.get()})
        return {"thing": second}

    WHERE.set("at home")
    text = "{ thing { thing { name } } other { thing { name } } }"
    result = await compiled(executor_of(text, {"thing": moved, "other": later}))
    assert result.data == {"thing": {"thing": {"name": None}}, "other": {"thing": {"name": "at home"}}}


@pytest.mark.parametrize("turns", range(1, 9))
async def test_iterator_when_the_execution_is_cancelled_as_it_ends_then_what_its_items_wait_for_is_closed(
    turns: int,
) -> None:
    async def items() -> AsyncIterator[Any]:
        yield {"name": lambda _info: _turns(1)}

    slow = Slow()
    task = _task(executor_of("{ all { name } name }", {"all": items(), "name": slow}))
    await _turns(turns)
    task.cancel()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        await asyncio.wait([task])
        del task
        gc.collect()
    assert told == []


async def test_nulls_when_there_are_many_then_each_looks_for_what_is_under_way_at_its_own_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    is_beneath = Wait.is_beneath

    def counted(*args: Any) -> bool:
        nonlocal looks
        looks += 1
        return is_beneath(*args)

    async def failing(_info: Any) -> str:
        await _turns(1)
        raise ValueError("too bad")

    monkeypatch.setattr(Wait, "is_beneath", counted)
    root = {"all": [{"sure": failing, "name": Slow()} for _ in range(200)]}
    result = await compiled(executor_of("{ all { sure name } }", root))
    assert result.data == {"all": [None] * 200}
    assert looks < 5 * 200
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_loads_when_some_are_beneath_coroutines_then_they_are_of_the_batches_that_the_interpreter_has() -> None:
    async def batches(*, plans: Plans | None) -> list[list[str]]:
        seen = []

        async def batch(keys: list[str]) -> list[str]:
            seen.append(keys)
            return keys

        loader: DataLoader[str, str] = DataLoader(batch)

        async def thing(_info: Any) -> Any:
            return {"name": lambda _info: loader.load("a")}

        async def deeper(_info: Any) -> Any:
            return {"thing": thing}

        root = {"thing": thing, "other": deeper, "name": lambda _info: loader.load("b")}
        executor = executor_of("{ thing { name } other { thing { name } } name }", root)
        await (awaited(executor.execute_operation()) if plans is None else compiled(executor, plans))
        return seen

    assert await batches(plans=Plans(Room())) == await batches(plans=None)


async def test_mutations_when_one_fails_then_those_before_it_are_done_and_those_behind_are_not() -> None:
    done = []

    async def step(name: str) -> str:
        await asyncio.sleep(0)
        done.append(name)
        if name == "second":
            raise ValueError("too bad")
        return name

    root = {name: lambda info: step(info.field_name) for name in ("first", "second", "third")}
    result = await compiled(executor_of("mutation { first second third }", root))
    assert result.data is None
    assert said(result) == [("too bad", ["second"])]
    assert done == ["first", "second"]


async def test_info_when_a_resolver_asks_then_it_is_graphql_cores_own() -> None:
    seen: list[GraphQLResolveInfo[Any]] = []

    def name(info: GraphQLResolveInfo[Any]) -> str:
        seen.append(info)
        return "a"

    await compiled(executor_of("{ all { called: name } }", {"all": [{}, {"name": name}]}))
    [info] = seen
    assert isinstance(info, GraphQLResolveInfo)
    assert (info.field_name, info.path.as_list(), str(info.parent_type)) == ("name", ["all", 1, "called"], "Thing")
