"""Minutes go after some days, where their hour is kept; nothing else does."""

import dataclasses
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import func, insert, select

from infrastructure.candle_store import CANDLES, INSTRUMENTS, store_candles, store_minutes
from infrastructure.candles import CandleKeeper
from infrastructure.feed import SimulatedFeed
from infrastructure.rows import values
from infrastructure.services import Services
from models.candles import Candle, first_of, opening
from models.catalogue import CATALOGUE
from models.enums import CandleInterval
from models.marketdata import Quote
from resolvers.marketdata.commands import listed
from tests.support.clock import START, ManualClock

MINUTE, FIVE, HOUR, DAY = CandleInterval
ONE = Decimal(1)
KEPT_DAYS = 3


@pytest.fixture
async def market(services: Services) -> Services:
    """Services with two instruments, which keep minutes for three days."""
    async with services.database.write() as transaction:
        await transaction.execute(insert(INSTRUMENTS), [values(listed(listing)) for listing in CATALOGUE[:2]])
    kept = services.settings.model_copy(update={"minute_candle_days": KEPT_DAYS})
    return dataclasses.replace(services, settings=kept)


def minutes(symbol: str, since: datetime, count: int) -> list[Candle]:
    return [first_of(symbol, MINUTE, since + timedelta(minutes=number), ONE, ONE) for number in range(count)]


async def counted(services: Services, symbol: str) -> dict[CandleInterval, int]:
    statement = select(CANDLES.c.interval, func.count()).where(CANDLES.c.symbol == symbol).group_by(CANDLES.c.interval)
    async with services.database.read() as connection:
        return {row[0]: row[1] for row in await connection.execute(statement)}


async def kept(services: Services) -> CandleKeeper:
    """A keeper that has done a round."""
    keeper = CandleKeeper(services, SimulatedFeed(1, CATALOGUE[:2]), lambda: True)
    now = services.clock.now()
    quote = Quote("AAPL", ONE, ONE, ONE + 1, ONE, ONE, None, None, None, None, ONE, now)
    await keeper.on_quotes([quote])
    await keeper.work(now)
    return keeper


async def test_minutes_when_they_are_old_then_they_go_and_what_was_made_of_them_stays(market: Services) -> None:
    since = opening(HOUR, START) - timedelta(days=KEPT_DAYS, hours=2)
    async with market.database.write() as transaction:
        await store_minutes(transaction, minutes("AAPL", since + timedelta(minutes=7), 173))
    before = await counted(market, "AAPL")
    assert before == {MINUTE: 173, FIVE: 35, HOUR: 3, DAY: 1}
    await kept(market)
    # The third hour has not been there for three days; the first one had no minute at its beginning.
    assert await counted(market, "AAPL") == before | {MINUTE: 60}


async def test_minutes_when_a_keeper_was_away_for_months_then_they_go_too(market: Services) -> None:
    async with market.database.write() as transaction:
        await store_minutes(transaction, minutes("AAPL", opening(HOUR, START) - timedelta(days=200), 120))
    await kept(market)
    assert MINUTE not in await counted(market, "AAPL")


async def test_minutes_when_they_were_imported_without_their_hours_then_they_stay(market: Services) -> None:
    async with market.database.write() as transaction:
        await store_candles(transaction, minutes("MSFT", opening(HOUR, START) - timedelta(days=200), 120))
    await kept(market)
    assert await counted(market, "MSFT") == {MINUTE: 120}


async def test_minutes_when_an_hour_has_gone_by_then_the_next_ones_go(market: Services, clock: ManualClock) -> None:
    since = opening(HOUR, START) - timedelta(days=KEPT_DAYS)
    async with market.database.write() as transaction:
        await store_minutes(transaction, minutes("AAPL", since, 120))
    keeper = await kept(market)
    assert (await counted(market, "AAPL"))[MINUTE] == 120
    for after in (61, 1):  # and the minute that the keeper built itself
        clock.advance(minutes=45)
        await keeper.work(clock.now())
        assert (await counted(market, "AAPL"))[MINUTE] == after
