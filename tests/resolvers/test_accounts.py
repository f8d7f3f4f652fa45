import asyncio
import dataclasses
from datetime import timedelta

import pytest

from infrastructure.rows import values
from infrastructure.services import Services
from models.accounts import Session, User
from models.enums import AggregateType, ErrorCode, EventType, InvestmentGoal, RiskTolerance, Role
from models.errors import Fault, Refused, Throttled, invalid
from models.payloads import read
from models.people import PreferenceChanges, ProfileChanges, Registration
from resolvers.accounts.commands import grant_role, register, update_preferences, update_profile
from resolvers.accounts.queries import authenticate
from tests.support.clock import START
from tests.support.people import PASSWORD, anonymous, context_of, counts, events_of, signed_up, story_of


async def test_register_when_only_what_is_needed_is_said_then_the_rest_has_its_defaults(services: Services) -> None:
    given = Registration("  Ada.Lovelace@Example.COM ", PASSWORD, " Ada ", "Lovelace")
    signed_in = await register(anonymous(services), given)
    assert values(signed_in.user) | {"id": 0} == {
        "id": 0,
        "email": "ada.lovelace@example.com",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "role": Role.TRADER,
        "risk_tolerance": RiskTolerance.MODERATE,
        "investment_goal": InvestmentGoal.BALANCED_GROWTH,
        "base_currency": "USD",
        "timezone": "UTC",
        "notify_on_fill": True,
        "notify_on_risk_breach": True,
        "notify_on_market_alert": True,
        "version": 1,
        "created_at": START,
    }
    assert signed_in.expires_at == START + timedelta(seconds=900)
    viewer = await authenticate(services, signed_in.access_token)
    assert (viewer.user, viewer.expires_at) == (signed_in.user, signed_in.expires_at)


async def test_register_when_done_then_two_events_tell_of_it_and_hold_no_secret(services: Services) -> None:
    signed_in = await signed_up(services)
    user = signed_in.user
    created, started = await events_of(services, user.id)
    assert (created.type, created.aggregate_type, created.version) == (EventType.USER_CREATED, AggregateType.USER, 1)
    assert (created.aggregate_id, created.actor_id) == (user.id, user.id)
    assert read(User, created.data["user"]) == user
    assert created.data.keys() == {"user"}
    assert (started.type, started.aggregate_type) == (EventType.SESSION_STARTED, AggregateType.SESSION)
    assert started.version == 1
    assert read(Session, started.data["session"]) == Session(started.aggregate_id, user.id, START, None, None)
    for secret in ("argon2", PASSWORD, signed_in.access_token, signed_in.refresh_token):
        assert secret not in created.payload + started.payload + repr(signed_in)


async def test_register_when_everything_is_wrong_then_every_fault_is_told_and_nothing_is_written(
    services: Services,
) -> None:
    with pytest.raises(Refused) as refusal:
        await register(anonymous(services), Registration("ada", "123456789", "  ", "L" * 101))
    assert refusal.value.faults == (
        invalid("This is not an email address.", "email"),
        invalid("A password has 10 to 128 characters.", "password"),
        invalid("A name has 1 to 100 characters.", "firstName"),
        invalid("A name has 1 to 100 characters.", "lastName"),
    )
    assert await counts(services) == [0, 0, 0]


@pytest.mark.parametrize("name", ["A\0da", "A\nda", "A\ud800da"])
async def test_register_when_a_name_has_what_no_name_has_then_it_is_refused(services: Services, name: str) -> None:
    with pytest.raises(Refused) as refusal:
        await register(anonymous(services), Registration("ada@example.com", PASSWORD, name, "Lovelace"))
    assert refusal.value.faults == (invalid("A name has no control characters.", "firstName"),)


async def test_register_when_two_take_one_email_at_once_then_one_has_it_and_the_other_a_conflict(
    services: Services,
) -> None:
    emails = ["ada@example.com", "Ada@example.com"]
    answers = await asyncio.gather(*(signed_up(services, email) for email in emails), return_exceptions=True)
    (refusal,) = [answer for answer in answers if isinstance(answer, Refused)]
    assert refusal.faults == (Fault(ErrorCode.CONFLICT, "This email is registered already.", ("input", "email")),)
    assert await counts(services) == [1, 1, 1]


async def test_register_when_an_address_has_made_too_many_then_it_is_throttled_before_any_hash(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(20):
        await services.throttle.register("10.0.0.1")
    monkeypatch.setattr(services.passwords, "hash", None)
    with pytest.raises(Throttled, match="Too many registrations"):
        await signed_up(services)


async def test_update_profile_when_a_part_is_given_then_only_that_part_changes(services: Services) -> None:
    mine = await signed_up(services)
    ctx = await context_of(services, mine)
    user = await update_profile(ctx, ProfileChanges(last_name=" King ", risk_tolerance=RiskTolerance.AGGRESSIVE))
    assert user == dataclasses.replace(mine.user, last_name="King", risk_tolerance=RiskTolerance.AGGRESSIVE, version=2)
    assert (await authenticate(services, mine.access_token)).user == user
    *_, updated = await events_of(services, user.id)
    assert (updated.type, updated.version) == (EventType.USER_PROFILE_UPDATED, 2)
    assert read(User, updated.data["user"]) == user


async def test_update_profile_when_nothing_changes_then_there_is_no_event(services: Services) -> None:
    mine = await signed_up(services)
    ctx = await context_of(services, mine)
    assert await update_profile(ctx, ProfileChanges()) == mine.user
    assert await update_profile(ctx, ProfileChanges(first_name="Ada ")) == mine.user
    assert await story_of(services, mine.user.id) == ["USER_CREATED", "SESSION_STARTED"]


async def test_update_profile_when_both_names_are_wrong_then_both_are_told(services: Services) -> None:
    with pytest.raises(Refused) as refusal:
        await update_profile(await context_of(services, await signed_up(services)), ProfileChanges(" ", "\0a"))
    assert refusal.value.faults == (
        invalid("A name has 1 to 100 characters.", "firstName"),
        invalid("A name has no control characters.", "lastName"),
    )


async def test_update_profile_when_ten_change_it_at_once_then_every_version_has_its_event(services: Services) -> None:
    mine = await signed_up(services)
    ctx = await context_of(services, mine)
    await asyncio.gather(*(update_profile(ctx, ProfileChanges(first_name=f"Ada {n}")) for n in range(10)))
    versions = [event.version for event in await events_of(services, mine.user.id) if event.aggregate_type == "User"]
    assert versions == list(range(1, 12))


async def test_update_preferences_when_given_then_they_change_and_the_event_has_them(services: Services) -> None:
    mine = await signed_up(services)
    given = PreferenceChanges(timezone="Europe/Berlin", notify_on_fill=False)
    user = await update_preferences(await context_of(services, mine), given)
    assert user == dataclasses.replace(mine.user, timezone="Europe/Berlin", notify_on_fill=False, version=2)
    *_, updated = await events_of(services, user.id)
    assert updated.type == EventType.USER_PREFERENCES_UPDATED
    assert read(User, updated.data["user"]) == user


@pytest.mark.parametrize("timezone", ["Mars/Olympus", "", "../etc/passwd", "europe/berlin", "\0"])
async def test_update_preferences_when_they_are_wrong_then_every_fault_is_told(
    services: Services, timezone: str
) -> None:
    ctx = await context_of(services, await signed_up(services))
    with pytest.raises(Refused) as refusal:
        await update_preferences(ctx, PreferenceChanges(base_currency="EUR", timezone=timezone))
    assert refusal.value.faults == (
        invalid("The base currency can only be USD.", "baseCurrency"),
        invalid("There is no such time zone; one is named like Europe/Berlin.", "timezone"),
    )


async def test_grant_role_when_given_then_the_user_has_it_at_once_and_the_system_did_it(services: Services) -> None:
    mine = await signed_up(services)
    user = await grant_role(services, "ADA@example.com", Role.ADMIN)
    assert user == dataclasses.replace(mine.user, role=Role.ADMIN, version=2)
    assert await grant_role(services, "ada@example.com", Role.ADMIN) == user
    assert (await authenticate(services, mine.access_token)).is_admin
    *_, granted = events = await events_of(services, user.id)
    assert (granted.type, granted.version, granted.actor_id) == (EventType.USER_ROLE_CHANGED, 2, None)
    assert len(events) == 3


@pytest.mark.parametrize("email", ["bob@example.com", "bob"])
async def test_grant_role_when_nobody_has_the_email_then_it_is_refused(services: Services, email: str) -> None:
    with pytest.raises(Refused) as refusal:
        await grant_role(services, email, Role.ADMIN)
    assert refusal.value.faults == (Fault(ErrorCode.NOT_FOUND, "No such user.", ("input", "email")),)
