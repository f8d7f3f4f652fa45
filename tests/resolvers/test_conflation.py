"""Quotes, valuations and positions as streams of the latest."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Hashable
from decimal import Decimal
from typing import TypeVar

import pytest

from infrastructure.services import Services
from models.enums import EventType
from models.errors import BadRequest
from models.events import EventFilter, RecordedEvent
from models.facts import PositionAsOf
from resolvers.conflation import latest
from resolvers.events.queries import cursor_of
from resolvers.events.streams import PositionEvent, PositionSnapshot, StreamHeartbeat, positions
from resolvers.marketdata.streams import quotes
from resolvers.portfolios.queries import worth
from resolvers.portfolios.streams import valuations
from tests.support import processes
from tests.support.market import Market, Trader
from tests.support.wait import until

D = Decimal
T = TypeVar("T")


async def soon(stream: AsyncGenerator[T, None]) -> T:
    """The next of a stream, which has to come within seconds."""
    return await asyncio.wait_for(anext(stream), 10)


async def test_quotes_when_they_move_while_the_reader_is_busy_then_only_the_latest_is_sent(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199", "200")
    await market.quote("MSFT", "399", "400")
    stream = quotes(trader.ctx, ["AAPL", "MSFT"], 100)
    assert [(await soon(stream)).symbol, (await soon(stream)).symbol] == ["AAPL", "MSFT"]
    for bid in ("201", "202", "203"):
        await market.quote("AAPL", bid, "210")
    assert (await soon(stream)).bid == D(203)
    await market.quote("MSFT", "401", "402")
    assert (await soon(stream)).symbol == "MSFT"
    await stream.aclose()


@pytest.mark.parametrize(
    ("symbols", "every_ms", "argument"),
    [
        ([], None, "symbols"),
        (["AAPL", "NOPE"], None, "symbols"),
        (["AAPL"], 99, "everyMs"),
        (["AAPL"], 60001, "everyMs"),
    ],
)
async def test_quotes_when_asked_for_what_can_not_be_then_the_argument_is_named(
    services: Services, symbols: list[str], every_ms: int | None, argument: str
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    with pytest.raises(BadRequest) as refused:
        await soon(quotes(trader.ctx, symbols, every_ms))
    assert refused.value.argument == argument


async def test_valuations_when_a_price_or_a_trade_changes_it_then_the_new_worth_is_sent_and_nothing_else(
    services: Services,
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "200", "201")
    await market.quote("MSFT", "400", "401")
    await trader.trade("BUY", "10", "200")
    stream = valuations(trader.ctx, trader.portfolio_id, 100)
    assert (await soon(stream)).valuation.total_value == D(99998)
    await market.quote("MSFT", "390", "391")
    await market.quote("AAPL", "210", "211")
    assert (await soon(stream)).valuation.total_value == D(100098)
    await trader.trade("SELL", "10", "210")
    assert (await soon(stream)).valuation.market_value == D(0)
    await stream.aclose()


async def test_positions_when_followed_then_a_snapshot_comes_first_and_each_change_once(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "200", "201")
    await trader.trade("BUY", "10", "200")
    await services.relay.reached(await head(services))
    stream = positions(trader.ctx, trader.portfolio_id, None, None)
    snapshot = await soon(stream)
    assert isinstance(snapshot, PositionSnapshot)
    assert [position.quantity for position in snapshot.positions] == [D(10)]
    await trader.trade("BUY", "5", "200")
    change = await soon(stream)
    assert isinstance(change, PositionEvent)
    assert (change.type, change.position.quantity) == (EventType.POSITION_CHANGED, D(15))
    assert isinstance(change.position, PositionAsOf)
    await stream.aclose()
    resumed = positions(trader.ctx, trader.portfolio_id, snapshot.cursor, None)
    assert (await soon(resumed)) == change
    await resumed.aclose()


async def test_positions_when_this_process_is_behind_the_log_then_what_the_snapshot_leads_to_is_not(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "POLL_S", 600)
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "200", "201")
    async with processes.another_process(services, 1) as other:
        before = await worth(processes.context_in(other, trader.ctx), trader.portfolio_id)
        assert before is not None
        assert list(before.holdings) == []
        await trader.trade("BUY", "10", "200")
        ctx = processes.context_in(other, trader.ctx)
        async with contextlib.aclosing(positions(ctx, trader.portfolio_id, None, None)) as stream:
            snapshot, after = await soon(stream), await worth(ctx, trader.portfolio_id)
        assert isinstance(snapshot, PositionSnapshot)
        assert after is not None
        assert list(after.holdings) == snapshot.positions
        assert [position.quantity for position in snapshot.positions] == [D(10)]


async def test_positions_when_nothing_happens_then_there_is_a_heartbeat_and_then_the_next_change(
    services: Services,
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "200", "201")
    stream = positions(trader.ctx, trader.portfolio_id, None, 1)
    assert isinstance(await soon(stream), PositionSnapshot)
    beat = await soon(stream)
    assert isinstance(beat, StreamHeartbeat)
    assert beat.at == services.clock.now()
    await trader.trade("BUY", "5", "200")
    assert isinstance(await soon(stream), PositionEvent)
    await stream.aclose()


async def test_heartbeat_when_events_are_still_on_their_way_then_it_does_not_claim_to_be_past_them(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    await services.relay.reached(await head(services))
    begin = cursor_of(trader.ctx, services.relay.position)
    go, read = asyncio.Event(), services.relay.behind

    async def slowly(after: int, chosen: EventFilter) -> tuple[list[RecordedEvent], int]:
        await go.wait()
        return await read(after, chosen)

    monkeypatch.setattr(services.relay, "behind", slowly)
    await trader.trade("BUY", "5", "200")
    await services.relay.reached(await head(services))
    stream = positions(trader.ctx, trader.portfolio_id, begin, 1)
    beat = await soon(stream)
    assert isinstance(beat, StreamHeartbeat)
    assert beat.cursor == begin
    go.set()
    assert isinstance(await soon(stream), PositionEvent)
    await stream.aclose()


async def test_quotes_when_they_move_before_the_wait_for_it_begins_then_it_is_not_slept_through(
    services: Services,
) -> None:
    market = await Market.open(services)
    moved = services.quotes.moved()
    await market.quote("AAPL", "199", "200")
    async with asyncio.timeout(10):
        await moved


async def test_positions_when_the_cursor_is_of_another_log_then_there_is_a_new_snapshot(services: Services) -> None:
    trader = await Trader.with_cash(services)
    cursor = cursor_of(trader.ctx, 1)
    services.relay.epoch = "restored"
    stream = positions(trader.ctx, trader.portfolio_id, cursor, None)
    assert isinstance(await soon(stream), PositionSnapshot)
    await stream.aclose()


class Rests:
    """A transport's reader that counts when it is told that nothing is left."""

    after: str | None = None

    def __init__(self) -> None:
        self.count = 0

    def rest(self, position: int | None, sent: dict[Hashable, Hashable] | None = None) -> None:
        assert position is None
        assert sent is not None
        self.count += 1


async def test_latest_when_something_changes_while_its_reader_is_busy_then_it_rests_only_after_it_has_sent_that() -> (
    None
):
    value, changes, reader = [1], list[asyncio.Future[None]](), Rests()

    def change() -> asyncio.Future[None]:
        changes.append(asyncio.get_running_loop().create_future())
        return changes[-1]

    async def read() -> dict[Hashable, tuple[Hashable, int]]:
        return {"x": (value[0], value[0])}

    async with contextlib.aclosing(latest(read, [change], 0, reader)) as values:
        assert await anext(values) == 1
        value[0] = 2
        changes[0].set_result(None)
        assert await anext(values) == 2
        assert reader.count == 0
        third = asyncio.ensure_future(anext(values))
        await until(lambda: reader.count == 1)
        value[0] = 3
        changes[1].set_result(None)
        assert await third == 3
        assert reader.count == 1


async def head(services: Services) -> int:
    """Where the log stands."""
    async with services.database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT seq FROM log_head")).scalar_one())
