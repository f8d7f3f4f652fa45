from datetime import timedelta
from decimal import Decimal

from infrastructure.candle_store import store_candles
from infrastructure.services import Services
from models.candles import first_of, opening, with_price
from models.enums import CandleInterval
from resolvers.marketdata.commands import seed_catalogue
from tests.support.clock import START
from tests.support.market import statements
from tests.support.wire import Client

DAY = CandleInterval.ONE_DAY
TODAY = opening(DAY, START)

ASK = """
query Candles($from: DateTime, $to: DateTime, $first: Int) {
  instruments(first: 30) {
    edges { node { symbol candles(interval: ONE_DAY, from: $from, to: $to, first: $first) {
      openedAt open high low close volume
    } } }
  }
}
"""


async def test_candles_when_a_page_of_instruments_asks_then_they_come_exactly_in_one_statement(
    client: Client, services: Services
) -> None:
    await seed_catalogue(services)
    yesterday = with_price(first_of("AAPL", DAY, TODAY - timedelta(days=1), Decimal("10.50"), Decimal(3)), Decimal(9))
    async with services.database.write() as transaction:
        await store_candles(transaction, [yesterday, first_of("MSFT", DAY, TODAY, Decimal("20.10"))])
    with statements(services) as seen:
        answer = await client.data(ASK)
    found = {edge["node"]["symbol"]: edge["node"]["candles"] for edge in answer["instruments"]["edges"]}
    assert len(found) == 30
    assert found["AAPL"] == [
        {
            "openedAt": "2026-01-04T00:00:00.000000Z",
            "open": "10.5",
            "high": "10.5",
            "low": "9",
            "close": "9",
            "volume": "3",
        }
    ]
    assert [each["open"] for each in found["MSFT"]] == ["20.1"]
    assert found["TSLA"] == []
    assert len([statement for statement in seen if "candles" in statement]) == 1


async def test_market_clock_when_the_market_never_closes_then_nothing_is_said_of_what_comes_next(
    client: Client,
) -> None:
    answer = await client.data("{ marketClock { now open nextOpen nextClose } }")
    never = {"open": True, "nextOpen": None, "nextClose": None}
    assert answer["marketClock"] == {"now": "2026-01-05T14:30:00.000000Z", **never}
