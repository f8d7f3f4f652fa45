"""Which operations have a plan, and what a plan keeps."""

import gc
import re
import weakref
from pathlib import Path
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    parse,
)
from graphql.execution import ExecutionHooks, Executor
from graphql.execution.values import VariableValues
from structlog.testing import capture_logs

from graph.executor import Plans, Room, emission, executed
from graph.executor import room as of_room
from graph.executor.room import FIELDS_KEPT_MAX, FIELDS_MAX
from graph.graphiql import EXAMPLES
from graph.schema import build_schema
from graph.wire.documents import Document, Documents
from graph.wire.execution import Execution, common_of
from graph.wire.pipeline import Pipeline
from graph.wire.requests import GraphQLRequest
from infrastructure.services import Services
from infrastructure.settings import Settings
from tests.graph.executor.comparing import compiled
from tests.graph.executor.test_runs import SCHEMA
from tests.support.people import anonymous

ROOT = Path(__file__).resolve().parents[3]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
OURS = build_schema()
SQLITE = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


def operations() -> list[str]:
    """Every operation of the documentation, and the examples of GraphiQL."""
    blocks = [
        block
        for page in PAGES
        for block in re.findall(r"^```graphql\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    ]
    return [block for block in blocks if _is_operation(block)] + [example.query for example in EXAMPLES]


def _is_operation(text: str) -> bool:
    try:
        return any(isinstance(each, OperationDefinitionNode) for each in parse(text).definitions)
    except GraphQLError:
        return False


def executor_of(document: Document, operation: OperationDefinitionNode) -> Execution:
    """Without variables: what is compiled does not depend on them, but for those of `@skip` and `@include`."""
    return Execution(common_of(OURS._schema, document, operation, suggests=True), None, VariableValues({}, {}))


@pytest.mark.parametrize("text", operations())
def test_operation_of_the_documentation_when_compiled_then_it_has_a_plan(text: str) -> None:
    document = Documents(OURS._schema, Settings()).of(text)
    for operation in document.operations.values():
        assert Plans(Room()).of(executor_of(document, operation)) is not None


def test_documentation_when_looked_through_then_it_has_operations_of_every_kind() -> None:
    documents = [Documents(OURS._schema, Settings()).of(text) for text in operations()]
    kinds = [operation.operation for document in documents for operation in document.operations.values()]
    assert len(kinds) >= 10
    assert set(kinds) == set(OperationType)


def built(text: str, root: Any = None, **more: Any) -> Executor[Any]:
    made = Executor.build(SCHEMA, parse(text), root, **more)
    assert isinstance(made, Executor)
    return made


@pytest.mark.parametrize(
    "text",
    [
        "{ thing { ...A } } fragment A on Thing { thing { ...A } }",
        "query @experimental_disableErrorPropagation { sure }",
        "{ ...A @defer } fragment A on Query { name }",
        "{ all @stream(initialCount: 0) { name } }",
        "{ thing { ...A1 } } "
        + " ".join(
            f"fragment A{n} on Thing {{ a: thing {{ ...A{n + 1} }} b: thing {{ ...A{n + 1} }} }}" for n in range(1, 13)
        )
        + " fragment A13 on Thing { name }",
    ],
)
def test_operation_when_it_cannot_be_compiled_then_it_has_no_plan(text: str) -> None:
    executor = built(text)
    assert Plans(Room()).of(executor) is None or not executor.error_propagation


async def test_execution_when_it_has_what_a_plan_does_not_do_then_nothing_is_resolved() -> None:
    def never(_info: Any) -> str:
        raise AssertionError

    assert executed(Plans(Room()), built("{ name }", {"name": never}, hooks=ExecutionHooks())) is None
    text = "query @experimental_disableErrorPropagation { sure }"
    assert executed(Plans(Room()), built(text, {"sure": never})) is None


async def test_plan_when_variables_change_then_each_answer_has_its_own() -> None:
    document = parse("query ($a: Boolean!, $b: Boolean!) { name @include(if: $a) sure @skip(if: $b) }")
    plans, seen = Plans(Room()), []
    for a in (True, False):
        for b in (True, False):
            executor: Any = Executor.build(
                SCHEMA, document, {"name": "n", "sure": "s"}, raw_variable_values={"a": a, "b": b}
            )
            seen.append((await compiled(executor, plans)).data)
    assert seen == [{"name": "n"}, {"name": "n", "sure": "s"}, {}, {"sure": "s"}]


def test_plans_when_there_is_no_room_left_then_the_one_used_least_lately_gives_way() -> None:
    room = Room(fields=4)
    first, second, third = (Plans(room) for _ in range(3))
    texts = built("{ name sure }"), built("{ sure name }")
    kept, gone = first.of(texts[0]), second.of(texts[1])
    assert first.of(texts[0]) is kept
    assert third.of(built("{ name sure }")) is not None
    assert first.of(texts[0]) is kept
    assert second.of(texts[1]) is not gone
    assert room.left == 0


def test_plans_when_their_document_goes_then_they_give_back_what_they_took() -> None:
    room = Room(fields=4)
    plans = Plans(room)
    assert plans.of(built("{ name sure }")) is not None
    assert room.left == 2
    del plans
    assert (room.left, room.plans) == (4, {})


async def test_selection_when_no_value_of_it_comes_then_it_is_not_compiled() -> None:
    room = Room()
    plans, text = Plans(room), "{ thing { name sure } other { name sure } }"
    executor, asked = built(text, {"other": {"sure": "s"}}), room.left
    assert (await compiled(executor, plans)).data == {"thing": None, "other": {"name": None, "sure": "s"}}
    assert asked - room.left == 4


async def test_plans_of_one_document_when_they_grow_then_they_take_no_more_than_one_may() -> None:
    names = [f"v{number}" for number in range(4)]
    head = ", ".join(f"${name}: Boolean!" for name in names)
    inner = " ".join(f"a{number}: name" for number in range(300))
    things = " ".join(f"{name}: thing @include(if: ${name}) {{ {inner} }}" for name in names)
    document, room = parse(f"query ({head}) {{ {things} }}"), Room()
    plans, most = Plans(room), 0
    for number in range(2 ** len(names)):
        values = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        executor: Any = Executor.build(SCHEMA, document, {"thing": {"name": "n"}}, raw_variable_values=values)
        data: Any = (await compiled(executor, plans)).data
        assert {key: len(inner) for key, inner in data.items()} == {name: 300 for name in names if values[name]}
        most = max(most, FIELDS_KEPT_MAX - room.left)
    assert 1_000 < most <= FIELDS_MAX


async def test_plan_when_it_grows_beyond_what_one_may_have_then_the_operation_is_interpreted_from_then_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(of_room, "FIELDS_MAX", 2)
    room = Room()
    plans, executor = Plans(room), built("{ thing { name sure } }", {"thing": {"name": "n", "sure": "s"}})
    assert (await compiled(executor, plans)).data == {"thing": {"name": "n", "sure": "s"}}
    assert plans.of(executor) is None
    assert room.left == FIELDS_KEPT_MAX


async def test_conditions_when_they_come_out_in_too_many_ways_then_the_way_used_least_lately_gives_way() -> None:
    names = [f"v{number}" for number in range(5)]
    head = ", ".join(f"${name}: Boolean!" for name in names)
    document = parse(f"query ({head}) {{ {' '.join(f'{name}: name @include(if: ${name})' for name in names)} }}")
    plans = Plans(Room())

    def parts(number: int) -> Any:
        values = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        executor: Any = Executor.build(SCHEMA, document, raw_variable_values=values)
        return plans.of(executor)

    popular = parts(31)
    for number in range(31):
        assert parts(number) is not None
        assert parts(31) is popular
    first = parts(0)
    assert parts(0) is first
    assert parts(31) is popular


@SQLITE
async def test_operation_when_it_fails_to_be_compiled_then_it_is_interpreted_and_that_is_said_once(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise SyntaxError("no Python")

    monkeypatch.setattr(emission, "expression", broken)
    pipeline, ctx = Pipeline(OURS, services.settings), anonymous(services)
    with capture_logs() as logs:
        for _ in range(3):
            prepared = pipeline.prepare(GraphQLRequest("{ viewer { id } }"), ctx)
            assert (await pipeline.answer(prepared, ctx)).content == {"data": {"viewer": None}}
    assert [entry["event"] for entry in logs] == ["an operation can't be compiled"]
    assert services.metrics.fallbacks._value.get() == 3


async def test_plan_when_it_was_made_then_it_keeps_nothing_of_the_request() -> None:
    class Root:
        name = "a"

    root = Root()
    gone, plans = weakref.ref(root), Plans(Room())
    await compiled(built("{ name }", root), plans)
    del root
    gc.collect()
    assert gone() is None


@SQLITE
async def test_setting_when_it_says_interpreted_then_nothing_is_compiled(services: Services) -> None:
    pipeline = Pipeline(OURS, services.settings.model_copy(update={"executor": "interpreted"}))
    ctx = anonymous(services)
    prepared = pipeline.prepare(GraphQLRequest("{ __typename }"), ctx)
    assert (await pipeline.answer(prepared, ctx)).data == {"__typename": "Query"}
    assert prepared.document is not None
    assert "plans" not in prepared.document.notes
    assert services.metrics.fallbacks._value.get() == 0
