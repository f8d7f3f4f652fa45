"""What the handlers of orders and positions do: whom they tell what, once, in the time zone of who reads it."""

import dataclasses
from datetime import timedelta
from pathlib import Path

import pytest

from infrastructure.bus import Handler, checkpoint, dead_letters
from infrastructure.database import Transaction
from infrastructure.services import Services
from models.enums import EventType, PositionSide, Severity
from models.events import RecordedEvent
from models.people import PreferenceChanges
from models.trades import TradeSummary, TradeSummaryRow
from resolvers.accounts.commands import update_preferences
from resolvers.events.archive import archive_events
from resolvers.events.replaying import replay_dead_letters, replay_from
from resolvers.registry import HANDLERS, bus_of
from tests.support.clock import ManualClock
from tests.support.handlers import drain, from_the_beginning, head, told
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored

EXECUTED = next(handler for handler in HANDLERS if handler.name == "order-executed")


@pytest.fixture
async def trader(services: Services) -> Trader:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    trader = await Trader.with_cash(services)
    await bus_of(services).register()
    return trader


async def test_order_when_placed_and_filled_in_parts_then_its_owner_is_told_of_each_step(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await update_preferences(trader.ctx, PreferenceChanges(timezone="America/New_York"))
    order = (await trader.place("BUY", "10", limit="100.5")).value
    await drain(services)
    clock.advance(seconds=1)
    order = await trader.fill(order, "4", "100.1")
    await drain(services)
    clock.advance(seconds=1)
    await trader.fill(order, "6", "100")
    await drain(services)
    accepted, *executed = await told(services)
    assert (accepted.title, accepted.body) == (
        "Order accepted: buy 10 AAPL",
        "Buy 10 AAPL, limit GTC, limit 100.5, accepted 5 Jan 2026, 09:30:00 EST.",
    )
    assert [each.title for each in executed] == ["Bought 4 AAPL at 100.1", "Bought 6 AAPL at 100"]
    assert executed[0].body == (
        "Bought 4 AAPL at 100.1 USD, worth 400.4 USD, commission 0.4004 USD, 5 Jan 2026, 09:30:01 EST. "
        "4 of 10 are filled."
    )
    assert executed[1].body.endswith("09:30:02 EST. The order is filled.")
    for each in (accepted, *executed):
        assert (each.owner_id, each.severity, each.read_at) == (trader.ctx.owner_id, Severity.INFO, None)
        assert (each.subject_type, each.subject_id) == ("Order", str(order.id))


async def test_position_when_closed_then_the_trade_is_summed_up_and_its_owner_is_told(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    await trader.trade("BUY", "10", "100")
    await trader.trade("BUY", "10", "110")
    await trader.trade("SELL", "5", "108")
    clock.advance(days=2, hours=3, minutes=4)
    await trader.trade("SELL", "15", "112")
    await drain(services)
    [summary] = await stored(services, TradeSummaryRow, TradeSummary)
    [position] = await trader.positions()
    assert summary == TradeSummary(
        position_id=position.id,
        portfolio_id=trader.portfolio_id,
        owner_id=trader.ctx.owner_id,
        symbol="AAPL",
        side=PositionSide.LONG,
        quantity=D(20),
        entry_price=D(105),
        exit_price=D(111),
        realized_pnl=D(120),
        commission=D("4.32"),
        opened_at=position.opened_at,
        closed_at=clock.now(),
    )
    assert (summary.held_seconds, summary.return_percent) == (183_840, D("5.71428571"))
    [note] = await told(services, subject_type="Position")
    assert note.title == "AAPL position closed: +120 USD"
    assert note.body == (
        "20 AAPL bought at 105 and sold at 111 on average, +120 USD realised, commissions 4.32 USD, held for 2 d 3 h "
        "until 7 Jan 2026, 17:34:00 UTC."
    )


async def test_position_when_a_fill_crosses_zero_then_the_summary_has_its_share_of_it(
    services: Services, trader: Trader
) -> None:
    await trader.trade("SELL", "4", "100")
    await trader.trade("BUY", "10", "101")
    await drain(services)
    [summary] = await stored(services, TradeSummaryRow, TradeSummary)
    assert (summary.side, summary.quantity, summary.entry_price, summary.exit_price) == ("SHORT", 4, 100, 101)
    # 0.1% of 400, and four tenths of 0.1% of 1,010.
    assert (summary.realized_pnl, summary.commission) == (D(-4), D("0.804"))
    [note] = await told(services, subject_type="Position")
    assert note.title == "AAPL position closed: -4 USD"
    assert note.body.startswith("4 AAPL sold at 100 and bought back at 101 on average, -4 USD realised")


async def test_position_when_its_opening_is_archived_then_the_summary_is_what_it_would_have_been(
    services: Services, trader: Trader, clock: ManualClock, tmp_path: Path
) -> None:
    # Ended by a fill that crosses zero, as it was begun by one; others trade the same and it holds something else.
    await trader.trade("BUY", "3", "90")
    await trader.trade("SELL", "3", "95")
    await trader.trade("SELL", "4", "100")
    await trader.trade("BUY", "10", "101", "MSFT")
    await trader.trade("BUY", "10", "101")
    await trader.trade("BUY", "2", "103")
    await drain(services)
    clock.advance(hours=1)
    await archive_events(services, HANDLERS, clock.now(), tmp_path)
    await trader.trade("SELL", "5", "108")
    await trader.trade("SELL", "9", "110")
    await trader.trade("BUY", "1", "120")
    await drain(services)
    found = await stored(services, TradeSummaryRow, TradeSummary)
    [summary] = [each for each in found if each.side is PositionSide.LONG and each.quantity == 8]
    assert (summary.entry_price, summary.exit_price, summary.realized_pnl) == (D("101.5"), D("108.75"), D(58))
    # Six tenths of 0.1% of 1,010, 0.1% of 206 and of 540, and a third of 0.1% of 990.
    assert summary.commission == D("1.682")
    assert (summary.opened_at, summary.closed_at) == (clock.now() - timedelta(hours=1), clock.now())
    assert len(found) == 3


async def test_user_when_they_want_to_hear_nothing_of_fills_then_the_work_is_done_in_silence(
    services: Services, trader: Trader
) -> None:
    await update_preferences(trader.ctx, PreferenceChanges(notify_on_fill=False))
    await trader.trade("BUY", "1", "100")
    await trader.trade("SELL", "1", "101")
    await drain(services)
    assert await told(services) == []
    assert len(await stored(services, TradeSummaryRow, TradeSummary)) == 1
    assert EventType.NOTIFICATION_SENT not in [event.type for event in await whole_log(services.database)]


async def test_notification_when_made_then_there_is_an_event_that_shows_it(services: Services, trader: Trader) -> None:
    await trader.trade("BUY", "1", "100")
    await drain(services)
    notes = await told(services)
    sent = [event for event in await whole_log(services.database) if event.type is EventType.NOTIFICATION_SENT]
    assert sorted(event.aggregate_id for event in sent) == sorted(note.id for note in notes)
    assert {(event.owner_id, event.version, event.actor_id) for event in sent} == {(trader.ctx.owner_id, 1, None)}


async def test_handler_when_replayed_from_the_beginning_then_nobody_is_told_twice(
    services: Services, trader: Trader
) -> None:
    await trader.trade("BUY", "1", "100")
    await trader.trade("SELL", "1", "101")
    await drain(services)
    before, notes = await head(services), await told(services)
    counts = {handler.name: await replay_from(services, handler, 0) for handler in HANDLERS}
    assert {name: done for name, done in counts.items() if done != (0, [])} == {
        "order-audit": (2, []),
        "order-placed": (2, []),
        "order-executed": (2, []),
        "position-closed": (1, []),
        "limits-checked": (2, []),
    }
    assert (await head(services), await told(services)) == (before, notes)


async def test_handler_when_replayed_then_what_it_has_not_come_to_is_left_to_its_turn(
    services: Services, trader: Trader
) -> None:
    await trader.trade("BUY", "1", "100")
    assert await replay_from(services, EXECUTED, 0) == (0, [])
    await drain(services)
    assert len(await told(services, title="Bought 1 AAPL at 100")) == 1


async def test_dead_letters_when_replayed_then_those_that_are_dealt_with_go(services: Services) -> None:
    await Trader.with_cash(services)
    broken = [1, 3]

    def react(_services: Services, _tx: Transaction, event: RecordedEvent) -> None:
        if event.seq in broken:
            raise RuntimeError(f"not {event.seq}")

    handler = Handler("breaks", frozenset(EventType), react)
    settings = services.settings.model_copy(update={"handler_attempts": 1})
    services = dataclasses.replace(services, settings=settings)
    await from_the_beginning(services, [handler])
    await drain(services, [handler])
    assert [letter.seq for letter in await dead_letters(services)] == broken
    broken.remove(1)
    assert await replay_dead_letters(services, handler) == (1, ["breaks at 3: RuntimeError: not 3"])
    assert [letter.seq for letter in await dead_letters(services)] == [3]
    assert (await checkpoint(services, "breaks")).seq == await head(services)
