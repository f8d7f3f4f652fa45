"""How refusals and failures are said on the wire.

A refusal of a command is an error in its payload. What is wrong with the request itself is a GraphQL error with
`extensions.code`. Anything else is ours: it is logged, and the caller gets a correlation id and nothing more.
"""

import functools
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Any, ParamSpec, TypeVar

import strawberry
import structlog
from graphql import GraphQLError, GraphQLSyntaxError

from graph.base import later, list_of
from graph.codes import Code
from graph.scalars import ScalarError
from graph.weights import FREE, at_most
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown
from models import errors as domain
from models.cursors import CursorExpired
from models.enums import ErrorCode
from models.orders import Order
from models.payloads import camel
from models.risk import RiskCheck
from resolvers.context import Context

P = ParamSpec("P")
Answer = TypeVar("Answer", bound="Payload")
T = TypeVar("T")

UNAVAILABLE = "The database can't be reached just now: this could not be read. Try again."
NOTHING_WRITTEN = "The database can't be reached just now; nothing was written. Try again."


logger = structlog.get_logger(__name__)


def _is(kind: type[domain.Fault], about_input: bool | None = None) -> Any:
    """A type's `is_type_of`: of exactly that class of fault, and about the input or not."""

    def is_type_of(_cls: type, value: object, _info: object) -> bool:
        if not isinstance(value, domain.Fault) or type(value) is not kind:
            return False
        return about_input is None or about_input == (value.code is ErrorCode.INVALID_INPUT)

    return classmethod(is_type_of)


@strawberry.interface(description="Why a mutation was refused. It wrote nothing, unless `code` is OUTCOME_UNKNOWN.")
class MutationError:
    """Shows a `Fault`."""

    code: ErrorCode = strawberry.field(description="The kind of refusal, for programs.")
    message: str = strawberry.field(description="What is wrong, for people.")
    path: list[str] = strawberry.field(description='The input field it leads to (["input", "quantity"]), or empty.')


@strawberry.type(description="What was sent is wrong: `path` leads to it.", directives=[FREE])
class InputError(MutationError):
    """INVALID_INPUT."""

    is_type_of = _is(domain.Fault, about_input=True)


@strawberry.type(
    description="What was asked can't be done now (NOT_FOUND, FORBIDDEN, TRADING_PAUSED, ORDER_NOT_OPEN …).",
    directives=[FREE],
)
class RequestError(MutationError):
    """Any other code that carries nothing more."""

    is_type_of = _is(domain.Fault, about_input=False)


@strawberry.type(description="The key was used with another body, or the order changed since.", directives=[FREE])
class ConflictError(MutationError):
    """Shows a `ConflictFault`."""

    is_type_of = _is(domain.ConflictFault)

    order: Order | None = strawberry.field(
        graphql_type=later("orders", "Order") | None, description="The order that stands."
    )


@strawberry.type(description="Pre-trade checks refused the order.", directives=[FREE])
class RiskCheckError(MutationError):
    """Shows a `RiskFault`."""

    is_type_of = _is(domain.RiskFault)

    checks: list[RiskCheck] = strawberry.field(
        graphql_type=list_of(later("risk", "RiskCheck")),
        description="Every check that was made, passed or not.",
    )


@strawberry.type(description="There is not enough cash or buying power.", directives=[FREE])
class InsufficientFundsError(MutationError):
    """Shows a `FundsFault`."""

    is_type_of = _is(domain.FundsFault)

    required: Decimal = strawberry.field(description="What was needed, in the base currency.")
    available: Decimal = strawberry.field(description="What there is, in the base currency.")


ERROR_TYPES = (InputError, RequestError, ConflictError, RiskCheckError, InsufficientFundsError)
"""For the schema: an interface alone does not lead to the types that implement it."""


@strawberry.type(description="What a mutation answers with.")
class Payload:
    """What every payload has; not in the schema by itself."""

    errors: list[domain.Fault] = strawberry.field(
        graphql_type=list[MutationError],
        default_factory=list,
        description="Why it was refused; empty when it was done.",
        directives=[at_most(1)],  # of those that show an object; the others cost nothing
    )


def answering(
    payload: type[Answer],
) -> Callable[[Callable[P, Awaitable[Answer]]], Callable[P, Coroutine[Any, Any, Answer]]]:
    """Decorate a mutation's resolver: what refuses it becomes `payload(errors=...)`."""

    def around(resolver: Callable[P, Awaitable[Answer]]) -> Callable[P, Coroutine[Any, Any, Answer]]:
        @functools.wraps(resolver)
        async def answered(*args: P.args, **kwargs: P.kwargs) -> Answer:
            try:
                return await _alone(resolver, *args, **kwargs)
            except domain.Refused as refused:
                return payload(errors=list(refused.faults))
            except domain.Unauthenticated as error:
                return payload(errors=[domain.Fault(ErrorCode.UNAUTHENTICATED, str(error))])
            except DatabaseUnavailable as error:
                raise an_error(NOTHING_WRITTEN, Code.UNAVAILABLE) from error
            except OutcomeUnknown:
                return payload(errors=[domain.Fault(ErrorCode.OUTCOME_UNKNOWN, ask_again(_keys(kwargs.values())))])

        return answered

    return around


async def _alone(resolver: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """A mutation with loaders of its own: what was read before it, in the same document, is not what is so after it."""
    info = kwargs.get("info") or args[0]
    context: Context = info.context  # type: ignore[attr-defined]  # reason: Strawberry gives every resolver here its info
    context.forget()
    try:
        return await resolver(*args, **kwargs)
    finally:
        context.forget()


def ask_again(arguments: Iterable[Mapping[str, Any]]) -> str:
    """What to do about an outcome that is not known: by the keys in a mutation's arguments, it is safe to ask again."""
    keys = [
        (name, key)
        for argument in arguments
        for name in ("clientOrderId", "idempotencyKey")
        if (key := argument.get(name))
    ]
    if not keys:
        return "It is not known whether this was done: look before you ask again."
    named = " and ".join(f"{name} {key!r}" for name, key in keys)
    return f"It is not known whether this was done. Ask again with {named}: it is never done twice."


def _keys(arguments: Iterable[object]) -> Iterator[dict[str, Any]]:
    for argument in arguments:
        yield {camel(name): getattr(argument, name, None) for name in ("client_order_id", "idempotency_key")}


# ---------------------------------------------------------------- what is wrong with the request, and what is ours


def an_error(message: str, code: Code, **more: Any) -> GraphQLError:
    """What is told to a caller as it is."""
    return GraphQLError(message, extensions={"code": code, **more})


def said(error: GraphQLError) -> GraphQLError:
    """The error as the caller may see it: with a code, or masked and logged."""
    if "code" in (error.extensions or {}):
        return error
    cause = _cause(error)
    if isinstance(cause, GraphQLError | ScalarError):
        code = Code.GRAPHQL_PARSE_FAILED if isinstance(cause, GraphQLSyntaxError) else Code.BAD_USER_INPUT
        error.extensions = {**(error.extensions or {}), "code": code}
        return error
    known = _known(cause)
    if known is None:
        correlation_id = secrets.token_hex(8)
        logger.error("internal error", correlation_id=correlation_id, path=error.path, exc_info=cause)
        known = "Internal error", {"code": Code.INTERNAL, "correlationId": correlation_id}
    message, extensions = known
    return GraphQLError(message, nodes=error.nodes, path=error.path, extensions=extensions)


def _cause(error: BaseException) -> BaseException:
    while isinstance(error, GraphQLError) and error.original_error is not None:
        error = error.original_error
    return error


def _known(cause: BaseException) -> tuple[str, dict[str, Any]] | None:
    """The message and extensions of a failure that the caller is told of."""
    match cause:
        case domain.BadRequest():
            return str(cause), {"code": Code.BAD_USER_INPUT, "argument": cause.argument}
        case domain.Unauthenticated():
            return str(cause), {"code": Code.UNAUTHENTICATED, "reason": cause.reason}
        case domain.Throttled():
            retry_after_ms = round(cause.retry_after_s * 1000)
            return str(cause), {"code": Code.THROTTLED, "retryAfterMs": retry_after_ms}
        case domain.Refused():
            return str(cause), {"code": cause.faults[0].code.value}
        case CursorExpired():
            return str(cause), {"code": Code.CURSOR_EXPIRED}
        case DatabaseUnavailable():
            return UNAVAILABLE, {"code": Code.UNAVAILABLE}
    return None
