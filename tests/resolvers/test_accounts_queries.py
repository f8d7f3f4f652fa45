import asyncio
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from infrastructure.services import Services
from models.enums import Role
from models.errors import Unauthenticated
from resolvers.accounts.commands import SignedIn, grant_role, logout
from resolvers.accounts.queries import authenticate, authorization, user_by_id, viewer
from tests.support.clock import ManualClock
from tests.support.people import anonymous, context_of, signed_up


@pytest.fixture
def statements(services: Services) -> Iterator[list[str]]:
    """The SQL statements that read users; the relay reads the log beside them."""
    seen: list[str] = []

    def note(statement: str, _given: Any) -> None:
        if "FROM users" in statement:
            seen.append(statement)

    services.database.bare.heard.append(note)
    yield seen
    services.database.bare.heard.remove(note)


async def reason(services: Services, header: str) -> str:
    with pytest.raises(Unauthenticated) as refusal:
        await authorization(services, header)
    return refusal.value.reason


async def test_authorization_when_there_is_no_header_then_the_caller_is_anonymous(services: Services) -> None:
    assert await authorization(services, None) is None


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", " BEARER  {} "])
async def test_authorization_when_the_token_is_good_then_it_is_the_user(services: Services, form: str) -> None:
    signed_in = await signed_up(services)
    found = await authorization(services, form.format(signed_in.access_token))
    assert found is not None
    assert (found.user, found.expires_at) == (signed_in.user, signed_in.expires_at)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic YTpi", "Bearer a b", "Bearer \ud800", "x"])
async def test_authorization_when_the_header_is_bad_then_it_is_invalid(services: Services, header: str) -> None:
    assert await reason(services, header) == "INVALID"


async def test_authorization_when_the_token_has_ended_or_its_session_then_it_says_which(
    services: Services, clock: ManualClock
) -> None:
    signed_in = await signed_up(services)
    header = f"Bearer {signed_in.access_token}"
    await logout(anonymous(services), signed_in.refresh_token)
    assert await reason(services, header) == "REVOKED"
    clock.advance(seconds=900)
    assert await reason(services, header) == "EXPIRED"


async def test_authorization_when_the_session_is_unknown_or_another_users_then_it_is_revoked(
    services: Services,
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    session_id = (await authenticate(services, mine.access_token)).session_id
    assert session_id is not None
    for user_id, session in ((mine.user.id, uuid4()), (other.user.id, session_id), (uuid4(), session_id)):
        token, _ = services.tokens.issue(user_id, session, services.clock.now())
        assert await reason(services, f"Bearer {token}") == "REVOKED"


async def test_authenticate_when_asked_then_one_statement_answers(services: Services, statements: list[str]) -> None:
    signed_in = await signed_up(services)
    statements.clear()
    await authenticate(services, signed_in.access_token)
    assert len(statements) == 1


async def test_viewer_when_asked_then_it_is_the_caller_or_nobody(services: Services) -> None:
    signed_in = await signed_up(services)
    assert viewer(await context_of(services, signed_in)) == signed_in.user
    assert viewer(anonymous(services)) is None


async def seen(services: Services, signed_in: SignedIn, *ids: UUID) -> list[object]:
    ctx = await context_of(services, signed_in)
    return await asyncio.gather(*(user_by_id(ctx, user_id) for user_id in ids))


async def test_user_when_it_is_not_the_caller_then_it_is_as_if_it_were_not_there(services: Services) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    assert await seen(services, mine, mine.user.id, other.user.id, uuid4()) == [mine.user, None, None]


async def test_user_when_the_caller_is_admin_then_everybody_is_there_in_one_statement(
    services: Services, statements: list[str]
) -> None:
    mine, other = await signed_up(services), await signed_up(services, "bob@example.com")
    me = await grant_role(services, "ada@example.com", Role.ADMIN)
    ctx = await context_of(services, mine)
    statements.clear()
    ids = [other.user.id, uuid4(), me.id, other.user.id]
    found = await asyncio.gather(*(user_by_id(ctx, user_id) for user_id in ids))
    assert found == [other.user, None, me, other.user]
    assert len(statements) == 1


async def test_user_when_the_caller_is_anonymous_then_nobody_is_there(
    services: Services, statements: list[str]
) -> None:
    mine = await signed_up(services)
    statements.clear()
    assert await user_by_id(anonymous(services), mine.user.id) is None
    assert statements == []
