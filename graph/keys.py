"""API keys on the wire."""

from collections.abc import Awaitable
from datetime import datetime

import strawberry

import models.keys as domain
from graph.base import Info, Input, Node, command, identified, input_id, resolved, stands_for
from graph.errors import Payload, answering
from graph.weights import at_most
from models.accounts import User
from models.enums import ApiScope
from resolvers.accounts import commands, keys


@strawberry.type(description="A key with which a program asks the API for its user. Seen by that user only.")
class ApiKey(Node):
    """Shows a `models.keys.ApiKey`."""

    is_type_of = stands_for(domain.ApiKey)

    id: strawberry.ID = identified("ApiKey")
    name: str = strawberry.field(description="What its user calls it.")
    prefix: str = strawberry.field(description="How its secret begins, to know it by.")
    scopes: list[ApiScope] = strawberry.field(description="What it may do; each includes those before it.")
    created_at: datetime = strawberry.field(description="When it was made.")
    last_used_at: datetime | None = strawberry.field(
        description="When it was last used, to the minute; null if it was not."
    )
    revoked_at: datetime | None = strawberry.field(description="When it was revoked; null while it is good.")


def _keys_of_user(parent: strawberry.Parent[User], info: Info) -> Awaitable[list[domain.ApiKey]]:
    return keys.api_keys(info.context, parent.id)


@strawberry.type
class UserKeys:
    """A user's keys."""

    api_keys: list[ApiKey] = resolved(
        _keys_of_user,
        "Their API keys, those that are revoked last, the newest first, 100 at most; empty for anybody but themselves.",
        None,
        at_most(keys.SHOWN_MAX),
    )


# ---------------------------------------------------------------- commands


@strawberry.input(description="A key to make.")
class CreateApiKeyInput:
    """For `createApiKey`."""

    name: str = strawberry.field(description="What to call it: 1 to 100 characters.")
    scopes: list[ApiScope] = strawberry.field(description="What it may do: one at least.")


@strawberry.input(description="A key to revoke.")
class RevokeApiKeyInput:
    """For `revokeApiKey`."""

    api_key_id: strawberry.ID = strawberry.field(description="The key.")


@strawberry.type(description="What making or revoking a key answers with.")
class ApiKeyPayload(Payload):
    """A key, or why not."""

    api_key: domain.ApiKey | None = strawberry.field(
        graphql_type=ApiKey | None, default=None, description="The key as it is now."
    )
    secret: str | None = strawberry.field(
        default=None, description="What the program presents: shown once, when the key is made."
    )


@answering(ApiKeyPayload)
async def _create(info: Info, asked: Input[CreateApiKeyInput]) -> ApiKeyPayload:
    made = await commands.create_api_key(info.context, asked.name, asked.scopes)
    return ApiKeyPayload(api_key=made.key, secret=made.secret)


@answering(ApiKeyPayload)
async def _revoke(info: Info, asked: Input[RevokeApiKeyInput]) -> ApiKeyPayload:
    key_id = input_id(asked.api_key_id, "ApiKey", "apiKeyId")
    return ApiKeyPayload(api_key=await commands.revoke_api_key(info.context, key_id))


@strawberry.type
class KeyMutations:
    """What can be done with keys."""

    create_api_key: ApiKeyPayload = command(_create, "Make an API key of the caller's; 20 may be good at a time.")
    revoke_api_key: ApiKeyPayload = command(
        _revoke, "End an API key of the caller's for good, and every stream that it opened."
    )
