"""Notifications that were read long ago are forgotten, unread ones never; and it is known that they were there."""

import dataclasses

import pytest

from infrastructure.services import Services
from resolvers.alerts import forgetting
from resolvers.alerts.commands import mark_notifications_read
from resolvers.alerts.forgetting import Forgetting, forget_some
from resolvers.events.verify import verify
from resolvers.registry import bus_of
from tests.support.clock import ManualClock
from tests.support.handlers import drain, told
from tests.support.market import Market, Trader
from tests.support.tamper import behind_the_back


@pytest.fixture
async def trader(services: Services, clock: ManualClock) -> Trader:
    """Was told of four orders and has read of three, of two of them long ago."""
    await Market.open(services)
    await bus_of(services).register()
    trader = await Trader.with_cash(services)
    for price in ("90", "91", "92", "93"):
        await trader.place("BUY", "1", limit=price)
        await drain(services)
        clock.advance(seconds=1)
    ids = [note.id for note in await told(services)]
    await mark_notifications_read(trader.ctx, ids[:2])
    clock.advance(days=30)
    trader.ctx.renew()
    await mark_notifications_read(trader.ctx, ids[2:3])
    return trader


@pytest.mark.usefixtures("trader")
async def test_notifications_when_read_long_ago_then_they_are_forgotten_and_no_flaw(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = await told(services)
    assert await forget_some(services, 31) == 0
    monkeypatch.setattr(forgetting, "PART", 1)
    assert [await forget_some(services, 29) for _ in range(3)] == [1, 1, 0]
    assert await told(services) == notes[2:]
    assert (await verify(services.database)).flaws == []


@pytest.mark.usefixtures("trader")
async def test_verify_when_some_are_forgotten_then_an_unread_one_that_lacks_is_found_all_the_same(
    services: Services,
) -> None:
    await forget_some(services, 29)
    unread = (await told(services))[-1]
    await behind_the_back(services, "DELETE FROM notifications WHERE read_at IS NULL")
    flaws = [str(flaw) for flaw in (await verify(services.database)).flaws]
    assert any(f"Notification {unread.id}: in the log, not in the table" in flaw for flaw in flaws)


@pytest.mark.usefixtures("trader")
@pytest.mark.parametrize(("days", "left"), [(None, 4), (29, 2)])
async def test_forgetting_when_the_settings_say_so_then_it_goes_on_beside_the_requests(
    services: Services, days: int | None, left: int
) -> None:
    settings = services.settings.model_copy(update={"notification_days": days})
    forgets = Forgetting(dataclasses.replace(services, settings=settings))
    await forgets.start()
    try:
        while len(await told(services)) != left:
            await services.relay.reached(services.relay.position)
    finally:
        await forgets.stop()
    assert len(await told(services)) == left
