"""The one way of an operation, whatever the transport.

Who asks is known (`Context`) -> document -> guard -> execute -> mask -> encode.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import strawberry
from graphql import ExecutionResult, FieldNode, OperationDefinitionNode, OperationType
from graphql.execution import (
    Executor,
    create_source_event_stream,
    execute_root_selection_set,
)
from graphql.utilities import value_from_ast_untyped

from graph.codes import Code
from graph.errors import an_error, ask_again
from graph.executor import Plans, Room, executed
from graph.wire.answers import Answer, failed, shown
from graph.wire.documents import Document, Documents, Invalid
from graph.wire.execution import execution_of
from graph.wire.lasting import Late, to_its_end
from graph.wire.requests import GraphQLRequest
from infrastructure.metrics import UNKNOWN
from infrastructure.settings import Settings
from resolvers.context import Context

PLANS = "plans"
"""The note of a document that has the plans of its operations."""
SUBSCRIPTION, MUTATION = OperationType.SUBSCRIPTION, OperationType.MUTATION
"""Looked up once, as members of an enum cost much to look up; likewise their values."""
KINDS: dict[OperationType | None, str] = {each: each.value for each in OperationType}
TOO_LATE = "It took too long; nothing was written. Try again."
EVENT_TOO_LATE = "It took too long to say what this event is about: ask for less of each."
NO_INTROSPECTION = "The schema can't be asked for here: it is in the documentation."


@dataclass(slots=True, eq=False)
class Prepared:
    """An operation that is known as far as it can be before it is executed: ready, or refused with `refusal`.

    Of a refused one there is what was known by then: perhaps no document, no operation, no `executor`.
    """

    request: GraphQLRequest
    document: Document | None = None
    operation: OperationDefinitionNode | None = None
    executor: Executor[Any] | None = None
    refusal: Answer | None = None
    is_new: bool = False
    """Whether its document had to be parsed and validated for it."""

    @property
    def kind(self) -> OperationType | None:
        """Query, mutation or subscription."""
        return None if self.operation is None else self.operation.operation

    @property
    def variables(self) -> dict[str, Any]:
        """As the resolvers get them, coerced, with their defaults."""
        return {} if self.executor is None else self.executor.variable_values.coerced


class Admission(Protocol):
    """An operation that the guard has let through."""

    async def settle(self, answer: Answer | None) -> None:
        """It has ended: give back what it did not use, and add to the answer's `extensions` and `headers`.

        None when it has come to no answer, or (a subscription) when it is over; each event is told by `delivered`.
        """

    async def delivered(self, answer: Answer) -> None:
        """An event of a subscription is about to be sent; who waits here holds it back."""


class Guard(Protocol):
    """Stands before every execution."""

    async def admit(self, prepared: Prepared, ctx: Context) -> Admission | Answer:
        """Let it through, or refuse it with an answer; may raise what `graph.errors.said` knows."""

    async def refused(self, prepared: Prepared, ctx: Context) -> Answer:
        """What an operation is answered with that was refused as it was prepared."""

    def shut_out(self, ctx: Context) -> Answer | None:
        """Why a document that is not known yet is not even looked at, if it is not."""


Execute = Callable[[Prepared], ExecutionResult | Awaitable[ExecutionResult]]
"""What executes a query, a mutation or, with the executor of an event, what a subscription says of it."""


def interpreted(prepared: Prepared) -> ExecutionResult | Awaitable[ExecutionResult]:
    """By graphql-core."""
    return execute_root_selection_set(cast("Executor[Any]", prepared.executor))


class Compiled:
    """By the operation's plan, which is kept beside its document; interpreted, and counted, where there is none."""

    def __init__(self) -> None:
        self._room = Room()

    def __call__(self, prepared: Prepared) -> ExecutionResult | Awaitable[ExecutionResult]:
        """As any `Execute`."""
        document, executor = cast("Document", prepared.document), cast("Executor[Any]", prepared.executor)
        plans = document.notes.get(PLANS)
        if plans is None:
            plans = document.notes[PLANS] = Plans(self._room)
        result = executed(plans, executor)
        if result is None:
            executor.context_value.services.metrics.fallbacks.inc()
            return interpreted(prepared)
        try:
            return result
        finally:
            del result  # an error's traceback leads here, and so must not be led to


EXECUTORS: dict[str, Callable[[], Execute]] = {"compiled": Compiled, "interpreted": lambda: interpreted}
"""By what the setting calls them."""


class Pipeline:
    """Prepares and executes operations of one schema."""

    def __init__(
        self,
        schema: strawberry.Schema,
        settings: Settings,
        guard: Guard | None = None,
        execute: Execute | None = None,
    ) -> None:
        self.schema = schema
        self._graphql = schema._schema  # noqa: SLF001 - reason: Strawberry has no other way to it
        self.documents = Documents(self._graphql, settings)
        self.guard = guard
        self._settings = settings
        self._suggests = settings.shows_suggestions
        self._deadline_s = settings.operation_ms / 1000
        self._execute = execute or EXECUTORS[settings.executor]()

    def prepare(self, request: GraphQLRequest, ctx: Context) -> Prepared:
        """Find the document, the operation and its variables, or why there are none."""
        try:
            document = self.documents.kept(request.query, request.sha256)
            is_new = document is None
            if document is None:
                if self.guard is not None and (shut := self.guard.shut_out(ctx)):
                    return Prepared(request, refusal=shut)
                document = self.documents.of(request.query, request.sha256)
        except Invalid as invalid:
            return Prepared(request, refusal=Answer.refused(*invalid.errors))
        operation = document.operations.get(request.operation_name or None)
        if operation is None:
            refusal = Answer.refused(an_error(_which(request, document), Code.UNKNOWN_OPERATION))
            return Prepared(request, document, refusal=refusal)
        if document.introspects and not self._shows_schema(ctx):
            refusal = Answer.refused(an_error(NO_INTROSPECTION, Code.FORBIDDEN))
            return Prepared(request, document, operation, refusal=refusal)
        executor = execution_of(self._graphql, document, operation, request.variables, ctx, suggests=self._suggests)
        if isinstance(executor, list):
            return Prepared(request, document, operation, refusal=Answer.refused(*executor))
        return Prepared(request, document, operation, executor, is_new=is_new)

    async def answer(self, prepared: Prepared, ctx: Context) -> Answer:
        """Execute a query or a mutation. It never raises: what goes wrong is in the answer."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            answer = await self._answered(prepared, ctx)
        finally:
            ctx.forget()  # its loaders refer to it: such circles are garbage for the collector alone
        kind = KINDS.get(prepared.kind, UNKNOWN)
        ctx.services.metrics.operations.note(kind, answer.outcome, clock() - began)
        return answer

    async def _answered(self, prepared: Prepared, ctx: Context) -> Answer:
        try:
            if prepared.refusal is not None:
                return prepared.refusal if self.guard is None else await self.guard.refused(prepared, ctx)
            if self.guard is None:
                return await self._executed(prepared)
            admitted = await self.guard.admit(prepared, ctx)
            if isinstance(admitted, Answer):
                return admitted
            return await self._settled(admitted, prepared)
        except Exception as error:  # noqa: BLE001 - reason: whatever it is, it is said, masked and logged
            return Answer.refused(failed(error))

    async def admit(self, prepared: Prepared, ctx: Context) -> Admission | Answer | None:
        """Ask the guard, if there is one; an answer is a refusal."""
        return None if self.guard is None else await self.guard.admit(prepared, ctx)

    async def source(self, prepared: Prepared) -> AsyncGenerator[Any, None] | Answer:
        """What a subscription follows, or why it can't begin. Its reader closes it."""
        source = create_source_event_stream(cast("Executor[Any]", prepared.executor))
        if not isinstance(source, AsyncIterable | ExecutionResult):
            source = await source
        if isinstance(source, ExecutionResult):
            return Answer(errors=shown(source.errors or ()), executed=False)
        return cast("AsyncGenerator[Any, None]", source)

    async def event(self, prepared: Prepared, event: Any) -> Answer:
        """What a subscription says of one event of its source; there is as much time for it as for an operation."""
        executor = cast("Executor[Any]", prepared.executor)
        told = Prepared(
            prepared.request, prepared.document, prepared.operation, executor.build_per_event_executor(event)
        )
        try:
            result = self._execute(told)
            return _of(result if isinstance(result, ExecutionResult) else await self._in_time(result))
        except TimeoutError:
            return Answer(errors=shown([an_error(EVENT_TOO_LATE, Code.DEADLINE_EXCEEDED)]))

    def _shows_schema(self, ctx: Context) -> bool:
        to_admin = ctx.viewer is not None and ctx.viewer.is_admin
        return self._settings.granted(self._settings.introspection, to_admin=to_admin)

    async def _settled(self, admission: Admission, prepared: Prepared) -> Answer:
        answer: Answer | None = None
        try:
            answer = await self._executed(prepared)
        finally:
            await admission.settle(answer)
        return answer

    async def _executed(self, prepared: Prepared) -> Answer:
        if prepared.kind is SUBSCRIPTION:
            return Answer.refused(an_error(NO_STREAM, Code.BAD_USER_INPUT))
        try:
            if prepared.kind is MUTATION:
                return await to_its_end(self._mutated(prepared), self._deadline_s)
            result = self._execute(prepared)
            try:
                return _of(result if isinstance(result, ExecutionResult) else await self._in_time(result))
            finally:
                del result  # its errors know this frame: another circle for the collector
        except TimeoutError:
            return Answer.refused(an_error("It took too long: ask for less at once.", Code.DEADLINE_EXCEEDED))
        except Late as late:
            if late.written:
                return Answer.refused(an_error(ask_again(_arguments(prepared)), Code.OUTCOME_UNKNOWN))
            return Answer.refused(an_error(TOO_LATE, Code.DEADLINE_EXCEEDED))

    async def _in_time(self, result: Awaitable[ExecutionResult]) -> ExecutionResult:
        """Raises `TimeoutError` past the deadline."""
        async with asyncio.timeout(self._deadline_s):
            return await result

    async def _mutated(self, prepared: Prepared) -> Answer:
        """Also what goes wrong is said here, and so logged, though nobody may be left to hear it."""
        result = self._execute(prepared)
        try:
            return _of(result if isinstance(result, ExecutionResult) else await result)
        finally:
            del result  # likewise


NO_STREAM = "A subscription needs a websocket (graphql-transport-ws), or `Accept: text/event-stream`."


def _which(request: GraphQLRequest, document: Document) -> str:
    names = ", ".join(f"`{name}`" for name in document.operations if name)
    if request.operation_name:
        return f"The document has no operation of this name: it has {names or 'one without a name'}."
    return f"The document has several operations: name one of {names} in `operationName`." if names else "No operation."


def _of(result: ExecutionResult) -> Answer:
    return Answer(result.data, shown(result.errors) if result.errors else ())


def _arguments(prepared: Prepared) -> Iterator[dict[str, Any]]:
    """The input objects of a mutation's fields."""
    selections = prepared.operation.selection_set.selections if prepared.operation else ()
    variables = dict(prepared.request.variables or {})
    for field in selections:
        for argument in (field.arguments or ()) if isinstance(field, FieldNode) else ():
            value = value_from_ast_untyped(argument.value, variables)
            if isinstance(value, dict):
                yield value
