import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from graphql import ExecutionResult, GraphQLError, OperationType

from graph.base import global_id
from graph.schema import build_schema
from graph.wire.answers import Answer
from graph.wire.lasting import settle
from graph.wire.pipeline import Pipeline, Prepared
from graph.wire.requests import GraphQLRequest
from infrastructure import database, log
from infrastructure.services import Services
from models.errors import Throttled
from resolvers.context import Context, Viewer
from resolvers.events.queries import cursor_of
from resolvers.portfolios import commands
from tests.support.house import settings_for
from tests.support.market import Market, Trader
from tests.support.people import anonymous
from tests.support.wire import followed

SCHEMA = build_schema()
CREATE = "mutation ($input: CreatePortfolioInput!) { createPortfolio(input: $input) { portfolio { name } } }"
DEPOSIT = "mutation ($input: CashInput!) { depositCash(input: $input) { portfolio { cash } errors { code message } } }"
NAMES = "{ viewer { portfolios { edges { node { name } } } } }"

pytestmark = pytest.mark.parametrize("backend", ["sqlite"], indirect=True)


@pytest.fixture
def piped(services: Services) -> Callable[..., Pipeline]:
    """A pipeline with settings, guard or executor of a test's own."""

    def made(guard: Any = None, execute: Any = None, **settings: Any) -> Pipeline:
        given = settings_for(services.settings.database_url, services.settings.home, **settings)
        return Pipeline(SCHEMA, given, guard, **({} if execute is None else {"execute": execute}))

    return made


async def asked(pipeline: Pipeline, ctx: Context, query: str, variables: Any = None, name: str | None = None) -> Answer:
    return await pipeline.answer(pipeline.prepare(GraphQLRequest(query, name, variables), ctx), ctx)


async def names(pipeline: Pipeline, ctx: Context) -> list[str]:
    ctx.forget()
    answer = await asked(pipeline, ctx, NAMES)
    assert answer.data is not None
    return [edge["node"]["name"] for edge in answer.data["viewer"]["portfolios"]["edges"]]


def test_operation_when_prepared_then_its_kind_and_coerced_variables_are_known(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    query = (
        "query A($n: Int = 3) { orders(first: $n) { totalCount } } mutation B { logoutEverywhere { errors { code } } }"
    )
    pipeline, ctx = piped(), anonymous(services)
    one, other = (pipeline.prepare(GraphQLRequest(query, name), ctx) for name in "AB")
    assert (one.kind, one.variables, one.refusal) == (OperationType.QUERY, {"n": 3}, None)
    assert other.kind is OperationType.MUTATION
    assert one.document is other.document


@pytest.mark.parametrize(
    ("query", "name", "variables", "code"),
    [
        ("{", None, None, "GRAPHQL_PARSE_FAILED"),
        ("{" + "a " * 2000 + "}", None, None, "GRAPHQL_PARSE_FAILED"),
        ("#" * 70_000, None, None, "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", None, None, "GRAPHQL_VALIDATION_FAILED"),
        ("{" + "viewer { id } " * 31 + "}", None, None, "TOO_COMPLEX"),
        ("{ viewer { " + "id ... { id } " * 16 + "} }", None, None, "TOO_COMPLEX"),
        ("{ orders(first: true) { totalCount } }", None, None, "BAD_USER_INPUT"),
        ("{ __typename }", "Other", None, "UNKNOWN_OPERATION"),
        ("query A { __typename } query B { __typename }", None, None, "UNKNOWN_OPERATION"),
        ("fragment F on Query { __typename }", None, None, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: Int!) { orders(first: $n) { totalCount } }", None, {"n": "1"}, "BAD_USER_INPUT"),
    ],
)
async def test_operation_when_it_can_not_be_executed_then_the_answer_has_no_data_and_says_why(
    piped: Callable[..., Pipeline], services: Services, query: str, name: str | None, variables: Any, code: str
) -> None:
    answer = await asked(piped(), anonymous(services), query, variables, name)
    assert (answer.executed, answer.code, "data" in answer.content) == (False, code, False)


def test_documents_when_too_many_or_too_long_then_the_ones_used_least_lately_go(
    piped: Callable[..., Pipeline],
) -> None:
    documents = piped(documents_max=2, documents_chars_max=1024).documents
    first = documents.of("{ __typename }")
    documents.of("{ a: __typename }")
    assert documents.of("{ __typename }") is first
    documents.of("{ b: __typename }")
    assert len(documents) == 2
    assert documents.of("{ __typename }") is first
    documents.of("{ __typename }" + " " * 1010)
    assert len(documents) == 1
    documents.of("{ __typename }" + " " * 1011)
    assert len(documents) == 0


class Counting:
    """A guard that counts, and refuses when it is told to."""

    def __init__(self, refusal: Answer | Exception | None = None, viewer: Viewer | None = None) -> None:
        self.refusal, self.viewer, self.settled = refusal, viewer, list[Answer | None]()

    async def admit(self, prepared: Prepared, ctx: Context) -> Any:
        assert prepared.operation is not None
        assert ctx.viewer is self.viewer
        if isinstance(self.refusal, Exception):
            raise self.refusal
        return self.refusal or self

    async def refused(self, prepared: Prepared, ctx: Context) -> Answer:
        assert ctx.viewer is self.viewer
        assert prepared.refusal is not None
        return prepared.refusal

    def shut_out(self, ctx: Context) -> Answer | None:
        assert ctx.viewer is self.viewer
        return None

    async def settle(self, answer: Answer | None) -> None:
        self.settled.append(answer)
        if answer is not None:
            answer.extensions["cost"] = 1
            answer.headers["x-cost"] = "1"

    async def delivered(self, answer: Answer) -> None:
        answer.extensions["delivered"] = True


async def test_guard_when_it_lets_through_then_it_is_told_the_result_and_may_add_to_it(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    guard = Counting()
    answer = await asked(piped(guard), anonymous(services), "{ __typename }")
    assert answer.content == {"data": {"__typename": "Query"}, "extensions": {"cost": 1}}
    assert (guard.settled, answer.headers) == ([answer], {"x-cost": "1"})


@pytest.mark.parametrize("refusal", [Throttled("Too much.", 1.5), Answer.refused(GraphQLError("No."))])
async def test_guard_when_it_refuses_then_nothing_is_executed(
    piped: Callable[..., Pipeline], services: Services, refusal: Any
) -> None:
    guard, executed = Counting(refusal), list[Prepared]()
    answer = await asked(piped(guard, executed.append), anonymous(services), "{ __typename }")
    assert (executed, guard.settled, answer.executed) == ([], [], False)
    if isinstance(refusal, Throttled):
        assert answer.errors[0]["extensions"] == {"code": "THROTTLED", "retryAfterMs": 1500}


async def test_query_when_it_takes_too_long_then_it_is_cancelled(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    cancelled = asyncio.Event()

    async def never(_prepared: Prepared) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    answer = await asked(piped(execute=never, operation_ms=20), anonymous(services), "{ __typename }")
    assert (answer.executed, answer.code, cancelled.is_set()) == (False, "DEADLINE_EXCEEDED", True)


async def test_answer_when_it_can_not_be_written_as_json_then_that_is_masked(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    answer = await asked(
        piped(execute=lambda _: ExecutionResult({"a": "\ud800"})), anonymous(services), "{ __typename }"
    )
    assert b"INTERNAL" in answer.encoded()


async def test_executor_when_it_raises_then_the_answer_is_masked(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    def broken(_prepared: Prepared) -> Any:
        raise RuntimeError("secret")

    answer = await asked(piped(execute=broken), anonymous(services), "{ __typename }")
    assert answer.code == "INTERNAL"
    assert b"secret" not in answer.encoded()


async def test_mutation_when_it_takes_too_long_before_its_commit_then_it_is_rolled_back(
    piped: Callable[..., Pipeline], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = await Trader.with_cash(services)
    append = asyncio.Event()

    async def never(*_args: Any) -> int:
        append.set()
        await asyncio.Event().wait()
        return 0

    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.log.append", never)
        answer = await asked(piped(operation_ms=200), trader.ctx, CREATE, {"input": {"name": "Late"}})
    assert (answer.code, append.is_set()) == ("DEADLINE_EXCEEDED", True)
    assert answer.errors[0]["message"] == "It took too long; nothing was written. Try again."
    assert await names(piped(), trader.ctx) == ["Main"]


async def test_mutations_when_only_the_first_is_done_in_time_then_the_outcome_is_unknown_and_no_more_is_done(
    piped: Callable[..., Pipeline], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader, whole, calls = await Trader.with_cash(services), log.append, list[int]()

    async def once(*args: Any) -> int:
        calls.append(1)
        if len(calls) > 1:
            await asyncio.Event().wait()
        return await whole(*args)

    several = "mutation { " + " ".join(
        f'{name}: createPortfolio(input: {{ name: "{name}" }}) {{ portfolio {{ name }} }}' for name in "abc"
    )
    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.log.append", once)
        answer = await asked(piped(operation_ms=500), trader.ctx, several + " }")
    assert (answer.code, len(calls)) == ("OUTCOME_UNKNOWN", 2)
    assert await names(piped(), trader.ctx) == ["Main", "a"]


async def test_mutation_when_it_is_committing_at_its_deadline_then_the_outcome_is_unknown_and_the_key_is_named(
    piped: Callable[..., Pipeline], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = await Trader.with_cash(services)
    go_on, commit = asyncio.Event(), database._commit

    async def slow(connection: Any) -> None:
        await go_on.wait()
        await commit(connection)

    given = {"portfolioId": global_id("Portfolio", trader.portfolio_id), "amount": "1", "idempotencyKey": "pay-1"}
    with monkeypatch.context() as patched:
        patched.setattr("infrastructure.database._commit", slow)
        answer = await asked(piped(operation_ms=200), trader.ctx, DEPOSIT, {"input": given})
        go_on.set()
        await settle()
    assert answer.code == "OUTCOME_UNKNOWN"
    assert "Ask again with idempotencyKey 'pay-1'" in answer.errors[0]["message"]
    again = await asked(piped(), trader.ctx, DEPOSIT, {"input": given})
    assert again.data == {"depositCash": {"portfolio": {"cash": "100001"}, "errors": []}}


async def test_mutation_when_its_caller_leaves_then_it_is_done_all_the_same(
    piped: Callable[..., Pipeline], services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader, begun, go_on = await Trader.with_cash(services), asyncio.Event(), asyncio.Event()
    whole = commands.create_portfolio

    async def slow(*args: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await whole(*args)

    monkeypatch.setattr("resolvers.portfolios.commands.create_portfolio", slow)
    asking = asyncio.create_task(asked(piped(), trader.ctx, CREATE, {"input": {"name": "Kept"}}))
    await begun.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    go_on.set()
    await settle()
    assert await names(piped(), trader.ctx) == ["Main", "Kept"]


async def test_subscription_when_events_come_then_each_is_an_answer_with_fresh_loaders(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    trader.ctx.renew()
    query = "subscription ($after: String!) { positionEvents(after: $after) { position { portfolio { cash } } } }"
    guard = Counting(viewer=trader.ctx.viewer)
    after = {"after": cursor_of(trader.ctx, trader.ctx.position)}
    seen = []
    async with contextlib.aclosing(followed(trader.ctx, query, after, piped(guard))) as stream:
        for side in ("BUY", "SELL"):
            await trader.trade(side, "10", "100")
            seen.append((await anext(stream)).content)
    assert [each["data"]["positionEvents"]["position"]["portfolio"]["cash"] for each in seen] == ["98999", "99998"]
    assert [each["extensions"] for each in seen] == [{"delivered": True}] * 2
    assert guard.settled == [None]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("subscription { events { type } }", "UNAUTHENTICATED"),
        ("subscription { nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ('subscription { positionEvents(portfolioId: "x") { cursor } }', "BAD_USER_INPUT"),
    ],
)
async def test_subscription_when_it_can_not_begin_then_its_only_answer_says_why(
    piped: Callable[..., Pipeline], services: Services, query: str, code: str
) -> None:
    guard = Counting()
    answers = [answer async for answer in followed(anonymous(services), query, pipeline=piped(guard))]
    assert [(answer.code, answer.executed) for answer in answers] == [(code, False)]
    assert guard.settled == ([] if code == "GRAPHQL_VALIDATION_FAILED" else [None])


async def test_event_when_a_resolver_hangs_then_it_is_an_error_and_the_next_is_told(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    ended, events = asyncio.Event(), 0

    async def hanging() -> ExecutionResult:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    def execute(_prepared: Prepared) -> Any:
        nonlocal events
        events += 1
        return hanging() if events == 1 else ExecutionResult({"events": None}, None)

    pipeline, ctx = piped(execute=execute, operation_ms=20), anonymous(services)
    prepared = pipeline.prepare(GraphQLRequest("subscription { events { type } }"), ctx)
    late, following = [await pipeline.event(prepared, {}) for _ in range(2)]
    assert (late.code, late.executed, late.content["data"]) == ("DEADLINE_EXCEEDED", True, None)
    assert following.content == {"data": {"events": None}}
    assert ended.is_set()


async def test_subscription_when_answered_like_a_query_then_it_is_refused(
    piped: Callable[..., Pipeline], services: Services
) -> None:
    answer = await asked(piped(), anonymous(services), "subscription { events { type } }")
    assert (answer.code, answer.executed) == ("BAD_USER_INPUT", False)
