"""Every operation of the schema is tried with a key of each scope: it is refused just where it says so."""

import asyncio
import dataclasses
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from graphql import (
    GraphQLArgument,
    GraphQLEnumType,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    get_named_type,
    is_leaf_type,
    is_required_argument,
    is_required_input_field,
)

from graph.base import global_id
from graph.nodes import FINDERS
from graph.schema import build_schema
from graph.scopes import describe_scopes
from infrastructure.services import Services
from models.enums import ApiScope
from models.keys import granted
from models.payloads import camel
from resolvers.accounts.commands import create_api_key, revoke_api_key
from resolvers.accounts.queries import authenticate
from resolvers.context import Context
from resolvers.marketdata.commands import seed_catalogue
from resolvers.portfolios.commands import create_portfolio
from resolvers.scopes import NEEDS, Need
from tests.support.people import ADDRESS, context_of, signed_up
from tests.support.wire import executed, followed

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = build_schema()
CORE = SCHEMA._schema
ROOTS = [root for root in (CORE.query_type, CORE.mutation_type, CORE.subscription_type) if root]
OPERATIONS = [f"{root}.{name}" for root in ROOTS for name in root.fields]
STREAMS = [operation for operation in OPERATIONS if operation.startswith("Subscription.")]
EVERYBODYS = {"Mutation.pauseTrading", "Mutation.resumeTrading"}
"""Without a portfolio they are about everybody's trading: for the role ADMIN, and the scope ADMIN."""
MISSING = UUID(int=1)
SAMPLES = {
    "String": "AAPL",
    "Decimal": "1",
    "Int": 1,
    "Float": 0.5,
    "Boolean": True,
    "DateTime": "2030-01-01T00:00:00Z",
}


def sample(kind: GraphQLInputType, name: str, operation: str) -> Any:
    """A value that an argument or an input field takes; an id is of its type, and of nothing that there is."""
    if isinstance(kind, GraphQLNonNull):
        return sample(kind.of_type, name, operation)
    if isinstance(kind, GraphQLList):
        return [sample(kind.of_type, name, operation)]
    if isinstance(kind, GraphQLInputObjectType):
        needed = [(each, field) for each, field in kind.fields.items() if is_required_input_field(field)]
        return {each: sample(field.type, each, operation) for each, field in needed}
    if isinstance(kind, GraphQLEnumType):
        return next(iter(kind.values))
    if kind.name == "ID":
        said = (name if name != "id" else operation.partition(".")[2]).removesuffix("Id")
        named = [known for known in FINDERS if known.lower() == said.lower()]
        return global_id([*named, *(known for known in FINDERS if known in operation), "Portfolio"][0], MISSING)
    return SAMPLES[kind.name]


def selection(kind: GraphQLOutputType) -> str:
    named = get_named_type(kind)
    if is_leaf_type(named):
        return ""
    errors = isinstance(named, GraphQLObjectType) and "errors" in named.fields
    return "{ errors { code message } }" if errors else "{ __typename }"


def document(operation: str) -> tuple[str, dict[str, Any]]:
    """The operation with what it can't be asked without, and its variables."""
    kind, _, name = operation.partition(".")
    field: GraphQLField = CORE.type_map[kind].fields[name]  # type: ignore[attr-defined]  # reason: a root type has fields
    given: dict[str, GraphQLArgument] = {
        each: argument for each, argument in field.args.items() if is_required_argument(argument)
    }
    declared = ", ".join(f"${each}: {argument.type}" for each, argument in given.items())
    passed = ", ".join(f"{each}: ${each}" for each in given)
    head, arguments = (f"({declared})", f"({passed})") if given else ("", "")
    variables = {each: sample(argument.type, each, operation) for each, argument in given.items()}
    return f"{kind.lower()} {head} {{ answer: {name}{arguments} {selection(field.type)} }}", variables


async def refusals(owner: Context, ctx: Context, operation: str) -> set[tuple[str, str]]:
    """The codes and messages with which it is refused, in its payload or as errors of GraphQL.

    A stream is followed until its key is revoked, which refuses it in the end.
    """
    query, variables = document(operation)
    if operation.startswith("Subscription."):
        return await _end_of_stream(owner, ctx, query, await with_own(owner, variables))
    result = await executed(ctx, query, variables)
    told = {(str(error["extensions"]["code"]), error["message"]) for error in result.errors}
    answer = (result.data or {}).get("answer")
    if isinstance(answer, dict):
        told |= {(error["code"], error["message"]) for error in answer.get("errors", ())}
    return told


async def with_own(owner: Context, variables: dict[str, Any]) -> dict[str, Any]:
    """What a stream is of has to be there: a portfolio of the owner's, and the instrument of the samples."""
    await seed_catalogue(owner.services)
    if "portfolioId" not in variables:
        return variables
    portfolio = (await create_portfolio(owner, "Followed")).value
    return variables | {"portfolioId": global_id("Portfolio", portfolio.id)}


async def _end_of_stream(owner: Context, ctx: Context, query: str, variables: dict[str, Any]) -> set[tuple[str, str]]:
    async def end() -> set[tuple[str, str]]:
        async for result in followed(ctx, query, variables, watched=bool(ctx.viewer and ctx.viewer.scopes)):
            if result.errors:
                return {(str(error["extensions"]["code"]), error["message"]) for error in result.errors}
        return set()

    following = asyncio.create_task(end())
    assert ctx.viewer is not None
    assert ctx.viewer.key_id is not None
    await revoke_api_key(owner, ctx.viewer.key_id)
    async with asyncio.timeout(10):
        return await following


async def with_key(owner: Context, scope: ApiScope) -> Context:
    """The surroundings of a request with a new key of the owner's."""
    key = await create_api_key(owner, f"{scope} robot", [scope])
    return Context(owner.services, await authenticate(owner.services, key.secret), ADDRESS, 0)


def test_operations_when_the_schema_is_walked_then_each_names_its_scope_also_in_its_description() -> None:
    assert sorted(SCHEMA.needed) == sorted(OPERATIONS)
    for operation, scope in SCHEMA.needed.items():
        kind, _, name = operation.partition(".")
        description = CORE.type_map[kind].fields[name].description  # type: ignore[attr-defined]  # reason: likewise
        assert description.endswith(f"eeds the scope {scope}."), operation
        if kind != "Mutation":
            assert scope is ApiScope.READ, operation


def test_schema_when_a_mutation_names_no_scope_then_it_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(NEEDS, "place_order")
    with pytest.raises(ValueError, match=r"^placeOrder needs no scope: decorate its command"):
        build_schema()


def test_schema_when_a_command_is_open_to_anybody_then_its_description_speaks_of_keys_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(NEEDS, "place_order", Need(ApiScope.TRADE, anonymous=True, slice_name="orders"))
    schema = build_schema()._schema
    assert schema.mutation_type is not None
    assert (schema.mutation_type.fields["placeOrder"].description or "").endswith("An API key needs the scope TRADE.")
    assert describe_scopes(schema)["Mutation.placeOrder"] is ApiScope.TRADE


def test_page_when_it_lists_the_scopes_then_each_mutation_stands_at_its_own() -> None:
    text = (ROOT / "docs" / "authentication.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(READ|TRADE|ADMIN)` \| (.*) \|$", text.partition("## Roles")[0], re.MULTILINE)
    shown = {operation: scope for scope, cell in listed for operation in re.findall(r"`(\w+)`", cell)}
    declared = {operation.partition(".")[2]: scope for operation, scope in SCHEMA.needed.items() if "Mut" in operation}
    assert shown == declared
    assert [scope for scope, _ in listed] == [each.value for each in ApiScope]


def test_operations_when_counted_then_no_command_is_left_over() -> None:
    assert CORE.mutation_type is not None
    assert {camel(name) for name in NEEDS} == set(CORE.mutation_type.fields)


@pytest.mark.parametrize("scope", list(ApiScope))
async def test_operation_when_asked_with_a_key_then_it_is_refused_just_where_the_key_lacks_its_scope(
    services: Services, scope: ApiScope
) -> None:
    owner = await context_of(services, await signed_up(services))
    ctx, allowed = await with_key(owner, scope), granted([scope])
    lacking = {each: ("FORBIDDEN", f"This needs the scope {each}.") for each in ApiScope}
    for operation, needed in SCHEMA.needed.items():
        if operation.startswith("Subscription."):
            continue
        told = await refusals(owner, ctx, operation)
        if needed not in allowed:
            assert told == {lacking[needed]}, operation
        elif operation in EVERYBODYS:
            assert (lacking[ApiScope.ADMIN] in told) == (scope is not ApiScope.ADMIN), operation
        else:
            assert not told & set(lacking.values()), (operation, told)


@pytest.mark.parametrize("operation", STREAMS)
async def test_stream_when_its_key_is_revoked_then_it_ends_and_says_so(services: Services, operation: str) -> None:
    owner = await context_of(services, await signed_up(services))
    for scope in ApiScope:
        told = await refusals(owner, await with_key(owner, scope), operation)
        assert {code for code, _ in told} == {"UNAUTHENTICATED"}, (scope, told)


@pytest.mark.parametrize("operation", ["Query.events", "Query.orders", *STREAMS])
async def test_operation_when_the_caller_has_no_scope_at_all_then_it_is_an_error_of_graphql(
    services: Services, operation: str
) -> None:
    """No key is made so: this shows that reading asks for READ."""
    owner = await context_of(services, await signed_up(services))
    ctx = await with_key(owner, ApiScope.READ)
    assert ctx.viewer is not None
    ctx.viewer = dataclasses.replace(ctx.viewer, scopes=frozenset())
    assert await refusals(owner, ctx, operation) == {("FORBIDDEN", "This needs the scope READ.")}
