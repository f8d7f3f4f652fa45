import asyncio
import dataclasses
from datetime import timedelta

import pytest
from sqlalchemy import select

from infrastructure.services import Services
from models.accounts import User
from models.enums import ErrorCode, EventType
from models.errors import Fault, Refused, Throttled, Unauthenticated, invalid
from resolvers.accounts.commands import (
    SignedIn,
    change_password,
    login,
    logout,
    logout_everywhere,
    refresh_token,
)
from resolvers.accounts.commands.sessions import REFRESH_TOKENS, start_session
from resolvers.accounts.queries import authenticate
from tests.support.clock import START, ManualClock
from tests.support.people import PASSWORD, anonymous, context_of, counts, events_of, signed_up, story_of

WRONG = Fault(ErrorCode.UNAUTHENTICATED, "Email or password is wrong.", ("input",))
NOT_VALID = Fault(
    ErrorCode.UNAUTHENTICATED, "The refresh token is not valid: sign in again.", ("input", "refreshToken")
)


async def test_login_when_email_and_password_are_right_then_a_second_session_begins(services: Services) -> None:
    first = await signed_up(services)
    again = await login(anonymous(services), " ADA@example.com", PASSWORD)
    assert again.user == first.user
    one, two = [await authenticate(services, each.access_token) for each in (first, again)]
    assert one.session_id != two.session_id
    assert await story_of(services, first.user.id) == ["USER_CREATED", "SESSION_STARTED", "SESSION_STARTED"]


@pytest.mark.parametrize(
    ("email", "password"),
    [("ada@example.com", "wrong"), ("bob@example.com", PASSWORD), ("no address\0", PASSWORD), ("\ud800", "\ud800")],
)
async def test_login_when_email_or_password_is_wrong_then_the_answer_is_the_same(
    services: Services, email: str, password: str
) -> None:
    await signed_up(services)
    with pytest.raises(Refused) as refusal:
        await login(anonymous(services), email, password)
    assert refusal.value.faults == (WRONG,)
    assert await counts(services) == [1, 1, 1]


async def test_login_when_an_account_was_tried_too_often_then_it_is_throttled_before_any_hash(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await signed_up(services)
    for _ in range(5):
        await services.throttle.login("ada@example.com", "10.9.9.9")
    monkeypatch.setattr(services.passwords, "verify", None)
    with pytest.raises(Throttled, match="Too many tries"):
        await login(anonymous(services), "ADA@example.com", PASSWORD)


async def test_login_when_the_password_is_changed_while_it_is_checked_then_it_is_refused(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = await context_of(services, await signed_up(services))
    real = services.passwords.verify

    async def verify(stored: str | None, password: str) -> bool:
        monkeypatch.undo()
        await change_password(ctx, PASSWORD, "another horse")
        return await real(stored, password)

    monkeypatch.setattr(services.passwords, "verify", verify)
    with pytest.raises(Refused) as refusal:
        await login(anonymous(services), "ada@example.com", PASSWORD)
    assert refusal.value.faults == (WRONG,)
    assert await counts(services) == [1, 1, 1]


async def refusal_of_refresh(services: Services, token: str) -> tuple[Fault, ...]:
    with pytest.raises(Refused) as refusal:
        await refresh_token(anonymous(services), token)
    return refusal.value.faults


async def test_refresh_when_the_token_is_new_then_the_session_goes_on_with_the_next_pair(
    services: Services, clock: ManualClock
) -> None:
    first = await signed_up(services)
    clock.advance(seconds=1000)
    second = await refresh_token(anonymous(services), first.refresh_token)
    assert second.user == first.user
    assert second.refresh_token != first.refresh_token
    assert second.expires_at == START + timedelta(seconds=1900)
    await authenticate(services, second.access_token)
    assert await counts(services) == [1, 1, 2]
    async with services.database.read() as connection:
        stored = (await connection.execute(select(REFRESH_TOKENS.c.token_hash))).scalars().all()
    assert all(len(each) == 64 for each in stored)


async def test_refresh_when_a_used_token_comes_again_then_the_whole_session_ends(services: Services) -> None:
    first = await signed_up(services)
    second = await refresh_token(anonymous(services), first.refresh_token)
    assert await refusal_of_refresh(services, first.refresh_token) == (NOT_VALID,)
    assert await refusal_of_refresh(services, second.refresh_token) == (NOT_VALID,)
    with pytest.raises(Unauthenticated) as refusal:
        await authenticate(services, second.access_token)
    assert refusal.value.reason == "REVOKED"
    *_, ended = await events_of(services, first.user.id)
    assert (ended.type, ended.version, ended.actor_id) == (EventType.SESSION_ENDED, 2, None)
    assert ended.data["session"]["revokeReason"] == "REUSE"
    assert len(await events_of(services, first.user.id)) == 3


async def test_refresh_when_eight_come_at_once_with_one_token_then_exactly_one_wins(services: Services) -> None:
    first = await signed_up(services)
    tried = [refresh_token(anonymous(services), first.refresh_token) for _ in range(8)]
    answers = await asyncio.gather(*tried, return_exceptions=True)
    refusals = [answer.faults for answer in answers if isinstance(answer, Refused)]
    assert refusals == [(NOT_VALID,)] * 7
    assert await counts(services) == [1, 1, 2]
    assert await story_of(services, first.user.id) == ["USER_CREATED", "SESSION_STARTED", "SESSION_ENDED"]


async def test_refresh_when_the_token_has_ended_then_it_is_refused_and_the_session_is_not(
    services: Services, clock: ManualClock
) -> None:
    first = await signed_up(services)
    clock.advance(seconds=services.settings.refresh_token_s)
    assert await refusal_of_refresh(services, first.refresh_token) == (NOT_VALID,)
    assert await story_of(services, first.user.id) == ["USER_CREATED", "SESSION_STARTED"]


@pytest.mark.parametrize("token", ["", "unknown", "\0", "\ud800"])
async def test_refresh_when_the_token_is_unknown_then_it_is_refused(services: Services, token: str) -> None:
    assert await refusal_of_refresh(services, token) == (NOT_VALID,)


async def test_logout_when_asked_twice_then_the_session_ends_once_and_both_are_answered(services: Services) -> None:
    first = await signed_up(services)
    other = await login(anonymous(services), "ada@example.com", PASSWORD)
    await logout(anonymous(services), first.refresh_token)
    await logout(anonymous(services), first.refresh_token)
    await logout(anonymous(services), "unknown")
    assert await refusal_of_refresh(services, first.refresh_token) == (NOT_VALID,)
    await refresh_token(anonymous(services), other.refresh_token)
    *_, ended = events = await events_of(services, first.user.id)
    assert [event.type for event in events].count(EventType.SESSION_ENDED) == 1
    assert ended.data["session"]["revokeReason"] == "LOGOUT"
    assert ended.actor_id == first.user.id


async def test_logout_everywhere_when_asked_then_all_of_the_callers_sessions_end_and_nobody_elses(
    services: Services,
) -> None:
    mine = await signed_up(services)
    await login(anonymous(services), "ada@example.com", PASSWORD)
    other = await signed_up(services, "bob@example.com")
    await logout_everywhere(await context_of(services, mine))
    assert await story_of(services, mine.user.id) == [
        "USER_CREATED",
        *["SESSION_STARTED"] * 2,
        *["SESSION_ENDED"] * 2,
    ]
    with pytest.raises(Unauthenticated):
        await authenticate(services, mine.access_token)
    await authenticate(services, other.access_token)


async def test_change_password_when_the_current_one_is_right_then_the_other_sessions_end(services: Services) -> None:
    mine = await signed_up(services)
    other = await login(anonymous(services), "ada@example.com", PASSWORD)
    user = await change_password(await context_of(services, mine), PASSWORD, "another horse")
    assert user == dataclasses.replace(mine.user, version=2)
    await authenticate(services, mine.access_token)
    with pytest.raises(Unauthenticated):
        await authenticate(services, other.access_token)
    await login(anonymous(services), "ada@example.com", "another horse")
    with pytest.raises(Refused):
        await login(anonymous(services), "ada@example.com", PASSWORD)
    changed, ended = (await events_of(services, user.id))[3:5]
    assert (changed.type, changed.version) == (EventType.USER_PASSWORD_CHANGED, 2)
    assert "argon2" not in changed.payload
    assert ended.data["session"]["revokeReason"] == "PASSWORD_CHANGED"


async def test_change_password_when_both_are_wrong_then_both_are_told_and_nothing_is_written(
    services: Services,
) -> None:
    mine = await signed_up(services)
    with pytest.raises(Refused) as refusal:
        await change_password(await context_of(services, mine), "wrong", "short")
    assert refusal.value.faults == (
        invalid("The current password is wrong.", "currentPassword"),
        invalid("A password has 10 to 128 characters.", "newPassword"),
    )
    assert await story_of(services, mine.user.id) == ["USER_CREATED", "SESSION_STARTED"]


async def test_change_password_when_four_change_it_at_once_then_one_does(services: Services) -> None:
    ctx = await context_of(services, await signed_up(services))
    tried = [change_password(ctx, PASSWORD, f"another horse {number}") for number in range(4)]
    answers = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(isinstance(answer, User) for answer in answers) == 1
    assert sum(isinstance(answer, Refused) for answer in answers) == 3


async def test_change_password_when_tried_too_often_then_it_is_throttled(services: Services) -> None:
    ctx = await context_of(services, await signed_up(services))
    for _ in range(5):
        with pytest.raises(Refused):
            await change_password(ctx, "wrong", "another horse")
    with pytest.raises(Throttled):
        await change_password(ctx, PASSWORD, "another horse")


async def test_change_password_when_ten_sessions_are_refreshed_meanwhile_then_all_are_answered_and_end(
    services: Services,
) -> None:
    mine = await signed_up(services)
    async with services.database.write() as tx:
        others = [await start_session(tx, anonymous(services), mine.user, START) for _ in range(10)]
    tried = [refresh_token(anonymous(services), other.refresh_token) for other in others]
    ctx = await context_of(services, mine)
    user, *answers = await asyncio.gather(
        change_password(ctx, PASSWORD, "another horse"), *tried, return_exceptions=True
    )
    assert isinstance(user, User)
    assert {type(answer) for answer in answers} <= {SignedIn, Refused}
    assert (await story_of(services, mine.user.id)).count("SESSION_ENDED") == 10
