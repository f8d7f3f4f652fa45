"""How long a stream goes on: as long as what its caller presented is good."""

import asyncio
from decimal import Decimal
from typing import TypeVar

import pytest

from infrastructure.services import Services
from models.enums import EventType, Role
from models.errors import Unauthenticated
from models.events import EventFilter
from resolvers.accounts.commands import grant_role, logout
from resolvers.events.streams import all_events, order_events
from resolvers.portfolios.commands import create_portfolio, deposit_cash
from tests.support.clock import ManualClock
from tests.support.market import Trader
from tests.support.people import anonymous, context_of, signed_up
from tests.support.streams import beginning, stirred, take, waiting

D = Decimal
T = TypeVar("T")


async def test_stream_when_the_session_ends_then_it_ends_with_unauthenticated(services: Services) -> None:
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    following = asyncio.ensure_future(anext(order_events(ctx, None, None)))
    await waiting(services, following)
    await logout(anonymous(services), signed_in.refresh_token)
    with pytest.raises(Unauthenticated) as over:
        await following
    assert over.value.reason == "REVOKED"


async def test_stream_when_the_session_had_ended_before_then_not_one_event_comes(services: Services) -> None:
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    await create_portfolio(ctx, "Main", None, D(1))
    await logout(anonymous(services), signed_in.refresh_token)
    with pytest.raises(Unauthenticated) as over:
        await anext(all_events(ctx, EventFilter(), beginning(ctx)))
    assert over.value.reason == "REVOKED"


async def test_stream_when_another_session_of_the_same_user_ends_then_it_goes_on(services: Services) -> None:
    ada = await stirred(services)
    other = await signed_up(services, "eve@example.com")
    following = asyncio.ensure_future(take(order_events(ada.ctx, None, None), 1))
    await waiting(services, following)
    await logout(anonymous(services), other.refresh_token)
    placed = (await ada.place("BUY", "1", limit="150")).value
    [event] = await following
    assert event.order.id == placed.id


async def test_stream_when_the_token_expires_then_it_ends_with_unauthenticated(
    services: Services, clock: ManualClock
) -> None:
    ctx = await context_of(services, await signed_up(services))
    clock.advance(seconds=services.settings.access_token_s, milliseconds=-50)
    with pytest.raises(Unauthenticated) as over:
        await anext(order_events(ctx, None, None))
    assert over.value.reason == "EXPIRED"


async def test_stream_when_the_token_has_expired_before_then_not_one_event_comes(
    services: Services, clock: ManualClock
) -> None:
    ctx = await context_of(services, await signed_up(services))
    clock.advance(seconds=services.settings.access_token_s)
    with pytest.raises(Unauthenticated) as over:
        await anext(all_events(ctx, EventFilter(), beginning(ctx)))
    assert over.value.reason == "EXPIRED"


async def test_stream_when_the_viewers_role_changes_then_it_ends_and_a_role_that_was_known_does_not_end_it(
    services: Services,
) -> None:
    signed_in = await signed_up(services)
    await grant_role(services, "ada@example.com", Role.ADMIN)
    admin, other = await context_of(services, signed_in), await Trader.with_cash(services, email="eve@example.com")
    stream = all_events(admin, EventFilter(types=frozenset({EventType.CASH_MOVED})), None)
    coming = asyncio.ensure_future(anext(stream))
    await deposit_cash(other.ctx, other.portfolio_id, D(1))
    assert (await asyncio.wait_for(coming, 10)).type is EventType.CASH_MOVED
    await grant_role(services, "ada@example.com", Role.TRADER)

    async def to_its_end() -> None:
        async for _ in stream:
            pass

    with pytest.raises(Unauthenticated, match="role has changed"):
        await asyncio.wait_for(to_its_end(), 10)
