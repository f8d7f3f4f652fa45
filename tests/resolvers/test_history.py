"""A portfolio at a past moment: as the tables had it then, whatever lies between, and priced by what had closed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as drawn
from hypothesis import strategies as st
from sqlalchemy import delete, func, select

from infrastructure import log
from infrastructure.candle_store import store_candles
from infrastructure.services import Services
from models.books import Book, folded
from models.candles import Candle
from models.enums import CandleInterval
from models.errors import BadRequest, Refused
from models.events import EventFilter, RecordedEvent
from resolvers.events import books
from resolvers.events.books import SNAPSHOTS, Reach
from resolvers.events.history import PortfolioSnapshot, history
from resolvers.events.queries import place_of
from resolvers.events.snapshots import Snapshots, take_snapshots
from resolvers.paging import PageArgs
from resolvers.portfolios.commands import create_portfolio, deposit_cash, withdraw_cash
from resolvers.portfolios.queries import portfolios_of
from tests.support.clock import ManualClock
from tests.support.market import D, Market, Trader

DAY, MINUTE = CandleInterval.ONE_DAY, CandleInterval.ONE_MINUTE
SECOND = timedelta(seconds=1)


async def then(trader: Trader, at: datetime) -> PortfolioSnapshot:
    trader.ctx.renew()
    return await history(trader.ctx, await trader.portfolio(), at)


def shown(found: PortfolioSnapshot) -> tuple[Decimal, Decimal, list[tuple[Any, ...]]]:
    """Cash, what was realised, and what was held."""
    held = [(each.symbol, each.quantity, each.average_price, each.realized_pnl) for each in found.positions]
    return found.cash, found.valuation.realized_pnl, sorted(held)


async def tables(trader: Trader) -> tuple[Decimal, Decimal, list[tuple[Any, ...]]]:
    """The same from the tables, as they are."""
    portfolio = await trader.portfolio()
    held = [
        (each.symbol, each.quantity, each.average_price, each.realized_pnl)
        for each in await trader.positions()
        if each.closed_at is None
    ]
    return portfolio.cash, portfolio.realized_pnl, sorted(held)


def with_snapshots(services: Services, every: int) -> Services:
    return replace(services, settings=services.settings.model_copy(update={"snapshot_every": every}))


@dataclass(frozen=True)
class Deed:
    """Something that a trader does, and how long they wait then."""

    what: str
    symbol: str
    size: int
    price: int
    wait_s: int


deeds = st.builds(
    Deed,
    what=st.sampled_from(["BUY", "BUY", "SELL", "SELL", "DEPOSIT", "WITHDRAW", "PLACE", "SNAPSHOT"]),
    symbol=st.sampled_from(["AAPL", "MSFT"]),
    size=st.integers(1, 30),
    price=st.integers(90, 110),
    wait_s=st.sampled_from([0, 1, 3_600, 30_000]),
)


async def do(services: Services, trader: Trader, deed: Deed) -> None:
    """Do it; what is refused is not done."""
    size, price = str(deed.size), str(deed.price)
    try:
        if deed.what in ("BUY", "SELL"):
            await trader.trade(deed.what, size, price, deed.symbol)
        elif deed.what == "PLACE":
            await trader.place("BUY", size, deed.symbol, "1")
        elif deed.what == "SNAPSHOT":
            await take_snapshots(with_snapshots(services, 4), trader.portfolio_id)
        else:
            await (deposit_cash if deed.what == "DEPOSIT" else withdraw_cash)(trader.ctx, trader.portfolio_id, D(size))
    except Refused:
        return


@drawn(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(done=st.lists(deeds, min_size=8, max_size=25))
async def test_history_when_a_book_is_drawn_then_every_moment_of_it_is_as_the_tables_were_then(
    services: Services, clock: ManualClock, done: Sequence[Deed]
) -> None:
    market = await Market.open(services)
    async with services.database.read() as connection:
        before = (await log.head(connection)).seq
    trader = await Trader.with_cash(services, "5000", f"ada{before}@example.com")
    recorded: list[tuple[datetime, Any]] = []
    for deed in done:
        for symbol in ("AAPL", "MSFT"):
            await market.quote(symbol, "99.99", "100.01", last="100")
        await do(services, trader, deed)
        # What happens in the same moment is one step.
        recorded = [each for each in recorded if each[0] != clock.now()] + [(clock.now(), await tables(trader))]
        clock.advance(seconds=deed.wait_s)

    assert shown(await then(trader, clock.now())) == await tables(trader)
    for place, (at, expected) in enumerate(recorded):
        assert shown(await then(trader, at)) == expected
        until = recorded[place + 1][0] if place + 1 < len(recorded) else clock.now() + timedelta(microseconds=1)
        assert shown(await then(trader, until - timedelta(microseconds=1))) == expected


async def test_history_when_its_cursor_is_followed_then_nothing_up_to_now_is_missed_and_nothing_comes_again(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "99.99", "100.01")
    await trader.trade("BUY", "10", "100")
    noon = clock.now()
    clock.advance(seconds=5)
    await trader.trade("SELL", "4", "101")

    found = await then(trader, noon)

    async with services.database.read() as connection:
        rest = await log.read_after(connection, place_of(trader.ctx, found.cursor), EventFilter(), 100)
    assert [event.type.value for event in rest] == [
        "ORDER_PLACED",
        "ORDER_EXECUTED",
        "POSITION_CHANGED",
        "CASH_MOVED",
    ]
    assert found.at == noon


async def test_history_when_the_moment_is_before_the_portfolio_or_in_the_future_then_it_says_what_there_is(
    services: Services, clock: ManualClock
) -> None:
    trader = await Trader.with_cash(services)
    made = clock.now()
    clock.advance(hours=1)

    assert (await then(trader, made)).cash == D(100_000)
    with pytest.raises(BadRequest, match=r"before the portfolio was made, at 2026-01-05T14:30:00") as refused:
        await then(trader, made - timedelta(microseconds=1))
    assert refused.value.argument == "at"
    # A clock that is a little ahead is not the future.
    assert (await then(trader, clock.now() + timedelta(seconds=30))).at == clock.now()
    with pytest.raises(BadRequest, match=r"in the future: here it is 2026-01-05T15:30:00"):
        await then(trader, clock.now() + timedelta(minutes=2))


@pytest.mark.parametrize("batch", [1, 500])
async def test_history_when_a_clock_was_an_hour_ahead_then_what_came_since_shows_all_the_same(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(books, "BATCH", batch)
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "99.99", "100.01")

    async def held(at: datetime) -> Decimal:
        [position] = (await then(trader, at)).positions
        return position.quantity

    await trader.trade("BUY", "1", "100")
    begun = clock.now()
    clock.advance(hours=1)
    await trader.trade("BUY", "1", "100")
    clock.advance(minutes=-50)
    # That it happened is known as of now; when it did is not, as nothing came behind it.
    assert [await held(at) for at in (clock.now(), clock.now() - SECOND)] == [D(2), D(1)]
    await trader.trade("BUY", "1", "100")
    clock.advance(minutes=1)
    for at in (clock.now(), clock.now() - SECOND, clock.now() - timedelta(minutes=1)):
        assert await held(at) == D(3)
    assert await held(begun + SECOND) == D(1)
    clock.advance(hours=2)
    assert [await held(at) for at in (begun + SECOND, clock.now() - SECOND)] == [D(1), D(3)]


def candle(symbol: str, interval: CandleInterval, opened_at: datetime, close: str) -> Candle:
    return Candle(symbol, interval, opened_at, D(close), D(close), D(close), D(close), D(1))


async def with_candles(services: Services, *candles: Candle) -> None:
    async with services.database.write() as tx:
        await store_candles(tx, candles)


async def test_history_when_priced_then_by_the_candle_that_closed_last_of_whatever_length(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "99.99", "100.01")
    await trader.trade("BUY", "10", "100")
    bought, midnight = clock.now(), clock.now().replace(hour=0, minute=0)
    tomorrow = midnight + timedelta(days=1)
    await with_candles(
        services,
        candle("AAPL", DAY, midnight - timedelta(days=1), "98"),
        candle("AAPL", DAY, midnight, "105"),
        candle("AAPL", MINUTE, bought, "102"),
        candle("AAPL", MINUTE, bought + timedelta(minutes=1), "103"),
    )
    clock.advance(days=3)

    early = (await then(trader, bought)).valuation
    # 100.00 paid for each and 1 of commission; nothing had closed since midnight, at 98.
    assert (early.total_value, early.market_value, early.unrealized_pnl) == (D("99979"), D("980"), D("-20"))
    assert (early.day_pnl, early.stale) == (D("-20"), False)
    minute = (await then(trader, bought + timedelta(seconds=119))).valuation
    assert (minute.market_value, minute.stale) == (D("1020"), False)
    assert (await then(trader, bought + timedelta(minutes=2))).valuation.market_value == D("1030")
    # The minute behind it ought to have closed long since.
    assert (await then(trader, bought + timedelta(minutes=4))).valuation.stale
    later = (await then(trader, tomorrow + timedelta(hours=1))).valuation
    assert (later.market_value, later.day_pnl, later.stale, later.unpriced) == (D("1050"), D(0), False, ())


async def test_history_when_something_held_has_no_price_then_figures_are_null_and_it_is_named(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    for symbol in ("AAPL", "MSFT"):
        await market.quote(symbol, "99.99", "100.01")
        await trader.trade("BUY", "1", "100", symbol)
    await with_candles(services, candle("AAPL", MINUTE, clock.now() - timedelta(minutes=1), "101"))

    valuation = (await then(trader, clock.now())).valuation

    assert (valuation.market_value, valuation.total_value, valuation.unrealized_pnl) == (None, None, None)
    assert (valuation.unpriced, valuation.cash) == (("MSFT",), D("99799.8"))


async def test_history_when_there_are_snapshots_then_no_more_than_what_lies_behind_one_is_folded(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    trader = await Trader.with_cash(services, "1")
    moments = []
    for _ in range(60):
        clock.advance(seconds=1)
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
        moments.append(clock.now())
    sizes: list[int] = []

    def counted(book: Book | None, events: list[RecordedEvent]) -> Book | None:
        sizes.append(len(events))
        return folded(book, events)

    monkeypatch.setattr(books, "folded", counted)

    assert (await then(trader, moments[40])).cash == D(42)
    assert sum(sizes) == 43
    assert await take_snapshots(with_snapshots(services, 10), trader.portfolio_id) == 6
    for number in (0, 7, 8, 40, 59):
        sizes.clear()
        assert (await then(trader, moments[number])).cash == D(number + 2)
        assert sum(sizes) < 10
    assert await take_snapshots(with_snapshots(services, 10), trader.portfolio_id) == 0


@pytest.mark.parametrize(("batch", "rows_max"), [(500, 5_000), (4, 5), (1, 100)])
async def test_history_when_many_are_asked_for_at_once_then_each_is_as_it_is_by_itself(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch, batch: int, rows_max: int
) -> None:
    many = [await Trader.with_cash(services, "10", f"{number}@example.com") for number in range(4)]
    moments = [clock.now()]
    for number in range(8):
        for trader in many[number % 3 :]:
            clock.advance(seconds=60)
            await deposit_cash(trader.ctx, trader.portfolio_id, D(number + 1))
            moments.append(clock.now())
    await take_snapshots(with_snapshots(services, 2), many[2].portfolio_id)
    monkeypatch.setattr(books, "BATCH", batch)
    monkeypatch.setattr(books, "ROWS_MAX", rows_max)
    ids = [trader.portfolio_id for trader in many]

    for moment in moments:
        together = await books.books_at(services.database, ids, Reach(moment))
        alone = [await books.books_at(services.database, [each], Reach(moment)) for each in ids]
        assert together == {key: book for found in alone for key, book in found.items()}
        assert [found[each] for each, found in zip(ids, alone, strict=True)] != [None] * 4

    assert [together[trader.portfolio_id].cash for trader in many] == [  # type: ignore[union-attr]
        (await trader.portfolio()).cash for trader in many
    ]


async def test_history_when_the_moment_is_still_to_come_then_all_that_are_asked_for_are_as_of_one(
    services: Services, clock: ManualClock
) -> None:
    ada = await Trader.with_cash(services)
    await create_portfolio(ada.ctx, "Other", None, D(1))
    portfolios = (await portfolios_of(ada.ctx, ada.ctx.owner_id, PageArgs(first=5))).items
    soon, now = clock.now() + timedelta(seconds=30), clock.now

    def passing() -> datetime:
        clock.advance(seconds=1)
        return now()

    clock.now = passing  # type: ignore[method-assign]
    found = await asyncio.gather(*(history(ada.ctx, each, soon) for each in portfolios))

    assert len({each.at for each in found}) == 1
    assert [each.cash for each in found] == [each.cash for each in portfolios]


async def count(services: Services) -> int:
    async with services.database.read() as connection:
        counted = select(func.count()).select_from(SNAPSHOTS)
        return int((await connection.execute(counted)).scalar_one())


async def test_snapshots_when_two_processes_run_then_they_are_taken_as_the_log_grows_by_one_of_them(
    services: Services,
) -> None:
    trader = await Trader.with_cash(services, "1")
    often = with_snapshots(services, 5)
    running = [Snapshots(often), Snapshots(often)]
    for each in running:
        await each.start()
    for _ in range(23):
        await deposit_cash(trader.ctx, trader.portfolio_id, D(1))
    async with asyncio.timeout(10):
        while await count(services) < 5:
            pass
    for each in running:
        await each.stop()

    assert await count(services) == 5
    assert (await then(trader, trader.ctx.now)).cash == D(24)


async def test_snapshots_when_they_are_removed_then_history_is_the_same(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "99.99", "100.01")
    await trader.trade("BUY", "10", "100")
    await trader.trade("SELL", "15", "101")
    await take_snapshots(with_snapshots(services, 3), trader.portfolio_id)
    before = await then(trader, trader.ctx.now)

    async with services.database.write() as tx:
        await tx.execute(delete(SNAPSHOTS))

    assert await then(trader, trader.ctx.now) == before
