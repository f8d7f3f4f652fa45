"""Many at once: no limit is breached, no key makes two orders, and the books add up."""

import asyncio
import contextlib
import dataclasses
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

import pytest

from infrastructure.database import DatabaseUnavailable, Transaction
from infrastructure.services import Services
from models.enums import ErrorCode, OrderStatus, RiskLimitKind, Role
from models.errors import Refused
from models.facts import order_of
from models.money import ZERO
from models.orders import Fill, FillRow, Order, OrderRow
from models.portfolios import TradingStatus
from resolvers.accounts.commands import grant_role
from resolvers.orders.commands import cancel_order, execute_order
from resolvers.portfolios import store as portfolios
from resolvers.portfolios.commands import withdraw_cash
from resolvers.portfolios.queries import market_status
from resolvers.requests import Done
from resolvers.risk.commands import pause_trading, resume_due, resume_trading, set_risk_limit
from tests.support.clock import START, ManualClock
from tests.support.log_race import check_chain
from tests.support.market import D, Market, Trader, stored
from tests.support.people import context_of, signed_up
from tests.support.processes import another_process, context_in

T = TypeVar("T")
PROCESSES = {"sqlite": 1, "postgresql": 4}
"""On PostgreSQL several, each with its own connections; SQLite's writers take turns anyway."""
ORDERS = 40


@pytest.fixture
async def processes(services: Services, backend: str) -> AsyncIterator[list[Services]]:
    """They wait for each other as long as it takes: on a busy machine a timeout would be no fault of the order's."""
    patience = {"lock_timeout_ms": 60_000, "statement_timeout_ms": 60_000, "writer_pool": 16}
    patient = dataclasses.replace(services, settings=services.settings.model_copy(update=patience))
    async with AsyncExitStack() as stack:
        numbers = range(PROCESSES[backend])
        yield [await stack.enter_async_context(another_process(patient, number)) for number in numbers]


async def opened(services: Services, cash: str = "100000") -> Trader:
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    return trader


def spread(trader: Trader, processes: list[Services], count: int) -> list[Trader]:
    """The same trader so many times, served by each process in turn."""
    return [
        Trader(context_in(processes[number % len(processes)], trader.ctx), trader.portfolio_id)
        for number in range(count)
    ]


async def patiently(attempt: Callable[[], Awaitable[T]]) -> T:
    """What a client does: no connection was free in time, so nothing was written, and it asks again."""
    while True:
        with contextlib.suppress(DatabaseUnavailable):
            return await attempt()


async def accepted(attempts: Sequence[Callable[[], Awaitable[Done[T]]]], code: ErrorCode) -> list[T]:
    """What was done of what is tried at once; the others were refused for that reason, and for no other."""
    answers = await asyncio.gather(*map(patiently, attempts), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, Refused)]
    assert {fault.code for each in refused for fault in each.faults} <= {code}
    done = [answer.value for answer in answers if isinstance(answer, Done)]
    assert len(done) + len(refused) == len(attempts), answers
    return done


async def adds_up(services: Services, trader: Trader) -> None:
    """Cash is the ledger's sum, the reserve its orders', positions and orders their fills', and the log is whole."""
    portfolio, ledger = await trader.portfolio(), await trader.ledger()
    orders, fills = await stored(services, OrderRow, Order), await stored(services, FillRow, Fill)
    assert [row.number for row in ledger] == list(range(1, portfolio.ledger_size + 1))
    balance = ZERO
    for row in ledger:
        balance += row.amount
        assert row.balance_after == balance
    assert portfolio.cash == balance
    assert portfolio.reserved_cash == sum((order.reserved_cash for order in orders), ZERO)
    for order in orders:
        own = [fill for fill in fills if fill.order_id == order.id]
        assert sum((fill.quantity for fill in own), ZERO) == order.filled_quantity <= order.quantity
        assert sum((fill.commission for fill in own), ZERO) == order.commission
    bought = sum((fill.quantity if fill.side.value == "BUY" else -fill.quantity for fill in fills), ZERO)
    assert sum((position.quantity for position in await trader.positions()), ZERO) == bought
    newest = {}
    for event in await check_chain(services.database):
        if event.type.value.startswith("ORDER_"):
            newest[event.aggregate_id] = event
    assert {key: (order_of(event).version, order_of(event).status) for key, event in newest.items()} == {
        order.id: (order.version, order.status) for order in orders
    }


@pytest.mark.parametrize(
    ("kind", "threshold", "quantity", "count"),
    [
        (RiskLimitKind.MAX_POSITION_NOTIONAL, "10000", "10", 10),
        (RiskLimitKind.MAX_OPEN_ORDERS, "17", "1", 17),
        (RiskLimitKind.MAX_CONCENTRATION, "0.25", "10", 25),
        (RiskLimitKind.MAX_GROSS_EXPOSURE, "10000", "10", 10),
        (RiskLimitKind.MAX_LEVERAGE, "0.25", "10", 25),
        (None, "", "40", 24),  # of 4,004 each, 24 go into 100,000
    ],
)
async def test_orders_when_forty_come_at_once_against_a_limit_then_it_is_never_breached(
    services: Services,
    processes: list[Services],
    kind: RiskLimitKind | None,
    threshold: str,
    quantity: str,
    count: int,
) -> None:
    trader = await opened(services)
    code = ErrorCode.INSUFFICIENT_FUNDS
    if kind is not None:
        await set_risk_limit(trader.ctx, trader.portfolio_id, kind, D(threshold))
        code = ErrorCode.RISK_LIMIT_EXCEEDED
    crowd = spread(trader, processes, ORDERS)
    done = await accepted([partial(each.place, "BUY", quantity, limit="100") for each in crowd], code)
    assert len(done) == len(await stored(services, OrderRow, Order)) == count
    assert (await trader.portfolio()).reserved_cash == count * D(quantity) * 100 * D("1.001") <= D(100000)
    await adds_up(services, trader)


async def test_orders_when_they_are_filled_while_others_come_then_the_position_limit_holds(
    services: Services, processes: list[Services]
) -> None:
    trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, D(10000))

    async def trade(each: Trader) -> Done[Order]:
        done = await patiently(partial(each.place, "BUY", "10", limit="100"))
        await patiently(partial(each.fill, done.value, "10", "100"))
        return done

    done = await accepted(
        [partial(trade, each) for each in spread(trader, processes, ORDERS)], ErrorCode.RISK_LIMIT_EXCEEDED
    )
    [position] = await trader.positions()
    assert (len(done), position.quantity) == (10, D(100))
    await adds_up(services, trader)


async def test_orders_when_cash_is_withdrawn_at_the_same_time_then_the_buying_power_is_spent_once(
    services: Services, processes: list[Services]
) -> None:
    trader = await opened(services, "20020")
    crowd = spread(trader, processes, ORDERS)
    attempts: list[Callable[[], Awaitable[Done[Any]]]] = [
        partial(each.place, "BUY", "10", limit="100")
        if number % 2
        else partial(withdraw_cash, each.ctx, each.portfolio_id, D(1001))
        for number, each in enumerate(crowd)
    ]
    done = await accepted(attempts, ErrorCode.INSUFFICIENT_FUNDS)
    assert len(done) == 20  # each takes 1,001
    portfolio = await trader.portfolio()
    assert portfolio.cash == portfolio.reserved_cash
    await adds_up(services, trader)


async def _retry(services: Services, processes: list[Services], keys: int, retries: int = 16) -> None:
    trader = await opened(services)
    crowd = spread(trader, processes, keys * retries)
    tries = [partial(each.place, "BUY", "1", limit="10", key=f"key-{n % keys}") for n, each in enumerate(crowd)]
    answers = [done.value for done in await asyncio.gather(*map(patiently, tries))]
    orders = await stored(services, OrderRow, Order)
    assert len(orders) == keys
    by_key = {order.client_order_id: order for order in orders}
    assert Counter(answer.client_order_id for answer in answers) == dict.fromkeys(by_key, retries)
    assert all(answer == by_key[answer.client_order_id] for answer in answers)
    placed = [event for event in await check_chain(services.database) if event.type.value == "ORDER_PLACED"]
    assert len(placed) == keys
    await adds_up(services, trader)


async def test_orders_when_each_of_twenty_keys_comes_sixteen_times_at_once_then_it_makes_one_order(
    services: Services, processes: list[Services]
) -> None:
    await _retry(services, processes, 20)


@pytest.mark.soak
async def test_orders_when_each_of_a_hundred_keys_comes_sixteen_times_at_once_then_it_makes_one_order(
    services: Services, processes: list[Services]
) -> None:
    await _retry(services, processes, 100)


async def test_fills_and_cancels_when_they_come_at_once_then_each_is_booked_once_and_the_books_add_up(
    services: Services, processes: list[Services]
) -> None:
    trader = await opened(services)
    orders = [(await trader.place("BUY", "10", limit="100")).value for _ in range(20)]
    crowd = spread(trader, processes, 3 * len(orders))

    async def one(number: int, order: Order) -> tuple[int, bool]:
        first, second, third = crowd[3 * number : 3 * number + 3]
        answers = await asyncio.gather(
            patiently(partial(execute_order, first.ctx.services, order.id, 1, D(10), D(100))),
            # Another broker, of the same order.
            patiently(partial(execute_order, second.ctx.services, order.id, 1, D(4), D("99.5"))),
            patiently(partial(cancel_order, third.ctx, order.id)),
            return_exceptions=True,
        )
        assert all(isinstance(answer, Order | Done | Refused | None) for answer in answers), answers
        return sum(isinstance(answer, Order) for answer in answers), isinstance(answers[2], Done)

    outcomes = await asyncio.gather(*(one(number, order) for number, order in enumerate(orders)))
    ended = {order.id: order for order in await stored(services, OrderRow, Order)}
    for order, (fills, cancelled) in zip(orders, outcomes, strict=True):
        now = ended[order.id]
        assert fills <= 1
        assert now.version == 1 + fills + cancelled
        # Whole, a part and the rest cancelled, or nothing: never anything else.
        assert (now.status, now.filled_quantity) in {
            (OrderStatus.FILLED, D(10)),
            (OrderStatus.CANCELLED, D(4)),
            (OrderStatus.CANCELLED, ZERO),
        }
        assert (now.status is OrderStatus.CANCELLED) == cancelled
    assert (await trader.portfolio()).reserved_cash == ZERO
    await adds_up(services, trader)


async def test_pause_when_it_comes_among_orders_then_none_is_accepted_behind_it_in_the_log(
    services: Services, processes: list[Services]
) -> None:
    trader = await opened(services)
    crowd = spread(trader, processes, ORDERS)
    attempts: list[Callable[[], Awaitable[Done[Any]]]] = [partial(each.place, "BUY", "1", limit="1") for each in crowd]
    pause = partial(pause_trading, crowd[0].ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    attempts.insert(ORDERS // 2, pause)
    await accepted(attempts, ErrorCode.TRADING_PAUSED)
    types = [event.type.value for event in await check_chain(services.database)]
    assert types[-1] == "TRADING_PAUSED"
    await resume_trading(trader.ctx, trader.portfolio_id)
    await trader.place("BUY", "1", limit="1")


async def test_pause_when_a_resumption_falls_due_at_the_same_moment_then_the_pause_holds(
    services: Services, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    signed_in = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    admin = await context_of(services, signed_in)
    await pause_trading(admin, None, "a second", START + timedelta(seconds=1), reduce_only=False)
    clock.advance(seconds=1)
    real, pauses = portfolios.market_status, list[asyncio.Task[object]]()

    async def slow(tx: Transaction, *, lock: bool = False) -> tuple[TradingStatus, int]:
        status = await real(tx, lock=lock)
        if not pauses:  # between the look of who resumes and the write, an ADMIN holds trading for good
            pauses.append(asyncio.create_task(pause_trading(admin, None, "for good", None, reduce_only=False)))
            await asyncio.wait(pauses, timeout=0.2)
        return status

    monkeypatch.setattr(portfolios, "market_status", slow)
    await resume_due(services)
    await asyncio.gather(*pauses)
    admin.renew()
    assert (await market_status(admin)).reason == "for good"
    held = [event.type.value for event in await check_chain(services.database) if event.owner_id is None]
    assert held == ["TRADING_PAUSED", "TRADING_RESUMED", "TRADING_PAUSED"]


async def test_fills_when_many_change_one_position_at_once_then_profit_and_cash_are_exact(
    services: Services, processes: list[Services]
) -> None:
    trader = await opened(services)
    sides = ["BUY", "SELL"] * 15
    orders = [(await trader.place(side, "10", limit="100")).value for side in sides]
    crowd = spread(trader, processes, len(orders))
    fills = [partial(each.fill, order, "10", "100") for each, order in zip(crowd, orders, strict=True)]
    done = await asyncio.gather(*map(patiently, fills))
    assert {order.status for order in done} == {OrderStatus.FILLED}
    portfolio = await trader.portfolio()
    assert (portfolio.realized_pnl, portfolio.reserved_cash) == (ZERO, ZERO)
    assert portfolio.cash == Decimal(100000) - 30  # only the commissions: one of each fill
    assert all(position.quantity == ZERO for position in await trader.positions())
    await adds_up(services, trader)
