"""A preview: the same checks and figures as placing, and nothing is written."""

import dataclasses
from typing import Any

import pytest

from infrastructure.services import Services
from models.enums import OrderType, RiskCheckKind, RiskLimitKind
from models.errors import Refused, RiskFault, Unauthenticated
from models.estimates import Estimate
from resolvers.orders.commands import place_order
from resolvers.orders.queries import preview_order
from resolvers.risk.commands import pause_trading, set_risk_limit
from tests.support.market import D, Market, Trader, row_counts
from tests.support.people import anonymous


async def opened(services: Services, cash: str = "100000") -> tuple[Market, Trader]:
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "199.90", "200.00")
    return market, trader


async def test_preview_when_the_order_would_pass_then_its_figures_are_those_of_a_fill_at_the_touch(
    services: Services,
) -> None:
    _, trader = await opened(services)
    before = await row_counts(services)
    preview = await preview_order(trader.ctx, trader.request("BUY", "10"))
    assert await row_counts(services) == before
    assert preview.estimate == Estimate(
        price=D(200),
        notional=D(2000),
        commission=D(2),
        cash_after=D(97998),
        buying_power_after=D(97998),
        position_after=D(10),
    )
    assert preview.accepted
    assert preview.largest_acceptable_quantity == D(10)
    funds = next(check for check in preview.checks if check.kind is RiskCheckKind.BUYING_POWER)
    order = (await place_order(trader.ctx, trader.request("BUY", "10"))).value
    assert funds.projected == order.reserved_cash == D("2062.06")
    await trader.fill(order, "10", "200")
    portfolio = await trader.portfolio()
    assert portfolio.cash == preview.estimate.cash_after


async def test_preview_when_it_sells_short_then_the_shorts_reserve_is_taken_off(services: Services) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "4", "200")
    preview = await preview_order(trader.ctx, trader.request("SELL", "10"))
    # 100000 - 800.8 in cash; + 10 x 199.9 - 1.999; then 1.5 x 6 x 199.9 is held back.
    assert preview.estimate.cash_after == D("101196.201")
    assert preview.estimate.buying_power_after == D("99397.101")
    assert preview.estimate.position_after == D(-6)


async def test_preview_when_a_limit_order_has_no_quote_then_it_is_estimated_at_its_limit(services: Services) -> None:
    _, trader = await opened(services)
    preview = await preview_order(trader.ctx, trader.request("BUY", "2", "MSFT", "500"))
    assert (preview.estimate.price, preview.estimate.notional, preview.accepted) == (D(500), D(1000), True)


@pytest.mark.parametrize(
    ("quantity", "symbol", "limit", "largest"),
    [
        ("100", "AAPL", "100", "9"),  # 9 x 100 x 1.001 = 900.9
        ("9", "AAPL", "100", "9"),
        ("5", "AAPL", "1001", "0"),
        ("1", "BTC-USD", "90000", "0.0111"),  # of steps of 0.00001: 0.01111 would be 1000.8999
        ("10", "AAPL", None, "4"),  # 4 x 206 x 1.001
    ],
)
async def test_preview_when_it_is_more_than_passes_then_it_says_how_much_would(
    services: Services, quantity: str, symbol: str, limit: str | None, largest: str
) -> None:
    _, trader = await opened(services, "1000")
    request = trader.request("BUY", quantity, symbol, limit)
    preview = await preview_order(trader.ctx, request)
    assert preview.largest_acceptable_quantity == D(largest)
    assert preview.accepted == (quantity == largest)
    lot = D("0.00001") if symbol == "BTC-USD" else D(1)
    if not preview.accepted:
        with pytest.raises(Refused):
            await place_order(trader.ctx, dataclasses.replace(request, quantity=D(largest) + lot))
    if D(largest):
        await place_order(trader.ctx, dataclasses.replace(request, quantity=D(largest)))


async def test_preview_when_checks_fail_then_it_reports_the_same_checks_as_the_refusal(services: Services) -> None:
    _, trader = await opened(services)
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_POSITION_NOTIONAL, D(1000))
    await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_CONCENTRATION, D("0.005"))
    request = trader.request("BUY", "10", limit="200")
    preview = await preview_order(trader.ctx, request)
    with pytest.raises(Refused) as refused:
        await place_order(trader.ctx, request)
    [fault] = refused.value.faults
    assert isinstance(fault, RiskFault)
    assert tuple(preview.checks) == fault.checks
    assert [check.kind.value for check in preview.checks if not check.passed] == [
        "MAX_POSITION_NOTIONAL",
        "MAX_CONCENTRATION",
    ]
    assert (preview.accepted, preview.largest_acceptable_quantity) == (False, D(2))


async def test_preview_when_trading_is_paused_then_it_is_answered_and_nothing_of_it_would_pass(
    services: Services,
) -> None:
    _, trader = await opened(services)
    await pause_trading(trader.ctx, trader.portfolio_id, "enough", None, reduce_only=False)
    preview = await preview_order(trader.ctx, trader.request("BUY", "10"))
    assert (preview.accepted, preview.largest_acceptable_quantity) == (False, D(0))
    assert [check.kind for check in preview.checks if not check.passed] == [RiskCheckKind.TRADING_STATE]


async def test_preview_when_only_reducing_is_let_through_then_what_is_held_is_the_most(services: Services) -> None:
    _, trader = await opened(services)
    await trader.trade("BUY", "10", "200")
    await trader.place("SELL", "3", limit="300")
    await pause_trading(trader.ctx, trader.portfolio_id, "careful", None, reduce_only=True)
    preview = await preview_order(trader.ctx, trader.request("SELL", "20"))
    assert (preview.accepted, preview.largest_acceptable_quantity) == (False, D(7))


@pytest.mark.parametrize(
    "given",
    [
        {"quantity": D(0), "limit_price": D(0), "client_order_id": ""},
        {"quantity": D("1.5"), "limit_price": D("0.001")},
        {"symbol": "NONE"},
        {"symbol": "MSFT", "type": OrderType.MARKET, "limit_price": None},
    ],
)
async def test_preview_when_the_input_is_wrong_then_it_is_refused_as_placing_is(
    services: Services, given: dict[str, Any]
) -> None:
    _, trader = await opened(services)
    request = dataclasses.replace(trader.request("BUY", "1", limit="100"), **given)
    with pytest.raises(Refused) as placing:
        await place_order(trader.ctx, request)
    with pytest.raises(Refused) as previewing:
        await preview_order(trader.ctx, request)
    assert previewing.value.faults == placing.value.faults


async def test_preview_when_the_portfolio_is_someone_elses_then_it_answers_as_for_a_missing_one(
    services: Services,
) -> None:
    _, ada = await opened(services)
    bob = await Trader.with_cash(services, email="bob@example.com")
    answers = set()
    for portfolio_id in (ada.portfolio_id, services.ids.new()):
        request = dataclasses.replace(ada.request("BUY", "1", limit="100"), portfolio_id=portfolio_id)
        with pytest.raises(Refused) as refused:
            await preview_order(bob.ctx, request)
        answers.add(refused.value.faults)
    assert len(answers) == 1
    with pytest.raises(Unauthenticated):
        await preview_order(anonymous(services), ada.request("BUY", "1", limit="100"))


async def test_preview_when_it_covers_a_short_then_the_freed_reserve_counts(services: Services) -> None:
    market, trader = await opened(services, "1100")
    await market.quote("AAPL", "100.00", "100.01", last="100")
    await trader.trade("SELL", "20", "100")  # cash 3098, 3000 held back
    preview = await preview_order(trader.ctx, trader.request("BUY", "20", limit="101"))
    funds = next(check for check in preview.checks if check.kind is RiskCheckKind.BUYING_POWER)
    assert (funds.projected, funds.threshold) == (D("-977.98"), D(98))  # 2022.02 - 3000
    assert preview.accepted
    more = await preview_order(trader.ctx, trader.request("BUY", "40", limit="101"))
    assert more.largest_acceptable_quantity == D(30)  # 98 + 3000 = 3098 buys 30 at 101.101
    assert preview.estimate.position_after == D(0)
