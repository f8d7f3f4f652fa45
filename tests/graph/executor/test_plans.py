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

from graph.executor import Plans, Room, executed
from graph.executor.plans import PLANS_MAX
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


async def test_plans_when_there_is_no_room_left_then_the_next_is_interpreted_until_a_document_goes() -> None:
    room = Room(fields=3)
    first, second = Plans(room), Plans(room)
    assert first.of(built("{ name sure }")) is not None
    assert second.of(built("{ name sure }")) is None
    del first
    assert room.fields == 3
    assert second.of(built("{ name sure }")) is not None
    assert room.fields == 1


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
async def test_operation_when_its_conditions_come_out_in_too_many_ways_then_the_rest_is_interpreted_and_counted(
    services: Services,
) -> None:
    pipeline, ctx = Pipeline(OURS, services.settings), anonymous(services)
    names = [f"v{number}" for number in range(5)]
    head = ", ".join(f"${name}: Boolean!" for name in names)
    text = f"query ({head}) {{ {' '.join(f'{name}: __typename @include(if: ${name})' for name in names)} }}"
    for number in range(2 ** len(names)):
        given = {name: bool(number >> place & 1) for place, name in enumerate(names)}
        prepared = pipeline.prepare(GraphQLRequest(text, None, given), ctx)
        answer = await pipeline.answer(prepared, ctx)
        assert answer.data == {name: "Query" for name in names if given[name]}
    assert services.metrics.fallbacks._value.get() == 2 ** len(names) - PLANS_MAX


@SQLITE
async def test_setting_when_it_says_interpreted_then_nothing_is_compiled(services: Services) -> None:
    pipeline = Pipeline(OURS, services.settings.model_copy(update={"executor": "interpreted"}))
    ctx = anonymous(services)
    prepared = pipeline.prepare(GraphQLRequest("{ __typename }"), ctx)
    assert (await pipeline.answer(prepared, ctx)).data == {"__typename": "Query"}
    assert prepared.document is not None
    assert "plans" not in prepared.document.notes
    assert services.metrics.fallbacks._value.get() == 0
