"""The demo data: there once, a year of it, and something of each kind still at work."""

import asyncio
import dataclasses
from collections import Counter
from datetime import timedelta

import pytest

from infrastructure.services import Services
from models.orders import Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow, Transaction, TransactionRow
from models.positions import Position, PositionRow
from models.risk import RiskLimit, RiskLimitRow
from resolvers.accounts.commands import login
from resolvers.seed import EMAIL, PASSWORD, demo, seed_demo
from resolvers.seed.demo import DEALS, LIMITS
from tests.support.market import row_counts, stored
from tests.support.people import anonymous, counts
from tests.support.rebuild import verify


async def test_seed_when_called_twice_then_the_demo_is_there_once_and_its_login_works(services: Services) -> None:
    assert await seed_demo(services)
    before = (await row_counts(services), await counts(services))
    assert not await seed_demo(services)
    assert (await row_counts(services), await counts(services)) == before
    assert (await login(anonymous(services), EMAIL, PASSWORD)).user.email == EMAIL


async def test_seed_when_done_then_there_is_a_year_of_trades_and_an_order_of_each_kind_that_waits(
    services: Services,
) -> None:
    await seed_demo(services)
    orders: list[Order] = await stored(services, OrderRow, Order)
    assert Counter(order.status.value for order in orders) == {"FILLED": len(DEALS), "OPEN": 1, "PENDING": 3}
    assert {order.type.value for order in orders if order.working} == {"LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP"}
    now = services.clock.now()
    assert min(order.placed_at for order in orders) < now - timedelta(days=359)
    assert {order.placed_at for order in orders if order.working} == {now}
    positions: list[Position] = await stored(services, PositionRow, Position)
    assert Counter(position.symbol for position in positions if position.closed_at is None) == dict.fromkeys(
        ("AAPL", "BTC-USD", "JPM", "MSFT", "NVDA", "QQQ", "SPY", "TSLA"), 1
    )
    assert sorted(position.symbol for position in positions if position.closed_at) == ["ETH-USD", "KO", "TLT", "TSLA"]
    ledger: list[Transaction] = await stored(services, TransactionRow, Transaction)
    assert {"DEPOSIT", "WITHDRAWAL", "TRADE", "COMMISSION"} == {row.kind.value for row in ledger}
    limits: list[RiskLimit] = await stored(services, RiskLimitRow, RiskLimit)
    assert {limit.kind: limit.threshold for limit in limits} == LIMITS
    await verify(services.database)


async def test_seed_when_it_was_broken_off_then_the_next_one_tells_the_whole_year_in_another_portfolio(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken_off(*_: object, **__: object) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(demo, "withdraw_cash", broken_off)
        with pytest.raises(asyncio.CancelledError):
            await seed_demo(services)
    told = (await row_counts(services))["orders"]
    assert told == len([deal for deal in DEALS if deal.days_ago > 60])

    assert await seed_demo(services)
    assert not await seed_demo(services)

    portfolios: list[Portfolio] = await stored(services, PortfolioRow, Portfolio)
    orders: list[Order] = await stored(services, OrderRow, Order)
    assert sorted(Counter(order.portfolio_id for order in orders).values()) == [told, len(DEALS) + 4]
    assert len({portfolio.owner_id for portfolio in portfolios}) == 1
    await verify(services.database)


async def test_seed_when_two_processes_do_it_at_once_then_one_does(services: Services) -> None:
    done = await asyncio.gather(*(seed_demo(dataclasses.replace(services)) for _ in range(2)))
    assert sorted(done) == [False, True]
    assert (await row_counts(services))["orders"] == len(DEALS) + 4
