"""What is spent is there: buys that cost more than they held back, withdrawals beside sales that would sell short."""

import pytest

from infrastructure.services import Services
from models.enums import EventType, OrderStatus
from models.errors import Refused
from models.money import ZERO
from resolvers.orders.commands import cancel_order
from resolvers.orders.commands.execute import TOO_DEAR
from resolvers.portfolios.commands import withdraw_cash
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, row_counts
from tests.support.rebuild import verify


async def bought(services: Services, cash: str) -> Trader:
    """A trader who may buy AAPL at the market, at 100."""
    market, trader = await Market.open(services), await Trader.with_cash(services, cash)
    await market.quote("AAPL", "99.90", "100.00")
    return trader


async def test_market_buy_when_it_costs_more_than_held_back_and_that_is_there_then_it_is_filled(
    services: Services,
) -> None:
    trader = await bought(services, "2000")
    order = (await trader.place("BUY", "10")).value
    assert order.reserved_cash == D("1031.03")  # 100 and 3%, and the commission
    order = await trader.fill(order, "4", "150")
    portfolio = await trader.portfolio()
    # What is left holds back the price that it costs now.
    assert (order.status, order.reserve_price, order.reserved_cash) == (
        OrderStatus.PARTIALLY_FILLED,
        D(150),
        D("900.9"),
    )
    assert (portfolio.cash, portfolio.reserved_cash) == (D("1399.4"), D("900.9"))
    await verify(services.database)


async def test_market_buy_when_it_costs_more_than_there_is_then_it_is_cancelled_and_nothing_is_spent(
    services: Services,
) -> None:
    trader = await bought(services, "1501.4999")
    order = (await trader.place("BUY", "10")).value
    before = await row_counts(services)
    order = await trader.fill(order, "4", "150")  # the rest of it too would cost 1501.5
    assert (order.status, order.cancel_reason, order.filled_quantity) == (OrderStatus.CANCELLED, TOO_DEAR, ZERO)
    portfolio = await trader.portfolio()
    assert (portfolio.cash, portfolio.reserved_cash) == (D("1501.4999"), ZERO)
    assert await row_counts(services) == before | {"events": before["events"] + 1}
    assert (await whole_log(services.database))[-1].type is EventType.ORDER_CANCELLED
    await verify(services.database)


async def test_market_buy_when_it_covers_a_short_then_it_is_filled_at_any_price(services: Services) -> None:
    trader = await bought(services, "2000")
    await trader.trade("SELL", "10", "100.00")
    await Market(services).quote("AAPL", "499.00", "500.00")
    order = (await trader.place("BUY", "5")).value
    await Market(services).quote("AAPL", "599.00", "600.00")
    order = await trader.fill(order, "5", "600")
    assert order.status is OrderStatus.FILLED


async def test_withdrawal_when_a_sale_that_would_sell_short_works_then_what_that_needs_stays(
    services: Services,
) -> None:
    trader = await bought(services, "2000")
    order = (await trader.place("SELL", "10", limit="110")).value  # 10 x (1.5 x 110 - 110 x 0.999)
    before = await row_counts(services)
    message = "1448.91 can't be withdrawn: the buying power is 2000, and working sales will need all of it but 1448.9."
    with pytest.raises(Refused) as refused:
        await withdraw_cash(trader.ctx, trader.portfolio_id, D("1448.91"))
    assert [fault.message for fault in refused.value.faults] == [message]
    assert await row_counts(services) == before
    await withdraw_cash(trader.ctx, trader.portfolio_id, D("1448.9"))
    await Market(services).quote("AAPL", "110.00", "110.10")
    await trader.fill(order, "10", "110")
    portfolio = await trader.portfolio()
    assert portfolio.cash - D("1.5") * 10 * 110 == ZERO  # just enough


async def test_withdrawal_when_the_sale_is_cancelled_then_all_is_free_again(services: Services) -> None:
    trader = await bought(services, "2000")
    order = (await trader.place("SELL", "10", limit="110")).value
    await cancel_order(trader.ctx, order.id)
    assert (await withdraw_cash(trader.ctx, trader.portfolio_id, D(2000))).value.cash == ZERO
