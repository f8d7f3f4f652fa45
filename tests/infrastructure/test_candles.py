import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from infrastructure.candle_store import CANDLES, INSTRUMENTS, latest_openings, store_candles, store_minutes
from infrastructure.candles import CandleKeeper
from infrastructure.feed import SimulatedFeed
from infrastructure.rows import columns, read_all, values
from infrastructure.services import Services
from models.candles import LENGTHS, Candle, CandleRow, first_of, opening, together
from models.catalogue import CATALOGUE
from models.enums import CandleInterval
from models.marketdata import Quote
from resolvers.marketdata.commands import listed
from tests.support.clock import START, ManualClock

MINUTE, FIVE, HOUR, DAY = CandleInterval
LISTINGS = CATALOGUE[:3]
TODAY = opening(DAY, START)
D = Decimal


@pytest.fixture
async def market(services: Services) -> Services:
    """Services with three instruments and a short history."""
    async with services.database.write() as transaction:
        await transaction.execute(insert(INSTRUMENTS), [values(listed(listing)) for listing in LISTINGS])
    return dataclasses.replace(services, settings=services.settings.model_copy(update={"candle_days": 7}))


async def stored(services: Services, interval: CandleInterval, symbol: str = "AAPL") -> list[Candle]:
    statement = select(*columns(CandleRow, Candle)).where(CANDLES.c.interval == interval, CANDLES.c.symbol == symbol)
    async with services.database.read() as connection:
        return await read_all(connection, Candle, statement.order_by(CANDLES.c.opened_at))


async def counted(services: Services) -> dict[str, int]:
    statement = select(CANDLES.c.interval, func.count()).group_by(CANDLES.c.interval)
    async with services.database.read() as connection:
        return {row[0].value: row[1] for row in await connection.execute(statement)}


async def store(services: Services, candles: Sequence[Candle], *, replace: bool = True) -> None:
    async with services.database.write() as transaction:
        await store_candles(transaction, candles, replace=replace)


def a_minute(number: int, price: int, symbol: str = "AAPL") -> Candle:
    return first_of(symbol, MINUTE, START + timedelta(minutes=number), D(price), D(10))


def a_quote(as_of: datetime, last: int, volume: int, symbol: str = "AAPL") -> Quote:
    price, size = D(last), D(100)
    return Quote(symbol, price, size, price + 1, size, price, None, None, None, None, D(volume), as_of)


class Silent:
    """A feed without a history."""

    def quotes(self, now: datetime) -> list[Quote]:  # noqa: ARG002 - the port's signature
        return []

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:  # noqa: ARG002 - likewise
        return []


# ---------------------------------------------------------------- the table


async def test_store_candles_when_stored_again_then_they_are_replaced_or_left(market: Services) -> None:
    await store(market, [a_minute(0, 10), a_minute(1, 11)])
    await store(market, [a_minute(0, 20), a_minute(2, 22)], replace=False)
    assert [int(candle.close) for candle in await stored(market, MINUTE)] == [10, 11, 22]
    await store(market, [a_minute(0, 20)])
    assert [int(candle.close) for candle in await stored(market, MINUTE)] == [20, 11, 22]


@pytest.mark.parametrize(
    "wrong",
    [
        {"high": D(9)},
        {"low": D(11)},
        {"open": D("100.5"), "high": D(9)},
        {"low": D(0)},
        {"volume": D(-1)},
        {"symbol": "NOPE"},
        {"close": D(100)},
    ],
)
async def test_candles_when_a_row_can_not_be_then_the_database_refuses_it(
    market: Services, wrong: dict[str, object]
) -> None:
    with pytest.raises(IntegrityError):
        await store(market, [dataclasses.replace(a_minute(0, 10), **wrong)])  # type: ignore[arg-type]  # reason: any field
    # As texts, 9 is above 100.
    await store(market, [dataclasses.replace(a_minute(0, 9), high=D(100))])


async def test_store_minutes_when_they_come_one_by_one_or_again_then_the_longer_ones_are_those_of_all(
    market: Services,
) -> None:
    minutes = [a_minute(number, 100 + number * 7 % 13, symbol) for symbol in ("AAPL", "MSFT") for number in range(70)]
    for number in range(70):
        at = START + timedelta(minutes=number)
        for _ in range(2):
            async with market.database.write() as transaction:
                await store_minutes(transaction, [each for each in minutes if each.opened_at == at])
    for symbol in ("AAPL", "MSFT"):
        own = [each for each in minutes if each.symbol == symbol]
        for interval in (FIVE, HOUR, DAY):
            assert await stored(market, interval, symbol) == together(own, interval)


async def test_latest_openings_when_asked_then_each_instrument_has_its_own(market: Services) -> None:
    await store(market, [a_minute(0, 10), a_minute(3, 10), a_minute(1, 10, "MSFT")])
    found = await latest_openings(market.database, MINUTE)
    assert found.keys() == {listing.symbol for listing in LISTINGS}
    assert {symbol: at for symbol, at in found.items() if at} == {
        "AAPL": START + timedelta(minutes=3),
        "MSFT": START + timedelta(minutes=1),
    }


# ---------------------------------------------------------------- the keeper


def keeper_of(services: Services, feed: object = None, term: Callable[[], int] = lambda: 1) -> CandleKeeper:
    return CandleKeeper(services, feed or SimulatedFeed(7, LISTINGS), term)  # type: ignore[arg-type]  # reason: any feed of the tests


async def test_work_when_it_is_the_first_then_the_history_is_filled_in_as_the_seed_has_it(market: Services) -> None:
    feed, keeper = SimulatedFeed(7, LISTINGS), keeper_of(market)
    await keeper.on_quotes(feed.quotes(START))
    await keeper.work(START)

    minutes_a_day = 24 * 60 + 30
    assert await counted(market) == {
        "ONE_DAY": 8 * 3,
        "ONE_HOUR": 25 * 3,
        "FIVE_MINUTES": minutes_a_day // 5 * 3,
        "ONE_MINUTE": minutes_a_day * 3,
    }
    days = await stored(market, DAY)
    minutes = await stored(market, MINUTE)
    assert days[:-1] == feed.candles("AAPL", DAY, TODAY - timedelta(days=7), TODAY)
    assert minutes == feed.candles("AAPL", MINUTE, opening(HOUR, START - timedelta(days=1)), START)
    assert await stored(market, HOUR) == together(minutes, HOUR)
    assert days[-1:] == together([each for each in minutes if each.opened_at >= TODAY], DAY)


async def test_work_when_quotes_go_on_then_each_ended_minute_is_written_with_the_longer_ones(
    market: Services, clock: ManualClock
) -> None:
    feed = SimulatedFeed(7, LISTINGS[:2])
    keeper = keeper_of(market, feed)
    ticks = []
    for _ in range(6 * 60):
        ticks += feed.quotes(clock.now())
        await keeper.on_quotes(ticks[-2:])
        clock.advance(seconds=1)
        if clock.now().second == 1:
            await keeper.work(clock.now())
    await keeper.work(clock.advance(seconds=2))

    live = [candle for candle in await stored(market, MINUTE) if candle.opened_at >= START]
    assert [candle.opened_at for candle in live] == [START + timedelta(minutes=number) for number in range(6)]
    for candle in live[1:]:
        seen = [
            quote.last
            for quote in ticks
            if quote.symbol == "AAPL" and candle.opened_at <= quote.as_of < candle.closes_at
        ]
        assert (candle.open, candle.high, candle.low, candle.close) == (seen[0], max(seen), min(seen), seen[-1])
    minutes = await stored(market, MINUTE)
    assert await stored(market, FIVE) == together(minutes, FIVE)
    assert await stored(market, HOUR) == together(minutes, HOUR)
    assert (await stored(market, DAY))[-1:] == together([each for each in minutes if each.opened_at >= TODAY], DAY)


async def test_work_when_a_minute_was_not_seen_from_its_beginning_then_it_is_the_feeds(
    market: Services, clock: ManualClock
) -> None:
    feed = SimulatedFeed(7, LISTINGS[:1])
    keeper = keeper_of(market, feed)
    await keeper.on_quotes(feed.quotes(clock.advance(seconds=30)))
    await keeper.work(clock.now())
    await keeper.on_quotes(feed.quotes(clock.advance(seconds=31)))
    await keeper.work(clock.now())
    assert (await stored(market, MINUTE))[-1:] == feed.candles("AAPL", MINUTE, START, START + LENGTHS[MINUTE])


@pytest.mark.parametrize("gap", [timedelta(minutes=90), timedelta(hours=20), timedelta(hours=40), timedelta(days=5)])
async def test_work_when_a_process_begins_after_a_gap_then_it_is_filled_and_nothing_is_counted_twice(
    market: Services, clock: ManualClock, gap: timedelta
) -> None:
    feed = SimulatedFeed(7, LISTINGS[:1])
    first = keeper_of(market, feed)
    await first.on_quotes(feed.quotes(clock.now()))
    await first.work(clock.now())
    now = clock.advance(seconds=gap.total_seconds())
    second = keeper_of(market, feed)
    await second.on_quotes(feed.quotes(now))
    await second.work(now)
    again = await counted(market)
    third = keeper_of(market, feed)
    await third.on_quotes(feed.quotes(now))
    await third.work(now)
    assert await counted(market) == again

    today = opening(DAY, now)
    days = await stored(market, DAY)
    begin = TODAY - timedelta(days=7)
    assert [day.opened_at for day in days] == [begin + timedelta(days=n) for n in range((today - begin).days + 1)]
    minutes = await stored(market, MINUTE)
    since = max(opening(HOUR, now - timedelta(days=1)), opening(HOUR, START - timedelta(days=1)))
    recent = [each for each in minutes if each.opened_at >= since]
    assert recent == feed.candles("AAPL", MINUTE, since, opening(MINUTE, now))
    hours = await stored(market, HOUR)
    assert hours == together(minutes, HOUR)
    for day in days[-2:]:
        parts = [
            each for each in hours if each.opened_at >= day.opened_at and opening(DAY, each.opened_at) == day.opened_at
        ]
        whole = len(parts) == 24 or day.opened_at == today
        assert [day] == (together(parts, DAY) if whole else feed.candles("AAPL", DAY, day.opened_at, day.closes_at))


async def test_work_when_days_were_imported_then_they_stay(market: Services) -> None:
    feed, keeper = SimulatedFeed(7, LISTINGS[:1]), keeper_of(market)
    imported = first_of("AAPL", DAY, TODAY - timedelta(days=3), D(1), D(1))
    await store(market, [imported])
    await keeper.on_quotes(feed.quotes(START))
    await keeper.work(START)
    days = await stored(market, DAY)
    assert days[0] == imported
    assert [day.opened_at for day in days] == [TODAY - timedelta(days=number) for number in (3, 2, 1, 0)]


async def test_work_when_old_minutes_were_imported_then_nothing_is_put_beside_them(market: Services) -> None:
    feed, keeper = SimulatedFeed(7, LISTINGS), keeper_of(market)
    long_ago = dataclasses.replace(a_minute(0, 10), opened_at=START - timedelta(days=30))
    await store(market, [long_ago])
    await keeper.on_quotes(feed.quotes(START))
    await keeper.work(START)
    since = opening(HOUR, START - timedelta(days=1))
    assert await stored(market, MINUTE) == [long_ago, *feed.candles("AAPL", MINUTE, since, START)]
    assert min(candle.opened_at for candle in await stored(market, DAY)) == TODAY - timedelta(days=7)


async def test_work_when_another_process_holds_the_lease_then_nothing_is_written(market: Services) -> None:
    keeper = keeper_of(market, term=lambda: 0)
    await keeper.on_quotes(SimulatedFeed(7, LISTINGS).quotes(START))
    await keeper.work(START + timedelta(minutes=5))
    assert await counted(market) == {}


async def test_work_when_another_held_the_lease_in_between_then_the_minute_that_it_saw_stays(
    market: Services, clock: ManualClock
) -> None:
    terms = [1, 1]
    here, there = [keeper_of(market, Silent(), lambda number=number: terms[number]) for number in range(2)]  # type: ignore[misc]
    await here.on_quotes([a_quote(START, 10, 5)])
    terms[0] = 0  # held up, and so not told of what comes
    for seconds, price in ((10, 12), (20, 11)):
        await there.on_quotes([a_quote(START + timedelta(seconds=seconds), price, 8)])
    clock.advance(minutes=1, seconds=2)
    await there.work(clock.now())
    whole = await stored(market, MINUTE)
    terms[:] = [2, 0]
    await here.on_quotes([a_quote(clock.now(), 11, 9)])
    await here.work(clock.now())
    assert await stored(market, MINUTE) == whole
    assert [candle.high for candle in whole] == [D(12)]


async def test_work_when_the_feed_has_no_history_then_what_was_seen_is_kept(
    market: Services, clock: ManualClock
) -> None:
    keeper = keeper_of(market, Silent())
    await keeper.on_quotes([a_quote(START, 10, 5)])
    await keeper.on_quotes([a_quote(START + timedelta(seconds=20), 12, 8)])
    await keeper.work(START + timedelta(minutes=1))
    assert await counted(market) == {}
    await keeper.work(clock.advance(minutes=1, seconds=2))
    [minute] = await stored(market, MINUTE)
    assert minute == Candle("AAPL", MINUTE, START, D(10), D(12), D(10), D(12), D(3))
    assert await counted(market) == {"ONE_DAY": 1, "ONE_HOUR": 1, "FIVE_MINUTES": 1, "ONE_MINUTE": 1}


async def test_start_when_minutes_are_closed_then_the_background_writes_them_until_stop(
    market: Services, clock: ManualClock
) -> None:
    keeper = keeper_of(market, Silent())
    await keeper.on_quotes([a_quote(START, 10, 5)])
    await keeper.on_quotes([a_quote(clock.advance(minutes=1), 11, 5)])
    await keeper.start()
    try:
        async with asyncio.timeout(10):
            while not await counted(market):  # noqa: ASYNC110 - the keeper wakes nobody
                await asyncio.sleep(0)
    finally:
        await keeper.stop()
    assert (await counted(market))["ONE_MINUTE"] == 1
