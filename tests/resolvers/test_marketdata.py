import asyncio
import dataclasses
from decimal import Decimal

import pytest
from sqlalchemy import func, insert, select, update

from infrastructure.feed import SimulatedFeed, store_quotes
from infrastructure.rows import columns, table, values
from infrastructure.services import Services
from models.catalogue import CATALOGUE
from models.enums import AssetClass
from models.errors import BadRequest
from models.marketdata import Instrument, InstrumentRow
from resolvers.marketdata.commands import seed_catalogue
from resolvers.marketdata.loaders import quotes_by_symbol
from resolvers.marketdata.queries import (
    InstrumentChoice,
    instrument,
    instruments,
    instruments_in,
    latest_quote,
    quotes_in,
)
from resolvers.paging import PageArgs
from tests.support.clock import START
from tests.support.market import statements
from tests.support.people import anonymous

INSTRUMENTS = table(InstrumentRow)
BITCOIN = Instrument(
    symbol="BTC-USD",
    name="Bitcoin",
    asset_class=AssetClass.CRYPTO,
    currency="USD",
    tick_size=Decimal("0.01"),
    lot_size=Decimal("0.00001"),
    multiplier=Decimal(1),
    tradable=True,
)


@pytest.fixture
async def market(services: Services) -> Services:
    """Services with the first catalogue in the database."""
    await seed_catalogue(services)
    return services


async def chosen(services: Services, choice: InstrumentChoice) -> list[str]:
    page = await instruments(anonymous(services), PageArgs(first=100), choice)
    return [found.symbol for found in page.items]


async def add(services: Services, symbol: str, name: str) -> None:
    row = values(dataclasses.replace(BITCOIN, symbol=symbol, name=name))
    async with services.database.write() as transaction:
        await transaction.execute(insert(INSTRUMENTS).values(**row))


async def test_seed_catalogue_when_the_table_is_empty_then_every_listing_is_in_it(market: Services) -> None:
    async with market.database.read() as connection:
        rows = await connection.execute(select(*columns(InstrumentRow, Instrument)))
        found = {row.symbol: Instrument(*row) for row in rows}
    assert found.keys() == {listing.symbol for listing in CATALOGUE}
    assert len(found) == 30
    assert found["BTC-USD"] == BITCOIN


async def test_seed_catalogue_when_done_again_then_what_is_there_stays_and_what_is_missing_comes(
    market: Services,
) -> None:
    async with market.database.write() as transaction:
        await transaction.execute(update(INSTRUMENTS).where(INSTRUMENTS.c.symbol == "AAPL").values(tradable=False))
        await transaction.execute(INSTRUMENTS.delete().where(INSTRUMENTS.c.symbol == "BTC-USD"))
    await asyncio.gather(*(seed_catalogue(market) for _ in range(4)))
    ctx = anonymous(market)
    apple, bitcoin = await asyncio.gather(instrument(ctx, "AAPL"), instrument(ctx, "BTC-USD"))
    assert apple is not None
    assert apple.tradable is False
    assert bitcoin == BITCOIN
    async with market.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(INSTRUMENTS))).scalar_one() == 30


async def test_instrument_when_many_are_asked_for_at_once_then_one_statement_answers_all(market: Services) -> None:
    ctx = anonymous(market)
    symbols = ["TSLA", "AAPL", "NOPE", "aapl", "", "AAPL"]
    with statements(market) as seen:
        found = await asyncio.gather(*(instrument(ctx, symbol) for symbol in symbols))
    assert [each and each.symbol for each in found] == ["TSLA", "AAPL", None, None, None, "AAPL"]
    assert len([statement for statement in seen if "instruments" in statement]) == 1


async def test_latest_quote_when_asked_then_memory_answers_without_a_statement(market: Services) -> None:
    quotes = SimulatedFeed(1, CATALOGUE).quotes(START)
    market.quotes.put(quotes)
    ctx = anonymous(market)
    with statements(market) as seen:
        found = await asyncio.gather(latest_quote(ctx, "MSFT"), latest_quote(ctx, "NOPE"), latest_quote(ctx, "AAPL"))
    assert list(found) == [quotes[1], None, quotes[0]]
    assert await quotes_by_symbol(ctx, ["AAPL", "NOPE"]) == [quotes[0], None]
    assert [statement for statement in seen if "quotes" in statement] == []


async def test_quotes_in_when_inside_a_transaction_then_the_table_answers_exactly_and_not_memory(
    market: Services,
) -> None:
    quotes = SimulatedFeed(1, CATALOGUE).quotes(START)
    await store_quotes(market.database, quotes)
    market.quotes.put([dataclasses.replace(quotes[0], last=Decimal(1))])
    async with market.database.write() as transaction:
        found = await quotes_in(transaction.connection, {"AAPL", "BTC-USD", "NOPE"})
        assert await quotes_in(transaction.connection, []) == {}
    assert found == {quote.symbol: quote for quote in quotes if quote.symbol in {"AAPL", "BTC-USD"}}


async def test_instruments_in_when_inside_a_transaction_then_those_that_there_are_come_by_symbol(
    market: Services,
) -> None:
    async with market.database.write() as transaction:
        found = await instruments_in(transaction.connection, ["BTC-USD", "NOPE"])
    assert found == {"BTC-USD": BITCOIN}


@pytest.mark.parametrize(
    ("choice", "symbols"),
    [
        (InstrumentChoice(asset_class=AssetClass.CRYPTO), "ADA-USD BTC-USD DOGE-USD ETH-USD SOL-USD XRP-USD"),
        (InstrumentChoice(asset_class=AssetClass.BOND), ""),
        (InstrumentChoice(symbols=("TSLA", "NOPE", "AAPL")), "AAPL TSLA"),
        (InstrumentChoice(symbols=()), ""),
        (InstrumentChoice(search="BiTcO"), "BTC-USD"),
        (InstrumentChoice(search="aap"), "AAPL"),
        (InstrumentChoice(search=" trust"), "GLDX QQQ SPY"),
        (InstrumentChoice(search="s&p"), "SPY"),
        (InstrumentChoice(search="%"), "HALF"),
        (InstrumentChoice(search="_"), "A_B"),
        (InstrumentChoice(search="/"), "A/B"),
        (InstrumentChoice(search="\\"), "A\\B"),
        (InstrumentChoice(search="a_b"), "A_B"),
        (InstrumentChoice(search="usd", asset_class=AssetClass.CRYPTO, symbols=("BTC-USD", "AAPL")), "BTC-USD"),
    ],
)
async def test_instruments_when_filtered_then_only_what_matches_everything_comes(
    market: Services, choice: InstrumentChoice, symbols: str
) -> None:
    odd = {"HALF": "50% off", "A_B": "Under", "A/B": "Slash", "A\\B": "Back", "AXB": "Between", "GLDX": "Gold Trust"}
    if choice.asset_class is None:
        for symbol, name in odd.items():
            await add(market, symbol, name)
    assert await chosen(market, choice) == symbols.split()


async def test_instruments_when_the_search_is_empty_then_all_match(market: Services) -> None:
    assert len(await chosen(market, InstrumentChoice(search=""))) == 30


@pytest.mark.parametrize(
    ("choice", "argument"),
    [
        (InstrumentChoice(search="x" * 101), "search"),
        (InstrumentChoice(symbols=tuple(str(number) for number in range(501))), "symbols"),
    ],
)
async def test_instruments_when_the_filter_is_too_long_then_it_is_refused_by_name(
    market: Services, choice: InstrumentChoice, argument: str
) -> None:
    with pytest.raises(BadRequest) as refused:
        await instruments(anonymous(market), PageArgs(), choice)
    assert refused.value.argument == argument
