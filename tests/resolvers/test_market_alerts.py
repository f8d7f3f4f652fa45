"""Market alerts go off once, and again only after what they watch was back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from infrastructure.candle_store import store_candles
from infrastructure.database import DatabaseUnavailable
from infrastructure.feed import FeedRunner
from infrastructure.services import Services
from models.candles import Candle
from models.enums import CandleInterval, ErrorCode, EventType, MarketAlertKind
from models.errors import Refused
from models.market_alerts import MarketAlert, MarketAlertRow
from models.marketdata import Quote
from models.people import PreferenceChanges
from resolvers.accounts.commands import update_preferences
from resolvers.alerts import store
from resolvers.alerts import watch as watching
from resolvers.alerts.market_alerts import (
    create_market_alert,
    delete_market_alert,
    market_alert,
    trigger_market_alert,
)
from resolvers.alerts.watch import AlertWatch
from resolvers.registry import bus_of
from tests.support.clock import ManualClock
from tests.support.handlers import drain, head, told
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored

ABOVE, BELOW = MarketAlertKind.PRICE_ABOVE, MarketAlertKind.PRICE_BELOW


@pytest.fixture
async def market(services: Services) -> Market:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1", previous="100")
    await bus_of(services).register()
    return market


@pytest.fixture
async def trader(market: Market) -> Trader:
    return await Trader.with_cash(market.services)


async def made(trader: Trader, kind: MarketAlertKind, threshold: str) -> MarketAlert:
    return (await create_market_alert(trader.ctx, "AAPL", kind, D(threshold))).value


async def moved(market: Market, watch: AlertWatch, *prices: str, previous: str = "100") -> None:
    for price in prices:
        await watch.on_quotes([await market.quote("AAPL", price, price, previous=previous)])


async def triggered(services: Services) -> list[Decimal]:
    """What the market was at each time that an alert went off."""
    events = [event for event in await whole_log(services.database) if event.type is EventType.MARKET_ALERT_TRIGGERED]
    return [D(event.data["value"]) for event in events]


async def alerts(services: Services) -> list[MarketAlert]:
    found: list[MarketAlert] = await stored(services, MarketAlertRow, MarketAlert)
    return found


async def test_alert_when_the_price_comes_and_goes_then_it_goes_off_at_each_coming_and_not_in_between(
    services: Services, market: Market, trader: Trader, clock: ManualClock
) -> None:
    await made(trader, ABOVE, "110")
    watch = AlertWatch(services, lambda: True)
    await moved(market, watch, "109.99", "110", "111", "109.9", "110.5", "109.4", "110.2")
    assert await triggered(services) == [D(110), D("110.2")]
    [alert] = await alerts(services)
    assert (alert.armed, alert.triggered_at, alert.version) == (False, clock.now(), 3)


async def test_alert_when_it_is_armed_again_then_it_is_shown_so_at_once_by_its_id(
    services: Services, market: Market, trader: Trader
) -> None:
    alert = await made(trader, ABOVE, "110")
    watch = AlertWatch(services, lambda: True)
    await moved(market, watch, "111")
    await services.relay.reached(services.database.written)
    shown = []
    for price in ("111", "100"):
        await moved(market, watch, price)
        trader.ctx.renew()
        shown.append(await market_alert(trader.ctx, alert.id))

    assert [each.armed for each in shown if each] == [False, True]


async def test_alert_when_the_market_is_there_already_then_it_goes_off_at_once(
    services: Services, market: Market, trader: Trader
) -> None:
    await made(trader, BELOW, "120")
    await moved(market, AlertWatch(services, lambda: True), "100")
    assert await triggered(services) == [D(100)]


async def test_alert_when_the_price_moves_by_so_many_percent_then_it_goes_off_either_way(
    services: Services, market: Market, trader: Trader
) -> None:
    await made(trader, MarketAlertKind.PERCENT_MOVE, "5")
    await moved(market, AlertWatch(services, lambda: True), "104.9", "95", "94", "104.4", "105.5")
    assert await triggered(services) == [D(5), D("5.5")]


async def test_alert_when_a_minute_has_many_times_the_usual_volume_then_it_goes_off(
    services: Services, market: Market, trader: Trader, clock: ManualClock
) -> None:
    await made(trader, MarketAlertKind.VOLUME_SPIKE, "3")
    watch = AlertWatch(services, lambda: True)
    await minutes(services, clock, [100] * 6)
    await moved(market, watch, "100")
    assert await triggered(services) == []
    clock.advance(minutes=1)
    await minutes(services, clock, [100] * 6 + [300])
    await moved(market, watch, "100.5")
    assert await triggered(services) == [D(3)]


async def minutes(services: Services, clock: ManualClock, volumes: list[int]) -> None:
    """Whole minutes with these volumes; the last has ended a minute ago."""
    end = clock.now() - timedelta(minutes=1)
    candles = [
        Candle(
            "AAPL", CandleInterval.ONE_MINUTE, end - timedelta(minutes=age), D(100), D(100), D(100), D(100), D(volume)
        )
        for age, volume in enumerate(reversed(volumes), 1)
    ]
    async with services.database.write() as tx:
        await store_candles(tx, candles, replace=True)


async def test_alert_when_the_database_fails_as_the_watch_begins_then_it_is_known_with_the_next_quotes(
    services: Services, market: Market, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(trader, ABOVE, "110")
    watch = AlertWatch(services, lambda: True)

    async def fails(_: Services) -> list[MarketAlert]:
        raise DatabaseUnavailable

    with monkeypatch.context() as patched:
        patched.setattr(watching, "every_market_alert", fails)
        with pytest.raises(DatabaseUnavailable):
            await moved(market, watch, "111")
    await moved(market, watch, "112")
    assert await triggered(services) == [D(112)]


async def test_alert_when_more_hold_the_instrument_than_a_statement_takes_then_all_are_told(
    services: Services, market: Market, trader: Trader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "PART", 2)
    for name in "abcd":
        holder = await Trader.with_cash(services, email=f"{name}@example.com")
        await holder.trade("BUY", "1", "100")
    await made(trader, ABOVE, "110")
    await moved(market, AlertWatch(services, lambda: True), "111")
    await drain(services)
    notes = await told(services, subject_id="AAPL")
    assert len({note.owner_id for note in notes}) == len(notes) == 5
    sent = [event for event in await whole_log(services.database) if event.type is EventType.NOTIFICATION_SENT]
    assert {note.id for note in notes} <= {event.aggregate_id for event in sent}


async def test_alert_when_made_and_deleted_while_the_market_is_watched_then_the_watch_knows(
    services: Services, market: Market, trader: Trader
) -> None:
    watch = AlertWatch(services, lambda: True)
    await watch.start()
    try:
        await moved(market, watch, "100")
        alert, other = await made(trader, ABOVE, "110"), await made(trader, ABOVE, "111")
        await delete_market_alert(trader.ctx, other.id)
        await services.relay.reached(await head(services))
        await moved(market, watch, "112")
    finally:
        await watch.stop()
    [event] = [each for each in await whole_log(services.database) if each.type is EventType.MARKET_ALERT_TRIGGERED]
    assert event.aggregate_id == alert.id


class OnePrice:
    """A feed of what the test says."""

    price = "100"

    def quotes(self, now: datetime) -> list[Quote]:
        price = D(self.price)
        return [Quote("AAPL", price, D(9), price, D(9), price, None, None, None, D(100), D(0), now)]

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:  # noqa: ARG002 - the port's signature
        return []


@dataclass
class Processes:
    """Two that may run one feed, each with its watch."""

    feed: OnePrice
    runners: list[FeedRunner]
    clock: ManualClock

    @classmethod
    def of(cls, services: Services, clock: ManualClock) -> "Processes":
        feed = OnePrice()
        runners = [FeedRunner(services, feed) for _ in range(2)]
        for runner in runners:
            runner.listeners.append(AlertWatch(services, lambda runner=runner: runner.term).on_quotes)  # type: ignore[misc]
        return cls(feed, runners, clock)

    async def moved(self, *prices: str, at_work: Sequence[int] = (0, 1)) -> None:
        """The feed comes to each price, and the processes that are not held up to their next round."""
        for price in prices:
            self.feed.price = price
            self.clock.advance(seconds=2)
            for number in at_work:
                await self.runners[number].tick(self.clock.now())


async def test_alert_when_another_process_runs_the_feed_then_this_one_leaves_it_to_that_and_takes_over(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    both = Processes.of(services, clock)
    await both.moved("100")
    await made(trader, ABOVE, "110")
    await both.runners[0].stop()
    await both.moved("120", at_work=[1])
    assert await triggered(services) == [D(120)]
    # It has gone off, and whoever takes over knows that by the table.
    await both.runners[1].stop()
    await both.moved("122")
    assert await triggered(services) == [D(120)]
    await both.moved("100", "115")
    assert await triggered(services) == [D(120), D(115)]


async def test_alert_when_it_goes_off_elsewhere_while_this_process_is_held_up_then_it_can_do_so_again(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    both = Processes.of(services, clock)
    await made(trader, ABOVE, "110")
    await both.moved("109", at_work=[0])
    await both.moved("109", "109", "111", at_work=[1])
    assert await triggered(services) == [D(111)]
    await both.runners[1].stop()
    await both.moved("112", "100", "115", at_work=[0])
    assert await triggered(services) == [D(111), D(115)]


async def test_alert_when_it_went_off_by_another_hand_then_it_is_not_dropped(
    services: Services, market: Market, trader: Trader
) -> None:
    alert = await made(trader, ABOVE, "110")
    watch = AlertWatch(services, lambda: 1)
    await moved(market, watch, "100")
    assert await trigger_market_alert(services, alert.id, D(120)) is not None
    assert await trigger_market_alert(services, alert.id, D(121)) is None
    await moved(market, watch, "122", "100", "123")
    assert await triggered(services) == [D(120), D(123)]


async def test_alert_when_it_goes_off_then_its_maker_and_the_holders_are_told_but_these_not_each_time(
    services: Services, trader: Trader, clock: ManualClock
) -> None:
    holder = await Trader.with_cash(services, email="holder@example.com")
    await holder.trade("BUY", "1", "100")
    silent = await Trader.with_cash(services, email="silent@example.com")
    await silent.trade("SELL", "1", "100")
    await update_preferences(silent.ctx, PreferenceChanges(notify_on_market_alert=False))
    await Trader.with_cash(services, email="flat@example.com")
    first, second = await made(trader, ABOVE, "110"), await made(trader, MarketAlertKind.PERCENT_MOVE, "12")
    await trigger_market_alert(services, first.id, D(111))
    await trigger_market_alert(services, second.id, D("12.5"))
    await drain(services)
    notes = await told(services, subject_type="Instrument")
    assert [(note.owner_id, note.body) for note in notes if note.owner_id == trader.ctx.owner_id] == [
        (trader.ctx.owner_id, "AAPL is at 111, at or above 110."),
        (trader.ctx.owner_id, "AAPL moved by 12.5% since the previous close, 12% or more."),
    ]
    assert {note.owner_id for note in notes} == {trader.ctx.owner_id, holder.ctx.owner_id}
    assert len(notes) == 3
    assert {(note.title, note.subject_id) for note in notes} == {("Market alert: AAPL", "AAPL")}
    clock.advance(minutes=16)
    third = await made(trader, BELOW, "90")
    await trigger_market_alert(services, third.id, D(89))
    await drain(services)
    assert len(await told(services, owner_id=holder.ctx.owner_id, body="AAPL is at 89, at or below 90.")) == 1


@pytest.mark.parametrize(
    ("symbol", "threshold", "code", "path"),
    [
        ("NOPE", "1", ErrorCode.NOT_FOUND, ("input", "symbol")),
        ("AAPL", "0", ErrorCode.INVALID_INPUT, ("input", "threshold")),
        ("AAPL", "-1", ErrorCode.INVALID_INPUT, ("input", "threshold")),
        ("AAPL", "0.000000001", ErrorCode.INVALID_INPUT, ("input", "threshold")),
    ],
)
async def test_alert_when_it_makes_no_sense_then_it_is_refused_and_nothing_is_written(
    services: Services, trader: Trader, symbol: str, threshold: str, code: ErrorCode, path: tuple[str, ...]
) -> None:
    before = await head(services)
    with pytest.raises(Refused) as refused:
        await create_market_alert(trader.ctx, symbol, ABOVE, D(threshold))
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [(code, path)]
    assert (await head(services), await alerts(services)) == (before, [])


async def test_alerts_when_there_are_as_many_as_there_may_be_then_another_is_refused(
    services: Services, trader: Trader
) -> None:
    most = services.settings.market_alerts_max
    for number in range(most):
        await made(trader, ABOVE, str(110 + number))
    with pytest.raises(Refused, match=f"You have {most} market alerts"):
        await made(trader, ABOVE, "109")
    await delete_market_alert(trader.ctx, (await alerts(services))[0].id)
    await made(trader, ABOVE, "109")
    assert len(await alerts(services)) == most


async def test_alert_when_it_is_somebody_elses_then_it_can_not_be_deleted(services: Services, trader: Trader) -> None:
    alert = await made(trader, ABOVE, "110")
    bob = await Trader.with_cash(services, email="bob@example.com")
    with pytest.raises(Refused) as refused:
        await delete_market_alert(bob.ctx, alert.id)
    assert [fault.code for fault in refused.value.faults] == [ErrorCode.NOT_FOUND]
    assert await alerts(services) == [alert]
