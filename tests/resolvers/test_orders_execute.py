"""Booking fills: order, position, cash and events in one transaction, or not at all."""

from dataclasses import replace
from decimal import Decimal

import pytest

from infrastructure.services import Services
from models.enums import EventType, OrderStatus, TimeInForce, TransactionKind
from models.facts import order_of
from models.lifecycle import Overfill
from models.money import ZERO, text
from models.orders import Fill, FillRow
from resolvers.orders.commands import execute_order
from resolvers.positions import store as positions
from tests.support.clock import ManualClock
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts, stored
from tests.support.processes import context_in


async def test_execute_when_an_order_is_filled_in_parts_then_cash_and_reserve_are_exact_after_each(
    services: Services,
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    seen: list[tuple[Decimal, Decimal, Decimal | None]] = []
    for quantity, price in (("3", "199"), ("4", "200"), ("3", "198.5")):
        order = await trader.fill(order, quantity, price)
        portfolio = await trader.portfolio()
        assert portfolio.reserved_cash == order.reserved_cash
        seen.append((portfolio.cash, portfolio.reserved_cash, order.average_fill_price))
    assert seen == [
        (D("99402.403"), D("1401.4"), D(199)),  # 100000 - 597 - 0.597; 7 x 200 x 1.001
        (D("98601.603"), D("600.6"), D("199.57142857")),
        (D("98005.5075"), ZERO, D("199.25")),
    ]
    assert (order.status, order.version, order.commission) == (OrderStatus.FILLED, 4, D("1.9925"))
    assert order.filled_notional == D("1992.5")
    fills = sorted(await stored(services, FillRow, Fill), key=lambda fill: fill.order_version)
    assert [(fill.order_version, fill.commission) for fill in fills] == [
        (2, D("0.597")),
        (3, D("0.8")),
        (4, D("0.5955")),
    ]


async def test_execute_when_booked_then_its_events_are_whole_and_in_order(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    await market.quote("AAPL", "199.90", "200.00", previous="190")
    order = (await trader.place("BUY", "10", limit="200")).value
    clock.advance(seconds=2)
    order = await trader.fill(order, "4", "200")
    executed, opened, moved = (await whole_log(services.database))[-3:]
    assert [event.type for event in (executed, opened, moved)] == [
        EventType.ORDER_EXECUTED,
        EventType.POSITION_OPENED,
        EventType.CASH_MOVED,
    ]
    assert [event.version for event in (executed, opened, moved)] == [2, 1, 3]
    for event in (executed, opened, moved):
        assert (event.actor_id, event.owner_id, event.portfolio_id, event.occurred_at) == (
            None,
            trader.ctx.owner_id,
            trader.portfolio_id,
            clock.now(),
        )
    assert executed.data["order"]["filledQuantity"] == "4"
    assert executed.data["fill"] == opened.data["fill"]
    assert {key: executed.data["fill"][key] for key in ("quantity", "price", "commission", "orderVersion")} == {
        "quantity": "4",
        "price": "200",
        "commission": "0.8",
        "orderVersion": 2,
    }
    assert opened.data["mark"] == {
        "marketPrice": "199.9",
        "marketValue": "799.6",
        "unrealizedPnl": "-0.4",
        "unrealizedPnlPercent": "-0.05",
        "dayPnl": "-0.4",
        "weight": text(D("0.00799610")),  # 799.6 of 99998.8
    }
    assert moved.data["portfolio"]["cash"] == "99199.2"
    assert [(row["kind"], row["amount"], row["balanceAfter"]) for row in moved.data["transactions"]] == [
        ("TRADE", "-800", "99200"),
        ("COMMISSION", "-0.8", "99199.2"),
    ]


async def test_execute_when_nothing_has_a_price_then_the_marks_figures_are_null(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    await trader.trade("BUY", "1", "200")
    event = next(event for event in await whole_log(services.database) if event.type is EventType.POSITION_OPENED)
    assert set(event.data["mark"].values()) == {None}


async def test_execute_when_an_ioc_order_is_not_filled_whole_then_the_rest_is_cancelled_with_it(
    services: Services,
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200", tif=TimeInForce.IOC)).value
    before = (await row_counts(services))["events"]
    order = await trader.fill(order, "4", "200")
    assert (order.status, order.version, order.filled_quantity) == (OrderStatus.CANCELLED, 3, D(4))
    assert order.cancel_reason == "Immediate or cancel: nothing at its price"
    assert (await trader.portfolio()).reserved_cash == ZERO
    events = (await whole_log(services.database))[before:]
    assert [(event.type.value, event.version) for event in events] == [
        ("ORDER_EXECUTED", 2),
        ("ORDER_CANCELLED", 3),
        ("POSITION_OPENED", 1),
        ("CASH_MOVED", 3),
    ]
    executed, cancelled = (order_of(event) for event in events[:2])
    assert (executed.status, executed.cancel_reason, executed.reserved_cash) == (
        OrderStatus.PARTIALLY_FILLED,
        None,
        D("1201.2"),
    )
    assert (cancelled.status, cancelled.reserved_cash) == (OrderStatus.CANCELLED, ZERO)


async def test_execute_when_an_ioc_order_is_filled_whole_then_it_is_filled(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200", tif=TimeInForce.IOC)).value
    order = await trader.fill(order, "10", "200")
    assert (order.status, order.version, order.cancel_reason) == (OrderStatus.FILLED, 2, None)


async def test_execute_when_the_version_is_outdated_or_the_order_unknown_then_nothing_is_written(
    services: Services,
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    await trader.fill(order, "1", "200")
    before = await row_counts(services)
    for version in (0, 1, 3):
        assert await execute_order(services, order.id, version, D(1), D(200)) is None
    assert await execute_order(services, services.ids.new(), 1, D(1), D(200)) is None
    assert await row_counts(services) == before


@pytest.mark.parametrize("quantity", ["11", "0", "-1"])
async def test_execute_when_more_than_what_remains_is_reported_then_nothing_is_written(
    services: Services, quantity: str
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    before = await row_counts(services)
    with pytest.raises(Overfill):
        await execute_order(services, order.id, 1, D(quantity), D(200))
    assert await row_counts(services) == before


async def test_execute_when_one_of_its_writes_fails_then_none_of_them_is_kept(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "10", limit="200")).value
    before, portfolio = await row_counts(services), await trader.portfolio()

    async def fails(*_args: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(positions, "open_one", fails)
    with pytest.raises(Exception, match="the database can't be reached"):
        await execute_order(services, order.id, 1, D(10), D(200))
    assert (await row_counts(services), await trader.portfolio()) == (before, portfolio)
    monkeypatch.undo()
    assert (await trader.fill(order, "10", "200")).status is OrderStatus.FILLED


async def test_execute_when_a_sale_crosses_zero_then_profit_is_realised_on_what_is_closed(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    await trader.trade("BUY", "10", "200")
    await trader.trade("SELL", "15", "210")
    await trader.trade("BUY", "5", "220")
    portfolio = await trader.portfolio()
    assert portfolio.realized_pnl == D(50)  # 10 x 10 - 5 x 10
    assert portfolio.cash == D("100043.75")  # - 2000 - 2 + 3150 - 3.15 - 1100 - 1.1
    assert [position.closed_at is None for position in await trader.positions()] == [False, False]
    rows = await trader.ledger()
    assert [row.number for row in rows] == [1, 2, 3, 4, 5, 6, 7]
    assert sum(row.amount for row in rows) == rows[-1].balance_after == portfolio.cash
    assert {row.kind for row in rows if row.fill_id} == {TransactionKind.TRADE, TransactionKind.COMMISSION}


async def test_execute_when_commission_is_nothing_then_the_ledger_has_no_row_for_it(services: Services) -> None:
    await Market.open(services)
    free = replace(services, settings=services.settings.model_copy(update={"commission_rate": ZERO}))
    trader = await Trader.with_cash(services)
    trader = Trader(context_in(free, trader.ctx), trader.portfolio_id)
    await trader.trade("BUY", "10", "200")
    assert [(row.kind, row.amount) for row in await trader.ledger()] == [
        (TransactionKind.DEPOSIT, D(100000)),
        (TransactionKind.TRADE, D(-2000)),
    ]
