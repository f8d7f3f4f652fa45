"""Positions as they are asked for: open ones, closed cycles, and what they are worth."""

from dataclasses import astuple, replace
from datetime import timedelta

import pytest

from infrastructure.services import Services
from models.enums import PositionSide
from models.positions import Position
from models.valuation import PositionMark
from resolvers.paging import PageArgs
from resolvers.portfolios.queries import marked
from resolvers.positions.queries import PositionChoice, position, positions_of
from tests.support.clock import START, ManualClock
from tests.support.market import D, Market, Trader

ALL = PageArgs(first=100)


async def traded(services: Services, clock: ManualClock) -> tuple[Market, Trader, list[Position]]:
    """AAPL bought, closed and sold short; MSFT held."""
    market, trader = await Market.open(services), await Trader.with_cash(services)
    for side, quantity, price, symbol in (
        ("BUY", "10", "200", "AAPL"),
        ("BUY", "2", "500", "MSFT"),
        ("SELL", "14", "210", "AAPL"),
    ):
        await trader.trade(side, quantity, price, symbol)
        clock.advance(seconds=1)
    return market, trader, await trader.positions()


async def test_positions_when_a_cycle_closed_then_it_is_kept_and_the_next_one_is_open(
    services: Services, clock: ManualClock
) -> None:
    _, trader, (closed, msft, short) = await traded(services, clock)
    opened = await positions_of(trader.ctx, trader.portfolio_id, ALL, PositionChoice())
    assert (opened.items, await opened.count()) == ([msft, short], 2)
    past = await positions_of(trader.ctx, trader.portfolio_id, ALL, PositionChoice(open=False))
    assert (past.items, await past.count()) == ([closed], 1)
    then = START + timedelta(seconds=2)
    assert (closed.quantity, closed.realized_pnl, closed.opened_at, closed.closed_at) == (D(0), D(100), START, then)
    assert (closed.side, closed.version, closed.average_price) == (PositionSide.LONG, 2, D(200))
    assert (short.quantity, short.side, short.average_price, short.opened_at) == (
        D(-4),
        PositionSide.SHORT,
        D(210),
        then,
    )
    for each in (closed, msft, short):
        assert await position(trader.ctx, each.id) == each
    assert await position(trader.ctx, services.ids.new()) is None


@pytest.mark.parametrize(
    ("symbols", "found"),
    [(("AAPL",), ["AAPL"]), (("MSFT", "AAPL"), ["MSFT", "AAPL"]), ((), []), (("NONE",), [])],
)
async def test_positions_when_filtered_by_symbol_then_only_those_are_there(
    services: Services, clock: ManualClock, symbols: tuple[str, ...], found: list[str]
) -> None:
    _, trader, _ = await traded(services, clock)
    page = await positions_of(trader.ctx, trader.portfolio_id, ALL, PositionChoice(symbols=symbols))
    assert [each.symbol for each in page.items] == found


async def test_positions_when_paged_then_nothing_is_skipped(services: Services, clock: ManualClock) -> None:
    _, trader, (_, msft, short) = await traded(services, clock)
    first = await positions_of(trader.ctx, trader.portfolio_id, PageArgs(first=1), PositionChoice())
    assert (first.items, first.has_next_page) == ([msft], True)
    rest = await positions_of(
        trader.ctx, trader.portfolio_id, PageArgs(first=9, after=first.cursors[0]), PositionChoice()
    )
    assert (rest.items, rest.has_next_page) == ([short], False)


async def test_marked_when_there_is_a_price_then_its_figures_are_exact_and_null_otherwise(
    services: Services, clock: ManualClock
) -> None:
    market, trader, (_, msft, short) = await traded(services, clock)
    assert astuple(await marked(trader.ctx, short)) == (None,) * 6
    await market.quote("AAPL", "205", "205.1", last="205", previous="201")
    trader.ctx.renew()
    seen = await marked(trader.ctx, short)
    assert seen == PositionMark(
        market_price=D(205),
        market_value=D(-820),
        unrealized_pnl=D(20),
        unrealized_pnl_percent=D("2.38095238"),
        day_pnl=D(20),
        weight=None,  # MSFT has no price: there is no total to be a share of
    )
    await market.quote("MSFT", "510", "510.1", last="510", previous="500")
    trader.ctx.renew()
    assert (await marked(trader.ctx, short)).weight == D("-0.00818902")  # of 100,134.06 in all
    assert (await marked(trader.ctx, msft)).weight == D("0.01018634")
    assert (await marked(trader.ctx, replace(msft, quantity=D(0)))).unrealized_pnl_percent is None
