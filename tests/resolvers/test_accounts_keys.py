import asyncio
import dataclasses
from collections.abc import AsyncGenerator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import select

from infrastructure.services import Services
from models.enums import AggregateType, ApiScope, ErrorCode, EventType, Role
from models.errors import Fault, Refused, Unauthenticated, invalid
from models.keys import EVERY_SCOPE, ApiKey, fingerprint
from models.payloads import read
from resolvers.accounts.commands import (
    NewKey,
    SignedIn,
    change_password,
    create_api_key,
    grant_role,
    login,
    logout_everywhere,
    revoke_api_key,
)
from resolvers.accounts.keys import KEYS, api_key, api_keys
from resolvers.accounts.queries import authenticate, authorization, user_by_id
from resolvers.context import Context
from resolvers.risk.commands import pause_trading
from resolvers.scopes import NEEDS, needs
from resolvers.signed_in import while_signed_in
from tests.support.clock import START, ManualClock
from tests.support.market import statements
from tests.support.people import ADDRESS, PASSWORD, anonymous, context_of, events_of, signed_up, story_of

READ, TRADE, ADMIN = ApiScope
FORBIDDEN = {scope: Fault(ErrorCode.FORBIDDEN, f"This needs the scope {scope}.") for scope in ApiScope}


async def made(services: Services, signed_in: SignedIn, *scopes: ApiScope, name: str = "Robot") -> NewKey:
    return await create_api_key(await context_of(services, signed_in), name, scopes or [READ])


async def with_key(services: Services, key: NewKey) -> Context:
    """The surroundings of a request with this key."""
    return Context(services, await authenticate(services, key.secret), ADDRESS, 0)


async def stored(services: Services) -> list[Any]:
    async with services.database.read() as connection:
        return list((await connection.execute(select(KEYS))).all())


async def reason(services: Services, header: str | None, api_key: str | None = None) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await authorization(services, header, api_key)
    return refusal.value.reason


async def test_create_when_done_then_the_secret_is_shown_once_and_only_its_hash_is_stored(services: Services) -> None:
    mine = await signed_up(services)
    new = await made(services, mine, TRADE, READ, TRADE, name=" Robot ")
    key = new.key
    assert key == ApiKey(key.id, mine.user.id, "Robot", new.secret[:11], (READ, TRADE), START, None, None)
    assert len(new.secret) == 46
    assert new.secret.startswith("tg_")
    (row,) = await stored(services)
    assert row.secret_hash == fingerprint(new.secret)
    assert new.secret not in repr(row) + repr(new)


async def test_create_when_done_then_one_event_tells_of_it_without_the_secret(services: Services) -> None:
    mine = await signed_up(services)
    new = await made(services, mine)
    *_, created = await events_of(services, mine.user.id)
    assert (created.type, created.aggregate_type) == (EventType.API_KEY_CREATED, AggregateType.API_KEY)
    assert (created.aggregate_id, created.version, created.actor_id) == (new.key.id, 1, mine.user.id)
    assert read(ApiKey, created.data["apiKey"]) == new.key
    for secret in (new.secret, fingerprint(new.secret)):
        assert secret not in created.payload


async def test_create_when_everything_is_wrong_then_every_fault_is_told_and_nothing_is_written(
    services: Services,
) -> None:
    ctx = await context_of(services, await signed_up(services))
    with pytest.raises(Refused) as refusal:
        await create_api_key(ctx, "\0", [])
    assert refusal.value.faults == (
        invalid("A name has no control characters.", "name"),
        invalid("A key needs a scope at least.", "scopes"),
    )
    assert await stored(services) == []


async def test_create_when_twenty_five_are_made_at_once_then_twenty_are_and_a_revoked_one_makes_room(
    services: Services,
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    ctx = await context_of(services, mine)
    tries = [create_api_key(ctx, f"Robot {number}", [READ]) for number in range(25)]
    answers = await asyncio.gather(*tries, return_exceptions=True)
    keys = [answer.key for answer in answers if isinstance(answer, NewKey)]
    refused = [answer.faults for answer in answers if isinstance(answer, Refused)]
    too_many = Fault(ErrorCode.CONFLICT, "There are 20 keys already: revoke one first.", ("input",))
    assert (len(keys), refused) == (20, [(too_many,)] * 5)
    await made(services, other)
    await revoke_api_key(ctx, keys[0].id)
    await made(services, mine)
    with pytest.raises(Refused):
        await made(services, mine)


async def test_revoke_when_done_twice_then_it_is_revoked_once(services: Services, clock: ManualClock) -> None:
    mine = await signed_up(services)
    ctx, new = await context_of(services, mine), await made(services, mine)
    clock.advance(seconds=5)
    revoked = await revoke_api_key(ctx, new.key.id)
    assert revoked == dataclasses.replace(new.key, revoked_at=START + timedelta(seconds=5))
    clock.advance(seconds=5)
    assert await revoke_api_key(ctx, new.key.id) == revoked
    *_, told = await events_of(services, mine.user.id)
    assert (told.type, told.version, told.occurred_at) == (EventType.API_KEY_REVOKED, 2, revoked.revoked_at)
    assert read(ApiKey, told.data["apiKey"]) == revoked
    story = await story_of(services, mine.user.id)
    assert story == ["USER_CREATED", "SESSION_STARTED", "API_KEY_CREATED", "API_KEY_REVOKED"]


async def test_revoke_when_the_key_is_someone_elses_then_it_is_refused_as_a_missing_one(services: Services) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    theirs, ctx = await made(services, other), await context_of(services, mine)
    for key_id in (theirs.key.id, uuid4()):
        with pytest.raises(Refused) as refusal:
            await revoke_api_key(ctx, key_id)
        assert refusal.value.faults == (Fault(ErrorCode.NOT_FOUND, "No such API key.", ("input", "apiKeyId")),)
    await authenticate(services, theirs.secret)


async def test_authorization_when_a_key_is_good_then_it_is_the_user_with_its_scopes_and_no_session(
    services: Services,
) -> None:
    mine = await signed_up(services)
    new = await made(services, mine, TRADE)
    for given in ((f"Bearer {new.secret}", None), (None, new.secret), (f"bearer  {new.secret} ", None)):
        viewer = await authorization(services, *given)
        assert viewer is not None
        assert (viewer.user, viewer.key_id, viewer.scopes) == (mine.user, new.key.id, frozenset({READ, TRADE}))
        assert (viewer.session_id, viewer.expires_at) == (None, None)
    assert (await authenticate(services, mine.access_token)).scopes == EVERY_SCOPE


async def test_authorization_when_a_key_is_revoked_or_none_then_it_says_which(services: Services) -> None:
    mine = await signed_up(services)
    new = await made(services, mine)
    await revoke_api_key(await context_of(services, mine), new.key.id)
    assert await reason(services, f"Bearer {new.secret}") == "REVOKED"
    assert await reason(services, None, new.secret) == "REVOKED"
    for bad in ("tg_", "tg_" + "a" * 43, new.secret[:-1], new.secret + "a", "", "tg_\ud800", fingerprint(new.secret)):
        assert await reason(services, f"Bearer {bad}") == "INVALID"
        assert await reason(services, None, bad) == "INVALID"
    assert await reason(services, None, mine.access_token) == "INVALID"
    assert await reason(services, f"Bearer {mine.access_token}", new.secret) == "INVALID"


async def test_authenticate_when_a_key_is_presented_then_one_statement_answers_and_none_writes(
    services: Services,
) -> None:
    new = await made(services, await signed_up(services))
    with statements(services) as seen:
        await authenticate(services, new.secret)
    assert [each.split(maxsplit=1)[0] for each in seen if "api_keys" in each] == ["SELECT"]


async def test_key_when_used_then_its_last_use_is_kept_to_the_minute_and_no_event_tells_of_it(
    services: Services, clock: ManualClock
) -> None:
    mine = await signed_up(services)
    new = await made(services, mine)
    uses = []
    for _ in range(5):
        clock.advance(seconds=25)
        await authenticate(services, new.secret)
        await services.key_uses.write()
        uses.append((await stored(services))[0].last_used_at)
    # Written at 25 s and 100 s: in between it was less than a minute ago.
    assert [(used - START).total_seconds() for used in uses] == [25, 25, 25, 100, 100]
    assert (await story_of(services, mine.user.id))[-1] == "API_KEY_CREATED"


async def test_keys_when_listed_then_only_ones_own_are_there_and_the_revoked_come_last(
    services: Services, clock: ManualClock
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    await made(services, other)
    first = await made(services, mine)
    clock.advance(seconds=1)
    second, third = await made(services, mine), await made(services, mine)
    ctx = await context_of(services, mine)
    revoked = await revoke_api_key(ctx, third.key.id)
    assert await api_keys(ctx, mine.user.id) == [second.key, first.key, revoked]
    assert await api_keys(ctx, other.user.id) == []
    assert [await api_key(ctx, key.id) for key in (first.key, revoked)] == [first.key, revoked]


async def test_keys_when_they_are_someone_elses_then_they_are_as_if_not_there_also_to_an_admin(
    services: Services,
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    new = await made(services, mine)
    await grant_role(services, "bob@example.com", Role.ADMIN)
    theirs = await context_of(services, other)
    for ctx in (theirs, anonymous(services)):
        assert await api_key(ctx, new.key.id) is None
    assert await api_keys(theirs, mine.user.id) == []


async def test_key_when_it_has_less_than_admin_then_it_can_neither_make_keys_nor_sign_in_nor_out(
    services: Services,
) -> None:
    mine = await signed_up(services)
    for scopes in ([READ], [TRADE], [READ, TRADE]):
        ctx = await with_key(services, await made(services, mine, *scopes))
        assert ctx.viewer is not None
        assert ctx.viewer.key_id is not None
        for attempt in (
            create_api_key(ctx, "More", [ADMIN]),
            revoke_api_key(ctx, ctx.viewer.key_id),
            change_password(ctx, PASSWORD, "another horse"),
            login(ctx, mine.user.email, PASSWORD),
            logout_everywhere(ctx),
        ):
            with pytest.raises(Refused) as refusal:
                await attempt
            assert refusal.value.faults == (FORBIDDEN[ADMIN],)
    assert len(await stored(services)) == 3


async def test_key_when_it_has_admin_then_it_makes_keys_revokes_itself_and_is_no_sign_in_to_end(
    services: Services,
) -> None:
    mine = await signed_up(services)
    first = await made(services, mine, ADMIN)
    ctx = await with_key(services, first)
    second = await create_api_key(ctx, "Second", [ADMIN])
    await change_password(ctx, PASSWORD, "another horse")
    # A password's change ends every sign-in where no sign-in asked for it; keys are ended one by one.
    with pytest.raises(Unauthenticated):
        await authenticate(services, mine.access_token)
    await logout_everywhere(ctx)
    assert (await revoke_api_key(ctx, first.key.id)).revoked_at == START
    assert (await authenticate(services, second.secret)).user.email == mine.user.email


async def test_role_when_the_key_is_a_traders_then_no_scope_lifts_it(services: Services) -> None:
    ctx = await with_key(services, await made(services, await signed_up(services), ADMIN))
    assert ctx.viewer is not None
    assert not ctx.viewer.is_admin
    with pytest.raises(Refused) as refusal:
        await pause_trading(ctx, None, "Holiday", None, reduce_only=False)
    message = "Only an ADMIN can hold or resume everybody's trading."
    assert refusal.value.faults == (Fault(ErrorCode.FORBIDDEN, message, ("input",)),)


async def test_role_when_an_admins_key_has_less_than_admin_then_it_is_as_anybodys(services: Services) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    await grant_role(services, mine.user.email, Role.ADMIN)
    lesser = await with_key(services, await made(services, mine, TRADE))
    assert await user_by_id(lesser, other.user.id) is None
    with pytest.raises(Refused) as refusal:
        await pause_trading(lesser, None, "Holiday", None, reduce_only=False)
    assert refusal.value.faults == (FORBIDDEN[ADMIN],)
    greater = await with_key(services, await made(services, mine, ADMIN))
    assert await user_by_id(greater, other.user.id) == other.user
    await pause_trading(greater, None, "Holiday", None, reduce_only=False)


async def test_context_when_the_caller_has_no_scope_then_even_reading_is_refused(services: Services) -> None:
    viewer = await authenticate(services, (await signed_up(services)).access_token)
    ctx = Context(services, dataclasses.replace(viewer, scopes=frozenset()), ADDRESS, 0)
    with pytest.raises(Refused) as refusal:
        _ = ctx.owner_id
    assert refusal.value.faults == (FORBIDDEN[READ],)


def test_needs_when_two_commands_have_one_name_then_the_second_is_refused() -> None:
    async def login(_ctx: Context) -> None:
        """Another than that there is."""

    with pytest.raises(ValueError, match="two commands login"):
        needs(READ)(login)
    assert NEEDS["login"].scope is ADMIN


async def following(ctx: Context) -> None:
    async def silence() -> AsyncGenerator[None, None]:
        await asyncio.Event().wait()
        yield

    async for _ in while_signed_in(ctx, silence()):
        pass


async def test_stream_when_its_key_is_revoked_then_it_ends_and_another_keys_does_not(
    services: Services, clock: ManualClock
) -> None:
    mine = await signed_up(services)
    new, other = await made(services, mine), await made(services, mine)
    streams = [asyncio.create_task(following(await with_key(services, key))) for key in (new, other)]
    ctx = await context_of(services, mine)
    clock.advance(days=400)
    await revoke_api_key(ctx, new.key.id)
    async with asyncio.timeout(10):
        with pytest.raises(Unauthenticated) as ended:
            await streams[0]
    assert ended.value.reason == "REVOKED"
    assert not streams[1].done()
    streams[1].cancel()
    await asyncio.wait(streams)


async def test_stream_when_its_key_was_revoked_before_then_it_does_not_begin(services: Services) -> None:
    mine = await signed_up(services)
    new = await made(services, mine)
    ctx = await with_key(services, new)
    await revoke_api_key(await context_of(services, mine), new.key.id)
    with pytest.raises(Unauthenticated):
        await following(ctx)


async def test_session_when_it_starts_then_its_event_says_where_from(services: Services) -> None:
    mine = await signed_up(services)
    ctx = Context(services, None, "203.0.113.7", 0, "Firefox/140")
    await login(ctx, mine.user.email, PASSWORD)
    told = [event for event in await events_of(services, mine.user.id) if event.type is EventType.SESSION_STARTED]
    assert [(event.data["address"], event.data["client"]) for event in told] == [
        (ADDRESS, None),
        ("203.0.113.7", "Firefox/140"),
    ]


async def test_login_when_it_fails_then_no_event_tells_of_it(services: Services) -> None:
    mine = await signed_up(services)
    with pytest.raises(Refused):
        await login(anonymous(services), mine.user.email, "wrong")
    assert await story_of(services, mine.user.id) == ["USER_CREATED", "SESSION_STARTED"]
