"""Placing orders: what is accepted, what is refused, and what a repeated request does."""

import asyncio
from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus
from models.errors import ConflictFault, FundsFault, Refused
from tests.support.market import Market, Trader, row_counts

D = Decimal


async def test_place_order_when_cash_suffices_then_it_is_open_and_its_worst_price_is_reserved(
    services: Services,
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    done = await trader.place("BUY", "10")
    assert done.value.status is OrderStatus.OPEN
    assert done.value.reserved_cash == D("2062.06")  # 10 x 200 x 1.03 x 1.001
    portfolio = await trader.portfolio()
    assert (portfolio.cash, portfolio.reserved_cash) == (D(100000), D("2062.06"))


async def test_place_order_when_cash_is_short_then_nothing_is_written(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services, "1000")
    await market.quote("AAPL", "199.90", "200.00")
    before = await row_counts(services)
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "10", key="a")
    [fault] = refused.value.faults
    assert isinstance(fault, FundsFault)
    assert (fault.required, fault.available) == (D("2062.06"), D(1000))
    assert await row_counts(services) == before
    assert (await trader.place("BUY", "4", key="a")).value.client_order_id == "a"


async def test_fill_when_order_is_bought_and_sold_then_cash_position_and_ledger_are_exact(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "4", "210.01")
    portfolio = await trader.portfolio()
    assert portfolio.cash == D("98837.19996")  # 100000 - 2000 - 2 + 840.04 - 0.84004
    assert portfolio.realized_pnl == D("40.04")
    assert portfolio.reserved_cash == 0
    [position] = await trader.positions()
    assert (position.quantity, position.average_price, position.realized_pnl) == (D(6), D(200), D("40.04"))
    ledger = await trader.ledger()
    assert [row.amount for row in ledger] == [D(100000), D(-2000), D(-2), D("840.04"), D("-0.84004")]
    assert sum(row.amount for row in ledger) == portfolio.cash == ledger[-1].balance_after


async def test_place_order_when_the_key_comes_again_then_it_is_the_same_order(services: Services) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00")
    first = (await trader.place("BUY", "10", limit="200", key="k")).value
    again = await asyncio.gather(*(trader.place("BUY", "10.0", limit="200.00", key="k") for _ in range(8)))
    assert {done.value.id for done in again} == {first.id}
    with pytest.raises(Refused) as refused:
        await trader.place("BUY", "11", limit="200", key="k")
    [fault] = refused.value.faults
    assert isinstance(fault, ConflictFault)
    assert fault.order is not None
    assert (fault.code, fault.order.id) == (ErrorCode.CONFLICT, first.id)
