import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, select

from infrastructure.candle_store import CANDLES, INSTRUMENTS
from infrastructure.feed import stored_quotes
from infrastructure.rows import columns, read_all
from infrastructure.services import Services
from models.candles import Candle, CandleRow
from models.enums import AssetClass, CandleInterval
from models.marketdata import Instrument, InstrumentRow
from resolvers.marketdata.commands import seed_catalogue
from resolvers.marketdata.imports import (
    Imported,
    ImportRefused,
    import_candles,
    import_instruments,
    import_quotes,
    replayed_quotes,
)
from resolvers.marketdata.imports.candles import CandleFile
from resolvers.marketdata.imports.instruments import InstrumentFile
from resolvers.marketdata.imports.quotes import QuoteFile
from tests.support.clock import START
from tests.support.csvfiles import daily_rows, write

D = Decimal
PAGE_TEXT = (Path(__file__).resolve().parents[2] / "docs" / "market-data.md").read_text(encoding="utf-8")
DAY, HOUR = CandleInterval.ONE_DAY, CandleInterval.ONE_HOUR
GOOD = "2025-01-02,10,12,9,11,11,100"
QUOTE_HEADER = "symbol,timestamp,bid,bid_size,ask,ask_size,last"
INSTRUMENT_HEADER = "Symbol,Name,Asset Class,Currency,Tick Size,Lot Size"


@pytest.fixture
async def market(services: Services) -> Services:
    """With the catalogue."""
    await seed_catalogue(services)
    return services


async def candles(services: Services) -> list[Candle]:
    async with services.database.read() as connection:
        statement = select(*columns(CandleRow, Candle)).order_by(CANDLES.c.opened_at)
        return await read_all(connection, Candle, statement)


async def instrument(services: Services, symbol: str) -> Instrument | None:
    statement = select(*columns(InstrumentRow, Instrument)).where(INSTRUMENTS.c.symbol == symbol)
    async with services.database.read() as connection:
        return next(iter(await read_all(connection, Instrument, statement)), None)


async def bring(
    services: Services, path: Path, symbol: str | None = "AAPL", *, replace: bool = False, check: bool = False
) -> Imported:
    return await import_candles(services, CandleFile(path, DAY, symbol), replace=replace, check=check)


async def faults_of(services: Services, path: Path, interval: CandleInterval = DAY) -> list[str]:
    with pytest.raises(ImportRefused) as refused:
        await import_candles(services, CandleFile(path, interval, "AAPL"))
    async with services.database.read() as connection:
        assert (await connection.execute(select(func.count()).select_from(CANDLES))).scalar_one() == 0
    assert len(refused.value.faults) == min(refused.value.count, 20)
    return [str(fault) for fault in refused.value.faults]


# ---------------------------------------------------------------- candles


async def test_candles_when_a_real_file_is_imported_then_every_day_is_there_exactly(
    market: Services, tmp_path: Path
) -> None:
    rows = daily_rows()
    lines = [row.text for row in rows]
    twice = [*lines[:100], lines[99], *lines[100:], lines[7]]
    read: list[int] = []
    path = write(tmp_path / "prices.csv", twice)
    done = await import_candles(market, CandleFile(path, DAY, "AAPL"), progress=read.append)

    assert len(rows) > 4000
    assert (done.written, done.repeated, done.older, done.symbols) == (len(rows), 2, 0, ("AAPL",))
    assert (done.first, done.last) == tuple(
        datetime(day.year, day.month, day.day, tzinfo=UTC) for day in (rows[0].day, rows[-1].day)
    )
    found = await candles(market)
    assert [candle.opened_at.date() for candle in found] == [row.day for row in rows]
    assert [(each.open, each.high, each.low, each.close, each.volume) for each in found] == [row.values for row in rows]
    [split] = done.warnings
    assert (done.warning_count, split.line) == (1, len(rows) // 2 + 3)
    assert "a split?" in split.reason
    assert done.notes == ("The column Adj Close is not used",)
    assert read[-1] == path.stat().st_size


async def test_candles_when_a_file_has_faults_then_each_is_named_by_line_and_nothing_is_written(
    market: Services, tmp_path: Path
) -> None:
    lines = [row.text for row in daily_rows()]
    for number, text in {
        10: "2025-01-02,nan,12,9,11,11,100",
        20: "2025-01-02,10,12,,11,11,100",
        30: "2025-01-02,10,12,-9,11,11,100",
        40: "2025-01-02,10,12,0,11,11,100",
        50: "02/01/2025,10,12,9,11,11,100",
        60: "2025-02-30,10,12,9,11,11,100",
        70: "2025-01-02,10,8,9,11,11,100",
        80: "2025-01-02,10,12,9,13,11,100",
        90: '2025-01-02,"1,0",12,9,11,11,100',
        100: "2025-01-02,10,12,9,11,11",
        110: "2025-01-02,10,12,9,11,11,1e5",
        120: "2026-02-01,10,12,9,11,11,100",
    }.items():
        lines[number - 1] = text
    lines[130] = f"{lines[129].partition(',')[0]},10,12,9,11,11,100"
    assert await faults_of(market, write(tmp_path / "prices.csv", lines)) == [
        'line 11, Open: "nan" is no number (digits with a point, commas only between thousands)',
        "line 21, Low: is empty",
        'line 31, Low: "-9" is negative',
        'line 41, Low: "0" is zero',
        'line 51, Date: "02/01/2025" is no ISO date or time, like 2026-01-31 or 2026-01-31T09:30:00Z',
        'line 61, Date: "2025-02-30" does not exist',
        "line 71, High: 8 is below the low, 9",
        "line 81, Close: 13 is not between low and high, 9 and 12",
        'line 91, Open: "1,0" is no number (digits with a point, commas only between thousands)',
        "line 101: has 6 cells where the header has 7",
        'line 111, Volume: "1e5" is no number (digits with a point, commas only between thousands)',
        "line 121, Date: lies in the future",
        "line 132: is another candle of the same time as line 131",
    ]


async def test_candles_when_there_are_many_faults_then_twenty_are_shown_and_all_counted(
    market: Services, tmp_path: Path
) -> None:
    path = write(tmp_path / "prices.csv", ["2025-01-02,,12,9,11,11,100"] * 50)
    with pytest.raises(ImportRefused) as refused:
        await bring(market, path)
    assert (len(refused.value.faults), refused.value.count) == (20, 50)


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("", "line 1: the file is empty"),
        ("Date,Open,High,Low,Close", "line 1, volume: there is no such column (it may be called volume or vol)"),
        ("Date,Time,Open,High,Low,Close,Volume", "line 1, Time: stands for date, as Date does"),
    ],
)
async def test_candles_when_the_header_is_wrong_then_that_is_the_fault(
    market: Services, tmp_path: Path, header: str, fault: str
) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(f"{header}\n{GOOD}\n" if header else "")
    assert await faults_of(market, path) == [fault]


async def test_candles_when_the_file_is_no_text_then_that_is_the_fault(market: Services, tmp_path: Path) -> None:
    latin = write(tmp_path / "latin.csv", [GOOD, "2025-01-03,10,12,9,11,11,1\u00a0000"], encoding="latin-1")
    assert await faults_of(market, latin) == ["line 1: the file is not UTF-8 from somewhere near here on"]
    quoted = write(tmp_path / "quoted.csv", [GOOD, '2025-01-03,"10"1,12,9,11,11,1'])
    [fault] = await faults_of(market, quoted)
    assert fault.startswith("line 3: is no CSV: ")


async def test_candles_when_the_columns_are_called_otherwise_then_they_are_found(
    market: Services, tmp_path: Path
) -> None:
    path = tmp_path / "prices.csv"
    path.write_text(
        "\n VOL ;Ticker;time;CLOSE;low;High;OPEN;\n\n1.5;MSFT;2025/01/03 16:00;11;9;12;10.123456789;\n"
        "2;AAPL;2025-01-02T00:00:00-05:00; 11 ;9;12;+10.;\n;;;;;;;\n",
    )
    done = await bring(market, path, None)
    assert done.notes == (
        "The column 8 is not used",
        "A number with more than 8 decimal places was rounded, half to even",
    )
    january = datetime(2025, 1, 2, tzinfo=UTC)
    assert await candles(market) == [
        Candle("AAPL", DAY, january, D(10), D(12), D(9), D(11), D(2)),
        Candle("MSFT", DAY, january + timedelta(days=1), D("10.12345679"), D(12), D(9), D(11), D("1.5")),
    ]


async def test_candles_when_they_are_shorter_then_each_begins_where_one_can(market: Services, tmp_path: Path) -> None:
    rows = ["2025-01-02 09:00:00.000+01:00,10,12,9,11,11,100", "2025-01-02T09:00Z,10,12,9,11,11,100"]
    await import_candles(market, CandleFile(write(tmp_path / "hours.csv", rows), HOUR, "AAPL"))
    assert [candle.opened_at.hour for candle in await candles(market)] == [8, 9]
    async with market.database.write() as transaction:
        await transaction.execute(CANDLES.delete())
    odd = write(tmp_path / "odd.csv", ["2025-01-02T09:30Z,10,12,9,11,11,100"])
    assert await faults_of(market, odd, HOUR) == [
        'line 2, Date: "2025-01-02T09:30Z" is not where a ONE_HOUR candle begins in UTC'
    ]


async def test_candles_when_it_is_not_clear_whose_they_are_then_they_are_refused(
    market: Services, tmp_path: Path
) -> None:
    header = "Symbol,Date,Open,High,Low,Close,Volume"
    rows = ["MSFT,2025-01-02,10,12,9,11,1", "NOPE,2025-01-02,10,12,9,11,1", "<b>,2025-01-02,10,12,9,11,1"]
    path = write(tmp_path / "prices.csv", rows, header=header)
    assert await faults_of(market, path) == [
        "line 2, Symbol: is MSFT, and --symbol says AAPL",
        "line 3, Symbol: is NOPE, and --symbol says AAPL",
        'line 4, Symbol: "<b>" is no symbol (capitals, digits and .-_/^=, 32 at most)',
    ]
    for symbol, words in ((None, "say with --symbol whose these are"), ("NOPE", "there is no instrument NOPE")):
        with pytest.raises(ImportRefused, match=words):
            await bring(market, write(tmp_path / "bare.csv", [GOOD]), symbol)


async def test_candles_when_they_are_there_already_then_they_are_written_over_or_removed_first(
    market: Services, tmp_path: Path
) -> None:
    old = [f"2025-01-{day:02},10,12,9,11,11,100" for day in range(1, 6)]
    await bring(market, write(tmp_path / "old.csv", old))
    new = write(tmp_path / "new.csv", ["2025-01-02,20,22,19,21,21,200"])

    assert (await bring(market, new, check=True)).written == 1
    assert [int(candle.open) for candle in await candles(market)] == [10, 10, 10, 10, 10]
    await bring(market, new)
    assert [int(candle.open) for candle in await candles(market)] == [10, 20, 10, 10, 10]
    await bring(market, new, replace=True)
    assert [int(candle.open) for candle in await candles(market)] == [20]


async def test_candles_when_the_newest_day_comes_first_then_a_split_is_still_seen_once(
    market: Services, tmp_path: Path
) -> None:
    rows = daily_rows(years=2)
    done = await bring(market, write(tmp_path / "prices.csv", [row.text for row in reversed(rows)]))
    assert (done.written, done.warning_count) == (len(rows), 1)


# ---------------------------------------------------------------- quotes


def a_quote(symbol: str, second: int, bid: int) -> str:
    return f"{symbol},2026-01-05T14:29:{second:02}Z,{bid},100,{bid + 1},100,{bid}"


async def test_quotes_when_imported_then_the_latest_of_each_symbol_is_kept_if_it_is_newer(
    market: Services, tmp_path: Path
) -> None:
    rows = [a_quote("AAPL", 1, 10), a_quote("AAPL", 3, 12), a_quote("AAPL", 2, 11), a_quote("MSFT", 1, 20)]
    path = write(tmp_path / "quotes.csv", [*rows, rows[0]], header=QUOTE_HEADER)
    assert (await import_quotes(market, QuoteFile(path), check=True)).written == 2
    assert await stored_quotes(market.database) == []
    done = await import_quotes(market, QuoteFile(path))
    assert (done.written, done.older, done.repeated) == (2, 0, 1)
    assert {quote.symbol: int(quote.bid) for quote in await stored_quotes(market.database)} == {"AAPL": 12, "MSFT": 20}
    more = write(tmp_path / "more.csv", [a_quote("AAPL", 2, 99), a_quote("MSFT", 9, 21)], header=QUOTE_HEADER)
    done = await import_quotes(market, QuoteFile(more))
    assert (done.written, done.older) == (1, 1)
    assert {quote.symbol: int(quote.bid) for quote in await stored_quotes(market.database)} == {"AAPL": 12, "MSFT": 21}


async def test_quotes_when_a_file_has_faults_then_nothing_is_written(market: Services, tmp_path: Path) -> None:
    rows = [
        a_quote("AAPL", 1, 10),
        a_quote("AAPL", 1, 11),
        "AAPL,2026-01-05T14:29:05Z,10,100,9,100,10",
        "AAPL,2026-01-05T15:00:00Z,10,100,11,100,10",
        "AAPL,2026-01-05T14:29:05Z,10,-1,11,100,10",
        "NOPE,2026-01-05T14:29:05Z,10,1,11,100,10",
    ]
    with pytest.raises(ImportRefused) as refused:
        await import_quotes(market, QuoteFile(write(tmp_path / "quotes.csv", rows, header=QUOTE_HEADER)))
    assert [str(fault) for fault in refused.value.faults] == [
        "line 3: is another quote of the same time as line 2",
        "line 4, ask: 9 is below the bid, 10",
        "line 5, timestamp: lies in the future",
        'line 6, bid_size: "-1" is negative',
        "line 7, symbol: there is no instrument NOPE: import it first",
    ]
    assert await stored_quotes(market.database) == []


async def test_replayed_quotes_when_a_file_is_in_order_then_they_come_one_by_one(
    market: Services, tmp_path: Path
) -> None:
    rows = [a_quote("AAPL", 1, 10), a_quote("MSFT", 1, 20), a_quote("MSFT", 1, 20), a_quote("AAPL", 5, 11)]
    quotes = await replayed_quotes(market, write(tmp_path / "quotes.csv", rows, header=QUOTE_HEADER))
    assert [(quote.symbol, int(quote.bid), quote.as_of.second) for quote in quotes] == [
        ("AAPL", 10, 1),
        ("MSFT", 20, 1),
        ("AAPL", 11, 5),
    ]
    for wrong, words in (([rows[3], rows[0]], "line 3, timestamp: is earlier"), ([], "there is no quote in it")):
        with pytest.raises(ImportRefused, match=words):
            await replayed_quotes(market, write(tmp_path / "wrong.csv", wrong, header=QUOTE_HEADER))


# ---------------------------------------------------------------- instruments


async def test_instruments_when_imported_then_new_ones_are_added_and_known_ones_renamed(
    market: Services, tmp_path: Path
) -> None:
    rows = ["SAP.DE,SAP SE,equity,EUR,0.02,1", "AAPL,Apple,EQUITY,USD,0.010,1", "SAP.DE,SAP SE,EQUITY,EUR,0.02,1"]
    path = write(tmp_path / "instruments.csv", rows, header=INSTRUMENT_HEADER)
    assert (await import_instruments(market, InstrumentFile(path), check=True)).written == 2
    assert await instrument(market, "SAP.DE") is None
    done = await import_instruments(market, InstrumentFile(path))
    assert (done.written, done.repeated, done.symbols) == (2, 1, ("AAPL", "SAP.DE"))
    assert await instrument(market, "SAP.DE") == Instrument(
        "SAP.DE", "SAP SE", AssetClass.EQUITY, "EUR", D("0.02"), D(1), D(1), tradable=True
    )
    apple = await instrument(market, "AAPL")
    assert apple is not None
    assert (apple.name, apple.tradable) == ("Apple", True)
    stop = write(tmp_path / "stop.csv", ["AAPL,Apple,EQUITY,USD,0.01,1,no"], header=f"{INSTRUMENT_HEADER},Tradable")
    await import_instruments(market, InstrumentFile(stop))
    await import_instruments(market, InstrumentFile(path))
    stopped = await instrument(market, "AAPL")
    assert stopped is not None
    assert stopped.tradable is False


async def test_instruments_when_a_file_has_faults_then_nothing_is_written(market: Services, tmp_path: Path) -> None:
    rows = [
        "AAA,Good,EQUITY,USD,0.01,1",
        "AAPL,Apple,EQUITY,USD,0.05,1",
        "BBB,,EQUITY,USD,0.01,1",
        "CCC,C,SHARE,USD,0.01,1",
        "DDD,D,BOND,dollars,0.01,1",
        "EEE,E,BOND,USD,0,1",
        "AAA,Better,EQUITY,USD,0.01,1",
    ]
    path = write(tmp_path / "instruments.csv", rows, header=INSTRUMENT_HEADER)
    with pytest.raises(ImportRefused) as refused:
        await import_instruments(market, InstrumentFile(path))
    assert [str(fault) for fault in refused.value.faults] == [
        "line 3, Tick Size: AAPL is known with 0.01, which can't change",
        "line 4, Name: is empty",
        'line 5, Asset Class: "SHARE" is none of EQUITY, ETF, CRYPTO, FX, FUTURE, BOND',
        'line 6, Currency: "dollars" is no currency (three capitals, ISO 4217)',
        'line 7, Tick Size: "0" is zero',
        "line 8: is another AAA than line 2",
    ]
    assert await instrument(market, "AAA") is None


async def test_page_when_it_shows_files_then_they_can_be_imported(market: Services, tmp_path: Path) -> None:
    shown = re.findall(r"^```csv\n(.*?)^```$", PAGE_TEXT, re.MULTILINE | re.DOTALL)
    paths = [tmp_path / f"{number}.csv" for number in range(3)]
    for path, text in zip(paths, shown, strict=True):
        path.write_text(text, encoding="utf-8")
    assert (await bring(market, paths[0])).written == 2
    assert (await import_quotes(market, QuoteFile(paths[1]))).written == 1
    assert (await import_instruments(market, InstrumentFile(paths[2]))).symbols == ("ACME",)
    assert len([*await replayed_quotes(market, paths[1])]) == 2


def test_start_when_used_here_then_it_is_later_than_every_row() -> None:
    assert max(row.day for row in daily_rows()) < START.date()
