"""Placing orders: what is accepted, what is refused, and what a repeated request does."""

import asyncio
import dataclasses
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update

from infrastructure.rows import table
from infrastructure.services import Services
from models.enums import ErrorCode, OrderSide, OrderStatus, OrderType, RiskCheckKind, TimeInForce
from models.errors import ConflictFault, Fault, FundsFault, Refused, RiskFault, Unauthenticated, invalid
from models.marketdata import InstrumentRow
from models.payloads import written
from resolvers.orders.commands import cancel_order, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.portfolios.commands import create_portfolio
from resolvers.risk.commands import pause_trading
from tests.support.clock import START, ManualClock
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader, row_counts
from tests.support.people import anonymous
from tests.support.processes import context_in

D = Decimal
INSTRUMENTS = table(InstrumentRow)


async def refusal(trader: Trader, **given: Any) -> tuple[Fault, ...]:
    """Why an order is refused; a refused one has written nothing."""
    before = await row_counts(trader.ctx.services)
    request = dataclasses.replace(trader.request("BUY", "1", limit="100"), **given)
    with pytest.raises(Refused) as refused:
        await place_order(trader.ctx, request)
    assert await row_counts(trader.ctx.services) == before
    return refused.value.faults


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


async def test_place_order_when_accepted_then_the_event_shows_the_whole_order(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    done = await trader.place("BUY", "10", limit="199.50", key="k", tif=TimeInForce.DAY)
    order = done.value
    event = (await whole_log(services.database))[-1]
    assert (event.seq, event.type, event.aggregate_id, event.version) == (done.position, "ORDER_PLACED", order.id, 1)
    assert (event.owner_id, event.portfolio_id) == (trader.ctx.owner_id, trader.portfolio_id)
    assert event.actor_id == trader.ctx.owner_id
    assert event.data == {"fill": None, "order": written(order)}
    shown = {key: value for key, value in event.data["order"].items() if value is not None}
    moment = "2026-01-05T14:30:00.000000Z"
    assert shown == {
        "id": str(order.id),
        "portfolioId": str(trader.portfolio_id),
        "ownerId": str(trader.ctx.owner_id),
        "clientOrderId": "k",
        "symbol": "AAPL",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "DAY",
        "quantity": "10",
        "filledQuantity": "0",
        "filledNotional": "0",
        "limitPrice": "199.5",
        "status": "OPEN",
        "commission": "0",
        "reservePrice": "199.5",
        "reservedCash": "1996.995",
        "expireAt": "2026-01-06T00:00:00.000000Z",
        "version": 1,
        "placedAt": moment,
        "rankedAt": moment,
        "updatedAt": moment,
    }


@pytest.mark.parametrize(
    ("tif", "end"),
    [(TimeInForce.DAY, datetime(2026, 1, 6, tzinfo=UTC)), (TimeInForce.GTC, None), (TimeInForce.IOC, None)],
)
async def test_place_order_when_time_in_force_is_given_then_only_a_day_order_ends_with_the_utc_day(
    services: Services, tif: TimeInForce, end: datetime | None
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "1", limit="100", tif=tif)).value
    assert (order.expire_at, order.client_order_id) == (end, str(order.id))


AMOUNT = "may have 18 digits before the point and 8 after it."
KEY = invalid("`clientOrderId` has to be 1 to 64 printable ASCII characters.", "clientOrderId")
FAULTS: list[tuple[dict[str, Any], list[Fault]]] = [
    ({"quantity": D(0)}, [invalid("`quantity` is 0: it has to be more than 0.", "quantity")]),
    ({"quantity": D("-1")}, [invalid("`quantity` is -1: it has to be more than 0.", "quantity")]),
    ({"quantity": D("0.000000001")}, [invalid(f"`quantity` {AMOUNT}", "quantity")]),
    ({"quantity": D(10**18)}, [invalid(f"`quantity` {AMOUNT}", "quantity")]),
    ({"limit_price": None}, [invalid("`limitPrice` is required for a LIMIT order.", "limitPrice")]),
    ({"limit_price": D(0)}, [invalid("`limitPrice` is 0: it has to be more than 0.", "limitPrice")]),
    ({"type": OrderType.MARKET}, [invalid("`limitPrice` has no place in a MARKET order.", "limitPrice")]),
    ({"client_order_id": ""}, [KEY]),
    ({"client_order_id": "k" * 65}, [KEY]),
    ({"client_order_id": "\0"}, [KEY]),
    ({"client_order_id": "é"}, [KEY]),
    (
        {"quantity": D(0), "limit_price": None, "client_order_id": ""},
        [
            invalid("`quantity` is 0: it has to be more than 0.", "quantity"),
            KEY,
            invalid("`limitPrice` is required for a LIMIT order.", "limitPrice"),
        ],
    ),
    (
        {"quantity": D("1.5"), "limit_price": D("100.005")},
        [
            invalid("`quantity` is 1.5: it has to be a multiple of the lot size 1.", "quantity"),
            invalid("`limitPrice` is 100.005: it has to be a multiple of the tick size 0.01.", "limitPrice"),
        ],
    ),
    (
        {"symbol": "BTC-USD", "quantity": D("0.000015"), "limit_price": D("100.01")},
        [invalid("`quantity` is 0.000015: it has to be a multiple of the lot size 0.00001.", "quantity")],
    ),
    ({"symbol": "NONE"}, [Fault(ErrorCode.NOT_FOUND, "There is no instrument 'NONE'.", ("input", "symbol"))]),
    ({"symbol": "aapl"}, [Fault(ErrorCode.NOT_FOUND, "There is no instrument 'aapl'.", ("input", "symbol"))]),
]


@pytest.mark.parametrize(("given", "faults"), FAULTS)
async def test_place_order_when_the_input_is_wrong_then_every_fault_is_told_with_its_path(
    services: Services, given: dict[str, Any], faults: list[Fault]
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    assert list(await refusal(trader, **given)) == faults


async def test_place_order_when_the_instrument_trades_in_fractions_then_a_lot_of_it_is_enough(
    services: Services,
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "0.00001", "BTC-USD", "95000.01")).value
    assert order.reserved_cash == D("0.9509501001")  # not rounded: the ledger is exact


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"tradable": False}, "AAPL can't be traded now."),
        ({"currency": "EUR"}, "AAPL can't be traded in a USD portfolio."),
        ({"multiplier": D(100)}, "AAPL can't be traded in a USD portfolio."),
    ],
)
async def test_place_order_when_the_instrument_can_not_be_traded_then_it_says_so(
    services: Services, changed: dict[str, Any], message: str
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    async with services.database.write() as tx:
        await tx.execute(update(INSTRUMENTS).where(INSTRUMENTS.c.symbol == "AAPL").values(changed))
    assert await refusal(trader) == (Fault(ErrorCode.INSTRUMENT_NOT_TRADABLE, message, ("input", "symbol")),)


async def test_place_order_when_a_market_order_has_no_fresh_quote_then_it_is_refused_and_a_limit_order_is_not(
    services: Services, clock: ManualClock
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services)
    at_market = {"type": OrderType.MARKET, "limit_price": None}
    [fault] = await refusal(trader, **at_market)
    assert (fault.code, fault.path) == (ErrorCode.INSTRUMENT_NOT_TRADABLE, ("input", "symbol"))
    assert fault.message == "AAPL has no quote: a MARKET order can't be priced."
    await market.quote("AAPL", "199.90", "200.00")
    clock.advance(seconds=5)
    await trader.place("BUY", "1")
    clock.advance(microseconds=1)
    [fault] = await refusal(trader, **at_market)
    assert (fault.code, fault.path) == (ErrorCode.INSTRUMENT_NOT_TRADABLE, ("input", "symbol"))
    assert fault.message == "The quote of AAPL is 5 s old: a MARKET order can't be priced."
    await trader.place("BUY", "1", limit="200")


async def test_place_order_when_the_portfolio_is_someone_elses_then_it_answers_as_for_a_missing_one(
    services: Services,
) -> None:
    await Market.open(services)
    ada, bob = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    no_such = Fault(ErrorCode.NOT_FOUND, "No such portfolio.", ("input", "portfolioId"))
    assert await refusal(bob, portfolio_id=ada.portfolio_id) == (no_such,)
    assert await refusal(bob, portfolio_id=services.ids.new()) == (no_such,)
    with pytest.raises(Unauthenticated):
        await place_order(anonymous(services), ada.request("BUY", "1"))


async def test_place_order_when_several_checks_fail_then_each_is_told(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services, "1000")
    await pause_trading(trader.ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    paused, funds = await refusal(trader, quantity=D(100))
    assert (paused.code, paused.message, paused.path) == (ErrorCode.TRADING_PAUSED, "Trading is paused.", ("input",))
    assert isinstance(funds, FundsFault)
    assert (funds.code, funds.path, funds.required, funds.available) == (
        ErrorCode.INSUFFICIENT_FUNDS,
        ("input",),
        D(10010),
        D(1000),
    )


async def test_place_order_when_funds_are_enough_to_the_last_digit_then_it_is_accepted(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services, "1001")
    [fault] = await refusal(trader, quantity=D(10), limit_price=D("100.01"))
    assert isinstance(fault, FundsFault)
    assert (fault.required, fault.available) == (D("1001.1001"), D(1001))
    await trader.place("BUY", "10", limit="100")
    assert (await trader.portfolio()).reserved_cash == D(1001)


async def test_place_order_when_short_selling_is_off_then_only_what_is_held_can_be_sold(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    await trader.trade("BUY", "10", "100")
    settings = services.settings.model_copy(update={"short_selling": False})
    strict = Trader(context_in(dataclasses.replace(services, settings=settings), trader.ctx), trader.portfolio_id)
    await strict.place("SELL", "4", limit="100")
    [fault] = await refusal(strict, side=OrderSide.SELL, quantity=D(7))
    assert isinstance(fault, RiskFault)
    assert fault.code is ErrorCode.RISK_LIMIT_EXCEEDED
    [check] = [check for check in fault.checks if not check.passed]
    assert (check.kind, check.threshold, check.projected) == (RiskCheckKind.SHORT_SELLING, D(0), D(1))
    assert len(fault.checks) == 7  # all that were made, not only the one that failed
    await strict.place("SELL", "6", limit="100")


async def test_place_order_when_it_sells_short_then_working_sales_count_against_the_buying_power(
    services: Services,
) -> None:
    market, trader = await Market.open(services), await Trader.with_cash(services, "1002")
    await market.quote("AAPL", "100.00", "100.02")
    await trader.place("SELL", "10", limit="100")  # sets 10 x 100 x (1.5 - 1 + 0.001) = 501 apart
    [fault] = await refusal(trader, side=OrderSide.SELL, quantity=D(11))
    assert isinstance(fault, FundsFault)
    assert (fault.required, fault.available) == (D("551.1"), D(501))
    await trader.place("SELL", "10", limit="100")


async def test_place_order_when_the_key_comes_after_the_order_ended_then_it_is_answered_as_it_is_now(
    services: Services,
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "1", limit="100", key="k")).value
    ended = (await cancel_order(trader.ctx, order.id)).value
    await pause_trading(trader.ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    before = await row_counts(services)
    assert (await trader.place("BUY", "1", limit="100", key="k")).value == ended
    assert await row_counts(services) == before


async def test_place_order_when_the_key_is_another_portfolios_then_it_is_free(services: Services) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    other = Trader(trader.ctx, (await create_portfolio(trader.ctx, "Other", None, D(1000))).value.id)
    one, two = [(await each.place("BUY", "1", limit="100", key="k")).value for each in (trader, other)]
    assert one.id != two.id


CHANGES: list[dict[str, Any]] = [
    {"symbol": "MSFT"},
    {"side": OrderSide.SELL},
    {"type": OrderType.MARKET, "limit_price": None},
    {"quantity": D(2)},
    {"limit_price": D(101)},
    {"time_in_force": TimeInForce.DAY},
]


@pytest.mark.parametrize("changed", CHANGES)
async def test_place_order_when_the_key_comes_with_any_other_body_then_it_is_a_conflict_with_the_standing_order(
    services: Services, changed: dict[str, Any]
) -> None:
    await Market.open(services)
    trader = await Trader.with_cash(services)
    order = (await trader.place("BUY", "1", limit="100", key="k")).value
    [fault] = await refusal(trader, client_order_id="k", **changed)
    message = "`clientOrderId` was used before, for another order."
    assert fault == ConflictFault(ErrorCode.CONFLICT, message, ("input", "clientOrderId"), order)


FIELDS: dict[str, Any] = {
    "symbol": "MSFT",
    "side": OrderSide.SELL,
    "type": OrderType.STOP_LIMIT,
    "quantity": D(2),
    "limit_price": D(101),
    "stop_price": D(1),
    "trail_amount": D(1),
    "trail_percent": D(1),
    "time_in_force": TimeInForce.GTC,
    "expire_at": START,
}


def test_hash_when_any_field_but_the_key_is_another_then_it_is_another() -> None:
    request = PlaceOrder(UUID(int=1), "AAPL", OrderSide.BUY, OrderType.LIMIT, D(1), D(100), client_order_id="k")
    others = [dataclasses.replace(request, **{name: value}).hash for name, value in FIELDS.items()]
    assert len({request.hash, *others}) == len(FIELDS) + 1
    assert {*FIELDS, "portfolio_id", "client_order_id"} == set(PlaceOrder.__dataclass_fields__)
    assert dataclasses.replace(request, quantity=D("1.0"), client_order_id=None).hash == request.hash
