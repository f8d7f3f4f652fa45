import asyncio
import dataclasses
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import create_async_engine
from structlog.testing import capture_logs

from infrastructure import feed as feed_module
from infrastructure.feed import FeedRunner, SimulatedFeed, store_quotes, stored_quotes
from infrastructure.leases import LEASES
from infrastructure.quotes import QuoteBoard
from infrastructure.rows import table, values
from infrastructure.services import Services
from models.candles import Candle
from models.catalogue import CATALOGUE
from models.enums import CandleInterval
from models.marketdata import InstrumentRow, Quote
from models.simulation import quote_at
from tests.support.clock import START, ManualClock

LISTINGS = CATALOGUE[:3]


def a_quote(symbol: str = "AAPL", as_of: datetime = START, last: str = "270") -> Quote:
    price, size = Decimal(last), Decimal(100)
    return Quote(symbol, price, size, price + 1, size, price, None, None, None, None, Decimal(0), as_of)


class Market:
    """A feed whose price begins at 270 and rises by one each time it is asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def quotes(self, now: datetime) -> list[Quote]:
        self.asked += 1
        return [a_quote(as_of=now, last=str(269 + self.asked))]

    def candles(self, symbol: str, interval: CandleInterval, since: datetime, until: datetime) -> list[Candle]:  # noqa: ARG002 - the port's signature
        return []


class Silent(Market):
    """One that has no quotes."""

    def quotes(self, now: datetime) -> list[Quote]:  # noqa: ARG002 - the port's signature
        return []


@pytest.fixture
async def catalogue(services: Services) -> None:
    rows = [values(listing) | {"currency": "USD", "multiplier": Decimal(1), "tradable": True} for listing in LISTINGS]
    known = table(InstrumentRow).c.keys()
    async with services.database.write() as transaction:
        for row in rows:
            kept = {name: value for name, value in row.items() if name in known}
            await transaction.execute(insert(table(InstrumentRow)).values(**kept))


def other_process(services: Services) -> Services:
    return dataclasses.replace(services, quotes=QuoteBoard(services.settings.quote_stale_after_ms))


def lasts(quotes: list[Quote]) -> list[int]:
    return [int(quote.last) for quote in quotes]


def test_simulated_feed_when_asked_then_it_quotes_every_listing_as_the_model_does() -> None:
    quotes = SimulatedFeed(7, LISTINGS).quotes(START)
    assert [values(quote) for quote in quotes] == [values(quote_at(7, listing, START)) for listing in LISTINGS]
    assert {type(quote) for quote in quotes} == {Quote}
    assert SimulatedFeed(7, LISTINGS).quotes(START) == quotes != SimulatedFeed(8, LISTINGS).quotes(START)


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_it_is_the_first_then_board_table_and_listeners_have_its_quotes(
    services: Services,
) -> None:
    feed = SimulatedFeed(7, LISTINGS)
    runner = FeedRunner(services, feed)
    told: list[list[Quote]] = []
    in_table: list[list[Quote]] = []

    async def listen(quotes: list[Quote]) -> None:
        told.append(quotes)
        in_table.append(await stored_quotes(services.database))

    runner.listeners.append(listen)
    await runner.tick(START)

    expected = feed.quotes(START)
    assert services.quotes.all() == expected
    assert told == [expected]
    assert [sorted(found, key=lambda quote: quote.symbol) for found in in_table] == [
        sorted(expected, key=lambda quote: quote.symbol)
    ]


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_less_than_a_second_has_gone_then_only_the_board_moves_on(
    services: Services, clock: ManualClock
) -> None:
    runner = FeedRunner(services, Market())
    told: list[int] = []

    async def listen(quotes: list[Quote]) -> None:
        told.extend(lasts(quotes))

    runner.listeners.append(listen)
    seen = []
    for _ in range(6):
        await runner.tick(clock.now())
        seen.append((lasts(services.quotes.all()), lasts(await stored_quotes(services.database))))
        clock.advance(milliseconds=400)
    assert seen == [
        ([270], [270]),
        ([271], [270]),
        ([272], [270]),
        ([273], [273]),
        ([274], [273]),
        ([275], [273]),
    ]
    assert told == [270, 273]


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_another_process_has_the_lease_then_the_board_follows_the_table(
    services: Services, clock: ManualClock
) -> None:
    market, idle = Market(), Market()
    holder, follower = FeedRunner(services, market), FeedRunner(other := other_process(services), idle)
    told: list[list[Quote]] = []

    async def listen(quotes: list[Quote]) -> None:
        told.append(quotes)

    follower.listeners.append(listen)
    await holder.tick(clock.now())
    await follower.tick(clock.now())
    assert lasts(other.quotes.all()) == [270]
    await holder.tick(clock.advance(seconds=1))
    await follower.tick(clock.now())
    assert lasts(other.quotes.all()) == [271]
    assert (idle.asked, told) == (0, [])


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_the_holder_stops_asking_then_another_takes_over_and_each_quote_is_told_once(
    services: Services, clock: ManualClock
) -> None:
    first, second = FeedRunner(services, Market()), FeedRunner(other_process(services), Market())
    told: list[tuple[str, datetime]] = []

    async def listen(quotes: list[Quote]) -> None:
        told.extend((quote.symbol, quote.as_of) for quote in quotes)

    first.listeners.append(listen)
    second.listeners.append(listen)
    moments = [START, *(START + timedelta(seconds=seconds) for seconds in (6, 7, 8))]
    await first.tick(moments[0])
    await second.tick(moments[0])
    clock.advance(seconds=6)
    for moment in moments[1:]:
        await second.tick(moment)
        await first.tick(moment)
        clock.advance(seconds=1)
    assert told == [("AAPL", moment) for moment in moments]


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_another_had_the_lease_unnoticed_then_its_quotes_are_read_and_the_term_is_another(
    services: Services, clock: ManualClock
) -> None:
    here, there = FeedRunner(services, Silent()), FeedRunner(other_process(services), Market())
    await here.tick(clock.now())
    assert (here.holding, services.quotes.all()) == (True, [])
    term = here.term
    clock.advance(seconds=6)  # it is held up
    assert (here.holding, here.term) == (False, 0)
    await there.tick(clock.now())
    await there.stop()

    await here.tick(clock.advance(seconds=1))
    assert lasts(services.quotes.all()) == [270]
    assert (here.holding, here.term in (0, term)) == (True, False)


@pytest.mark.usefixtures("catalogue")
async def test_store_quotes_when_the_table_has_a_later_one_then_it_stays_unreported(
    services: Services,
) -> None:
    late = a_quote("MSFT", START + timedelta(seconds=1), "480")
    await store_quotes(services.database, [late, a_quote("AAPL")])

    newer = a_quote("AAPL", START + timedelta(seconds=1), "275")
    given = [a_quote("MSFT", last="999"), newer, a_quote("NVDA")]
    assert await store_quotes(services.database, given) == [newer, a_quote("NVDA")]
    assert await store_quotes(services.database, given) == []
    found = {quote.symbol: quote for quote in await stored_quotes(services.database)}
    assert found == {"MSFT": late, "AAPL": newer, "NVDA": a_quote("NVDA")}


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_the_database_is_gone_then_memory_goes_on_and_the_table_follows_when_it_is_back(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = FeedRunner(services, Market())
    told: list[int] = []

    async def listen(quotes: list[Quote]) -> None:
        told.extend(lasts(quotes))

    runner.listeners.append(listen)
    await runner.tick(clock.now())
    nowhere = create_async_engine("postgresql+asyncpg://nobody@127.0.0.1:1/nothing")
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(services.database, "writer", nowhere)
        await runner.tick(clock.advance(seconds=1))  # the lease still holds, the table fails
        await runner.tick(clock.advance(seconds=1))  # the lease can't be renewed
        assert [runner.holding] == [True]
        await runner.tick(clock.advance(seconds=3))  # nor is it held any longer
    assert [runner.holding] == [False]
    assert lasts(services.quotes.all()) == [273]
    assert lasts(await stored_quotes(services.database)) == told == [270]
    assert [entry["event"] for entry in logs] == ["the quotes were not kept, trying again"] * 3

    await runner.tick(clock.advance(milliseconds=1))
    assert [runner.holding] == [True]
    assert lasts(await stored_quotes(services.database)) == [274]
    assert told == [270, 274]


async def test_tick_when_a_symbol_is_outside_the_catalogue_then_it_is_logged_and_nobody_is_told(
    services: Services,
) -> None:
    runner = FeedRunner(services, Market())
    with capture_logs() as logs:
        await runner.tick(START)
    assert lasts(services.quotes.all()) == [270]
    assert await stored_quotes(services.database) == []
    assert [entry["log_level"] for entry in logs] == ["warning"]


@pytest.mark.usefixtures("catalogue")
async def test_tick_when_a_listener_fails_then_it_is_logged_and_the_others_are_told(services: Services) -> None:
    runner = FeedRunner(services, Market())
    told: list[int] = []

    async def fail(_quotes: list[Quote]) -> None:
        raise RuntimeError("no")

    async def listen(quotes: list[Quote]) -> None:
        told.extend(lasts(quotes))

    runner.listeners += [fail, listen]
    with capture_logs() as logs:
        await runner.tick(START)
    assert told == [270]
    assert [(entry["log_level"], str(entry["exc_info"])) for entry in logs] == [("error", "no")]


@pytest.mark.usefixtures("catalogue")
async def test_start_when_it_returns_then_there_are_quotes_and_they_go_on_until_stop_gives_up_the_lease(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEEP_S", 0.01)
    settings = services.settings.model_copy(update={"feed_interval_ms": 10})
    market = Market()
    runner = FeedRunner(dataclasses.replace(services, settings=settings), market)
    told: asyncio.Queue[list[Quote]] = asyncio.Queue()
    runner.listeners.append(told.put)
    await runner.start()
    try:
        assert [quote.as_of for quote in services.quotes.all()] == [START]
        assert lasts(await stored_quotes(services.database)) == lasts(await told.get()) == [270]
        for _ in range(3):
            now = clock.advance(seconds=1)
            quotes = await told.get()
            assert [quote.as_of for quote in quotes] == [now]
    finally:
        await runner.stop()
    asked = market.asked
    async with services.database.read() as connection:
        assert (await connection.execute(select(LEASES))).all() == []
    await FeedRunner(other_process(services), Market()).tick(clock.advance(seconds=1))
    assert market.asked == asked


@pytest.mark.usefixtures("catalogue")
async def test_start_when_a_listener_takes_its_time_then_quotes_in_memory_go_on(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEEP_S", 0.01)
    settings = services.settings.model_copy(update={"feed_interval_ms": 10})
    runner = FeedRunner(dataclasses.replace(services, settings=settings), Market())
    reached = asyncio.Event()

    async def never_done(_quotes: list[Quote]) -> None:
        reached.set()
        await asyncio.Event().wait()

    await runner.start()
    runner.listeners.append(never_done)
    clock.advance(seconds=1)
    try:
        await reached.wait()
        now = clock.advance(seconds=1)
        while [quote.as_of for quote in services.quotes.all()] != [now]:  # noqa: ASYNC110 - the board wakes nobody
            await asyncio.sleep(0)
    finally:
        await runner.stop()
    assert [quote.as_of for quote in await stored_quotes(services.database)] == [START + timedelta(seconds=1)]
