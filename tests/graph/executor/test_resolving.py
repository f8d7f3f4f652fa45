"""What Strawberry does around a resolver, the compiled executor does too, or leaves to Strawberry."""

import enum
import functools
from collections.abc import AsyncIterator, Callable
from typing import Any, NewType

import pytest
import strawberry
from graphql import ExecutionResult, parse
from graphql.execution import Executor
from graphql.execution.values import get_argument_values
from strawberry.schema.config import StrawberryConfig
from strawberry.types.scalar import ScalarDefinition

from graph.executor import Plans, Room, resolving
from tests.graph.executor.comparing import awaited, compiled, in_order


class BoomError(Exception):
    pass


@strawberry.type
class Failed:
    message: str


@strawberry.type
class Fine:
    value: int


class Handler(strawberry.ExceptionHandler[BoomError, Failed]):
    def handle(self, exception: Exception, **_: Any) -> Failed:
        return Failed(message=str(exception))


class Perhaps:
    @property
    def outcome(self) -> Any:
        raise BoomError("handled")


@strawberry.type
class Thing:
    number: int

    @strawberry.field
    def twice(root: strawberry.Parent["Thing"]) -> int:  # noqa: N805 - reason: one parameter that is both
        return 2 * root.number

    @strawberry.field
    def guarded(self) -> str:
        return "a secret"


@strawberry.type
class Outcome:
    outcome: Fine | Failed


class Right(enum.Flag):
    READ = 1
    WRITE = 2


RIGHT = strawberry.enum(Right)
Counted = NewType("Counted", object)
Anything = NewType("Anything", object)
count = 0


def counted(_value: Any) -> int:
    global count  # noqa: PLW0603 - reason: a scalar that is different each time
    count += 1
    return count


SCALARS: dict[object, ScalarDefinition] = {
    Counted: strawberry.scalar(name="Counted", serialize=int, parse_value=counted),
    Anything: strawberry.scalar(name="Anything", serialize=lambda value: value, parse_value=lambda value: value),
}


@strawberry.type
class Query:
    @strawberry.field
    def thing(self) -> Thing:
        return Thing(number=3)

    @strawberry.field
    def outcome(self) -> Outcome:
        return Perhaps()  # type: ignore[return-value]

    @strawberry.field
    def rights(self) -> RIGHT:  # type: ignore[valid-type]
        return Right.READ | Right.WRITE

    @strawberry.field
    def right(self) -> RIGHT:  # type: ignore[valid-type]
        return Right.READ

    @strawberry.field
    def counted(self, value: Counted) -> int:
        return int(str(value))

    @strawberry.field
    def added(self, to: Anything) -> Anything:
        assert isinstance(to, list)
        to.append("mine")
        return Anything(list(to))

    @strawberry.field
    def nothing(self, default: str | None = None) -> str | None:
        return default


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def things(self, least: int = 1) -> AsyncIterator[Thing]:
        yield Thing(number=least)


def schema(**more: Any) -> strawberry.Schema:
    return strawberry.Schema(Query, subscription=Subscription, config=StrawberryConfig(scalar_map=SCALARS), **more)


def executor_of(schema: strawberry.Schema, text: str) -> Executor[Any]:
    made = Executor.build(schema._schema, parse(text))
    assert isinstance(made, Executor)
    return made


async def same(schema: strawberry.Schema, text: str) -> ExecutionResult:
    """As graphql-core answers it."""
    theirs = await awaited(executor_of(schema, text).execute_operation())
    ours = await compiled(executor_of(schema, text))
    assert (ours.data, in_order(ours)) == (theirs.data, in_order(theirs))
    return ours


async def test_resolver_when_its_root_is_the_parent_then_it_gets_it_once() -> None:
    assert (await same(schema(), "{ thing { twice } }")).data == {"thing": {"twice": 6}}


async def test_scalar_when_its_values_may_change_then_each_execution_has_its_own() -> None:
    made, plans, text = schema(), Plans(Room()), '{ added(to: ["a"]) counted(value: 1) again: counted(value: 1) }'
    document = parse(text)
    answers = []
    for _ in range(2):
        executor: Any = Executor.build(made._schema, document)
        answers.append((await compiled(executor, plans)).data)
    [first, second] = answers
    assert first is not None
    assert second is not None
    assert first["added"] == second["added"] == ["a", "mine"]
    assert len({first["counted"], first["again"], second["counted"], second["again"]}) == 4


@pytest.mark.parametrize("is_noted", [True, False])
async def test_resolver_when_it_is_wrapped_then_the_wrapper_is_called(is_noted: bool) -> None:
    made = schema()
    field = made._schema.type_map["Thing"].fields["guarded"]  # type: ignore[attr-defined]

    def guard(resolve: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(resolve)
        def refused(*_args: Any, **_more: Any) -> Any:
            raise PermissionError("not yours")

        if not is_noted:
            del refused.__wrapped__
        return refused

    field.resolve = guard(field.resolve)
    answer = await same(made, "{ thing { guarded } }")
    assert answer.data is None
    assert [error.message for error in answer.errors or ()] == ["not yours"]


async def test_attribute_when_reading_it_raises_what_is_handled_then_that_is_the_answer() -> None:
    made = schema(exception_handlers=[Handler()])
    answer = await same(made, "{ outcome { outcome { ... on Failed { message } } } }")
    assert answer.data == {"outcome": {"outcome": {"message": "handled"}}}


async def test_flag_when_it_is_composed_then_the_answer_is_that_of_graphql_core() -> None:
    assert (await same(schema(), "{ right }")).data == {"right": "READ"}
    await same(schema(), "{ rights }")


async def test_arguments_when_there_are_none_then_they_are_worked_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0

    def counting(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        return get_argument_values(*args)

    monkeypatch.setattr(resolving, "get_argument_values", counting)
    made, document, plans = schema(), parse("{ nothing }"), Plans(Room())
    for _ in range(3):
        executor: Any = Executor.build(made._schema, document)
        assert (await compiled(executor, plans)).data == {"nothing": None}
    assert calls == 1


@pytest.mark.parametrize("event", [Thing(number=3), None, BoomError("no thing"), "no thing"])
async def test_event_when_it_is_told_of_then_no_arguments_are_worked_out(
    event: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "subscription ($least: Int!) { things(least: $least) { number twice } }"
    began = Executor.build(schema()._schema, parse(text), raw_variable_values={"least": 2})
    assert isinstance(began, Executor)
    theirs = await awaited(began.build_per_event_executor(event).execute_operation())
    monkeypatch.delattr(resolving, "get_argument_values")
    ours = await compiled(began.build_per_event_executor(event))
    assert (ours.data, in_order(ours)) == (theirs.data, in_order(theirs))
    assert (ours.data == {"things": {"number": 3, "twice": 6}}) == isinstance(event, Thing)
