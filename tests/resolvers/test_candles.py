import asyncio
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import text

from infrastructure.candle_store import store_candles
from infrastructure.services import Services
from models.candles import Candle, first_of, opening
from models.catalogue import CATALOGUE
from models.enums import CandleInterval
from models.errors import BadRequest
from resolvers.marketdata.commands import seed_catalogue
from resolvers.marketdata.loaders import CandleKey, candles_statement
from resolvers.marketdata.queries import CandleChoice, candles
from tests.support.clock import START
from tests.support.market import statements
from tests.support.people import anonymous

MINUTE, HOUR, DAY = CandleInterval.ONE_MINUTE, CandleInterval.ONE_HOUR, CandleInterval.ONE_DAY
TODAY = opening(DAY, START)
SYMBOLS = [listing.symbol for listing in CATALOGUE[:12]]


def a_day(symbol: str, number: int) -> Candle:
    """The candle of so many days ago; its price says of which."""
    return first_of(symbol, DAY, TODAY - timedelta(days=number), Decimal(1000 - number))


def a_minute(symbol: str, number: int) -> Candle:
    return first_of(symbol, MINUTE, START - timedelta(minutes=number), Decimal(1000 - number))


@pytest.fixture
async def market(services: Services) -> Services:
    """A dozen symbols with 150 days and 200 minutes each; of the others nothing."""
    await seed_catalogue(services)
    found = [a_day(symbol, number) for symbol in SYMBOLS for number in range(150)]
    found += [a_minute(symbol, number) for symbol in SYMBOLS for number in range(200)]
    async with services.database.write() as transaction:
        await store_candles(transaction, found)
    return services


async def days_ago(services: Services, symbol: str = "AAPL", **chosen: object) -> list[int]:
    found = await candles(anonymous(services), symbol, CandleChoice(DAY, **chosen))  # type: ignore[arg-type]  # reason: the test's words
    assert all(candle.interval is DAY and candle.symbol == symbol for candle in found)
    return [1000 - int(candle.close) for candle in found]


def back(days: float) -> datetime:
    return TODAY - timedelta(days=days)


async def test_candles_when_nothing_is_said_then_the_last_hundred_come_by_time(market: Services) -> None:
    assert await days_ago(market) == [*range(99, -1, -1)]
    assert await days_ago(market, first=3) == [2, 1, 0]
    assert await days_ago(market, until=back(10), first=3) == [13, 12, 11]
    assert await days_ago(market, first=0) == []
    assert await days_ago(market, symbol="XLF") == []


async def test_candles_when_a_window_is_given_then_it_begins_with_from_and_ends_before_to(market: Services) -> None:
    assert await days_ago(market, since=back(5)) == [5, 4, 3, 2, 1, 0]
    assert await days_ago(market, since=back(5), until=back(2)) == [5, 4, 3]
    assert await days_ago(market, since=back(5.5), until=back(1.5), first=2) == [5, 4]
    assert await days_ago(market, since=back(900), first=2) == [149, 148]


@pytest.mark.parametrize(
    ("choice", "argument", "message"),
    [
        (CandleChoice(DAY, first=1001), "first", "`first` is 1001: it has to be between 0 and 1000."),
        (CandleChoice(DAY, first=-1), "first", "`first` is -1: it has to be between 0 and 1000."),
        (CandleChoice(DAY, since=TODAY, until=TODAY), "from", "`from` has to be earlier than `to`"),
        (CandleChoice(DAY, since=START + timedelta(seconds=1)), "from", "`from` has to be earlier than `to`"),
        (CandleChoice(MINUTE, since=START - timedelta(days=1)), "from", "There may be 1440 candles of ONE_MINUTE"),
    ],
)
async def test_candles_when_the_window_can_not_be_then_the_argument_is_named(
    market: Services, choice: CandleChoice, argument: str, message: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await candles(anonymous(market), "AAPL", choice)
    assert refused.value.argument == argument
    assert str(refused.value).startswith(message)


async def test_candles_when_many_instruments_are_asked_then_one_statement_answers_all(market: Services) -> None:
    ctx = anonymous(market)
    symbols = [*SYMBOLS, "NOPE"]
    with statements(market) as seen:
        found = await asyncio.gather(*(candles(ctx, symbol, CandleChoice(DAY, first=2)) for symbol in symbols))
    assert [[1000 - int(candle.close) for candle in each] for each in found] == [[1, 0]] * 12 + [[]]
    assert len([statement for statement in seen if "candles" in statement]) == 1


@pytest.mark.parametrize("since", [None, START - timedelta(minutes=90)])
async def test_candles_when_asked_for_then_the_plan_is_a_range_of_the_key(
    market: Services, since: datetime | None
) -> None:
    keys = [CandleKey(symbol, MINUTE, since, START, 10) for symbol in SYMBOLS[:3]]
    async with market.database.write() as transaction:
        await transaction.execute(text("ANALYZE candles"))
        compiled = candles_statement(keys).compile(
            transaction.connection.sync_connection.engine,  # type: ignore[union-attr]  # reason: it is open
            compile_kwargs={"literal_binds": True},
        )
        explain = "EXPLAIN" if market.database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        plan = "\n".join(str(row) for row in await transaction.connection.exec_driver_sql(f"{explain} {compiled}"))
    assert plan.count("candles_pkey" if market.database.dialect == "postgresql" else "USING PRIMARY KEY") == 3, plan
    for slow in ("Seq Scan", "SCAN candles", "TEMP B-TREE", "Sort"):
        assert slow not in plan
