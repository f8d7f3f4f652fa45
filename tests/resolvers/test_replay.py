import dataclasses
from decimal import Decimal
from pathlib import Path

from infrastructure.feed import stored_quotes
from infrastructure.services import Services
from resolvers.floor import TradingFloor
from resolvers.marketdata.commands import seed_catalogue
from tests.support.clock import START


async def test_start_when_a_replay_is_set_then_its_quotes_are_the_market_and_end_by_going_stale(
    services: Services, tmp_path: Path
) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text("symbol,timestamp,bid,bid_size,ask,ask_size,last\nAAPL,2020-03-16T13:30Z,60,100,60.5,100,60.25\n")
    settings = services.settings.model_copy(update={"replay": path, "replay_speed": Decimal(10)})
    services = dataclasses.replace(services, settings=settings)
    await seed_catalogue(services)
    floor = TradingFloor(services)
    await floor.start()
    try:
        [quote] = services.quotes.all()
        assert (quote.symbol, quote.bid, quote.as_of) == ("AAPL", Decimal(60), START)
        assert await stored_quotes(services.database) == [quote]
        assert not services.quotes.stale(quote, START)
        assert services.quotes.stale(quote, START.replace(hour=15))
    finally:
        await floor.stop()
