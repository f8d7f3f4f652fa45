"""A process that was held up for so long that what it had not read yet is archived: it goes on behind that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from infrastructure import relay
from infrastructure.broker import PaperBroker
from infrastructure.services import Services
from models.cursors import CursorExpired
from models.enums import MarketAlertKind, OrderStatus
from models.errors import Unauthenticated
from models.events import EventFilter
from models.orders import Order, OrderRow
from resolvers.accounts.commands import logout_everywhere
from resolvers.alerts.market_alerts import create_market_alert
from resolvers.alerts.watch import AlertWatch
from resolvers.context import Context
from resolvers.events.archive import archive_events
from resolvers.events.books import SNAPSHOTS
from resolvers.events.queries import cursor_of
from resolvers.events.snapshots import Snapshots
from resolvers.events.streams import PositionEvent, PositionSnapshot, order_events, position_events, positions
from resolvers.floor import desk
from resolvers.portfolios.loaders import Held, held_by_portfolio
from resolvers.registry import HANDLERS
from tests.support.clock import START, ManualClock
from tests.support.handlers import head
from tests.support.market import D, Market, Trader, stored
from tests.support.processes import another_process, context_in
from tests.support.streams import waiting
from tests.support.wait import until


@dataclass
class Overtaken:
    """A process whose relay stands still, beside one that trades and archives."""

    services: Services
    held_up: Services
    market: Market
    ada: Trader
    clock: ManualClock
    folder: Path

    @property
    def ctx(self) -> Context:
        """Ada, served by the process that is held up."""
        return context_in(self.held_up, self.ada.ctx)

    async def held(self, process: Services) -> Held | None:
        """Ada's book, as the process shows it."""
        [found] = await held_by_portfolio(context_in(process, self.ada.ctx), [(self.ada.portfolio_id, START)])
        return found

    async def pass_by(self, *, nothing_left: bool = False) -> int:
        """Trade, and archive behind what the other has read, all of it or all but the last trade; up to where."""
        for _ in range(2):
            await self.ada.trade("BUY", "1", "100")
            self.clock.advance(hours=1)
        made = await archive_events(self.services, HANDLERS, self.clock.now(), self.folder)
        if not nothing_left:
            await self.ada.trade("BUY", "1", "100")
        assert self.held_up.relay.position < made[-1].last_seq
        return made[-1].last_seq

    async def status(self, order: Order) -> OrderStatus:
        """How the order stands."""
        [found] = [each for each in await stored(self.services, OrderRow, Order) if each.id == order.id]
        return OrderStatus(found.status)

    async def last_snapshot(self) -> int:
        """The place of the newest."""
        async with self.services.database.read() as connection:
            return int((await connection.execute(select(func.max(SNAPSHOTS.c.seq)))).scalar_one())

    async def go_on(self) -> None:
        """It is held up no longer."""
        self.held_up.relay._task.start()
        await asyncio.wait_for(self.held_up.relay.reached(await head(self.services)), 30)


@asynccontextmanager
async def overtaken(services: Services, clock: ManualClock, folder: Path) -> AsyncIterator[Overtaken]:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.01")
    ada = await Trader.with_cash(services)
    assert ada.ctx.viewer is not None
    ada.ctx.viewer = replace(ada.ctx.viewer, expires_at=None)
    await ada.trade("BUY", "1", "100")
    async with another_process(services, 1) as held_up:
        await held_up.relay._task.stop()
        yield Overtaken(services, held_up, market, ada, clock, folder)


@pytest.fixture
async def story(services: Services, clock: ManualClock, tmp_path: Path) -> AsyncIterator[Overtaken]:
    async with overtaken(services, clock, tmp_path) as story:
        yield story


@pytest.mark.parametrize("nothing_left", [False, True])
async def test_relay_when_what_is_next_is_archived_then_it_goes_on_behind_that_and_nothing_from_before_is_shown(
    story: Overtaken, *, nothing_left: bool
) -> None:
    following, ada = story.held_up.relay, story.ada
    before = await story.held(story.held_up)
    news = following.coming(EventFilter(owner_id=ada.ctx.owner_id))
    floor = await story.pass_by(nothing_left=nothing_left)

    with capture_logs() as logs:
        await story.go_on()

    assert [entry["goes_on_behind"] for entry in logs if entry["log_level"] == "warning"] == [floor]
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    assert following.position == await head(story.services)
    await asyncio.wait_for(news, 30)
    here = await story.held(story.held_up)
    assert (here, here == before) == (await story.held(story.services), False)


async def test_stream_when_what_is_next_is_archived_then_it_ends_with_cursor_expired_and_can_begin_anew(
    story: Overtaken,
) -> None:
    following = asyncio.ensure_future(anext(order_events(story.ctx, None, None)))
    await waiting(story.held_up, following)
    await story.pass_by()
    await story.go_on()

    with pytest.raises(CursorExpired):
        await following
    stream = position_events(story.ctx, story.ada.portfolio_id, None)
    coming = asyncio.ensure_future(anext(stream))
    await waiting(story.held_up, coming)
    await story.ada.trade("SELL", "1", "100")
    assert (await coming).position.quantity == D(3)
    await stream.aclose()


async def test_positions_when_what_is_next_is_archived_then_there_is_a_new_snapshot_and_changes_behind_it(
    story: Overtaken,
) -> None:
    stream = positions(story.ctx, story.ada.portfolio_id, None, None)
    first = await anext(stream)
    coming = asyncio.ensure_future(anext(stream))
    await waiting(story.held_up, coming)
    await story.pass_by()
    await story.go_on()

    again = await coming
    assert isinstance(first, PositionSnapshot)
    assert isinstance(again, PositionSnapshot)
    assert [[each.quantity for each in found.positions] for found in (first, again)] == [[D(1)], [D(4)]]
    changing = asyncio.ensure_future(anext(stream))
    await story.ada.trade("BUY", "1", "100")
    change = await changing
    assert isinstance(change, PositionEvent)
    assert change.position.quantity == D(5)
    await stream.aclose()


async def test_positions_when_the_archive_overtakes_a_reader_that_catches_up_then_it_goes_on_with_a_new_snapshot(
    story: Overtaken, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "BATCH", 1)
    services, ada = story.services, story.ada
    await ada.trade("BUY", "1", "100")
    await services.relay.reached(await head(services))
    services.relay._ring.clear()
    stream = positions(ada.ctx, ada.portfolio_id, cursor_of(ada.ctx, 0), None)
    opened = await anext(stream)
    await story.pass_by()

    snapshot = await anext(stream)
    assert isinstance(opened, PositionEvent)
    assert isinstance(snapshot, PositionSnapshot)
    assert (opened.position.quantity, [each.quantity for each in snapshot.positions]) == (D(1), [D(5)])
    changing = asyncio.ensure_future(anext(stream))
    await ada.trade("BUY", "1", "100")
    change = await changing
    assert isinstance(change, PositionEvent)
    assert change.position.quantity == D(6)
    await stream.aclose()


async def test_sign_in_when_its_end_is_archived_unread_then_its_streams_end_and_the_others_go_on(
    story: Overtaken,
) -> None:
    bob = await Trader.with_cash(story.services, email="bob@example.com")
    theirs = context_in(story.held_up, bob.ctx)
    mine = positions(story.ctx, story.ada.portfolio_id, None, None)
    bobs = positions(theirs, bob.portfolio_id, None, None)
    comings = []
    for stream in (mine, bobs):
        assert isinstance(await anext(stream), PositionSnapshot)
        comings.append(asyncio.ensure_future(anext(stream)))
    await until(lambda: len(story.held_up.relay._followers) == 2)
    await logout_everywhere(bob.ctx)
    await story.pass_by()
    await story.go_on()

    assert isinstance(await comings[0], PositionSnapshot)
    with pytest.raises(Unauthenticated):
        await comings[1]
    await mine.aclose()
    await bobs.aclose()


async def test_broker_when_an_order_is_archived_unread_then_it_is_filled_all_the_same(story: Overtaken) -> None:
    held_up = story.held_up
    broker = PaperBroker(held_up.relay, held_up.quotes, desk(held_up), lambda: True, held_up.clock.now)
    await broker.start()
    await until(lambda: held_up.relay._followers)
    order = (await story.ada.place("BUY", "3")).value
    await story.pass_by()
    held_up.quotes.put([await story.market.quote("AAPL", "99.99", "100.01")])
    await story.go_on()

    async with asyncio.timeout(30):
        while await story.status(order) is not OrderStatus.FILLED:
            pass
    await broker.stop()


async def test_alerts_when_one_is_archived_unread_then_the_market_is_held_against_it(story: Overtaken) -> None:
    watch = AlertWatch(story.held_up, lambda: True)
    await watch.start()
    await watch.on_quotes([await story.market.quote("AAPL", "100", "101")])
    alert = (await create_market_alert(story.ada.ctx, "AAPL", MarketAlertKind.PRICE_ABOVE, D(110))).value
    await story.pass_by()
    await story.go_on()

    await watch.on_quotes([await story.market.quote("AAPL", "111", "112")])
    assert watch._alerts["AAPL"][alert.id].armed is False
    await watch.stop()


async def test_snapshots_when_what_is_next_is_archived_then_they_are_taken_behind_it(story: Overtaken) -> None:
    services = replace(story.held_up, settings=story.services.settings.model_copy(update={"snapshot_every": 2}))
    snapshots = Snapshots(services)
    await snapshots.start()
    await until(lambda: services.relay._followers)
    floor = await story.pass_by()
    with capture_logs() as logs:
        await story.go_on()
        await story.ada.trade("BUY", "1", "100")
        await story.ada.trade("BUY", "1", "100")
        async with asyncio.timeout(30):
            while await story.last_snapshot() <= floor:
                pass
    assert [entry for entry in logs if entry["log_level"] == "error"] == []
    await snapshots.stop()
