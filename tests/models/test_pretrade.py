"""The pre-trade checks: prices, buying power, trading states and short selling, at what they allow and just beyond."""

from dataclasses import replace
from decimal import Decimal

import pytest

from models.book import exposure, funds, worst_price
from models.enums import OrderSide, RiskLimitKind, TradingState
from models.marketdata import Quote
from models.orders import Order
from models.portfolios import TradingStatus
from tests.support.checks import (
    BUY,
    NO_SHORTS,
    QUOTE,
    RULES,
    SELL,
    Kind,
    a_book,
    checks,
    limited,
    seen,
    wish,
    working,
)
from tests.support.clock import START
from tests.support.orders import a_quote
from tests.support.samples import a_portfolio, a_position

D = Decimal


@pytest.mark.parametrize(
    ("side", "limit", "stop", "quote", "price"),
    [
        (BUY, "90", None, QUOTE, "90"),
        (BUY, None, None, QUOTE, "103.0103"),
        (BUY, None, "110", QUOTE, "113.3"),
        (BUY, None, "90", QUOTE, "103.0103"),
        (BUY, None, None, None, None),
        (BUY, "90", None, None, "90"),
        (SELL, None, None, QUOTE, "99.99"),
        (SELL, "90", None, QUOTE, "99.99"),
        (SELL, "110", None, QUOTE, "110"),
        (SELL, "110", None, None, "110"),
        (SELL, None, None, None, None),
    ],
)
def test_worst_price_when_asked_then_it_is_what_a_unit_may_cost_or_bring(
    side: OrderSide, limit: str | None, stop: str | None, quote: Quote | None, price: str | None
) -> None:
    proposal = wish(side, "1", limit, stop_price=None if stop is None else D(stop))
    assert worst_price(proposal, quote, RULES) == (None if price is None else D(price))


def test_assess_when_nothing_is_in_the_way_then_every_check_reports_all_the_same() -> None:
    assert {kind: check.passed for kind, check in checks(a_book(), wish(BUY, "10")).items()} == dict.fromkeys(
        (
            Kind.TRADING_STATE,
            Kind.REDUCE_ONLY,
            Kind.MARKET_HOURS,
            Kind.PRICE_COLLAR,
            Kind.SHORT_SELLING,
            Kind.BUYING_POWER,
            Kind.MAX_OPEN_ORDERS,
        ),
        True,
    )


def test_assess_when_every_limit_is_set_then_each_has_its_check() -> None:
    book = a_book()
    for kind in RiskLimitKind:
        book = limited(book, kind, "1")
    assert set(checks(book, wish(BUY, "10"))) == set(Kind)


# --- buying power


@pytest.mark.parametrize(("cash", "passed"), [("1001.01", True), ("1001", True), ("1000.99", False)])
def test_buying_power_when_a_buy_needs_all_of_it_then_it_passes_and_a_cent_less_does_not(
    cash: str, *, passed: bool
) -> None:
    assert seen(checks(a_book(cash), wish(BUY, "10"))[Kind.BUYING_POWER]) == (passed, D(1001), D(cash))


@pytest.mark.parametrize(("cash", "passed"), [("1031.133103", True), ("1031.133102", False)])
def test_buying_power_when_a_buy_is_at_the_market_then_it_needs_the_ask_and_three_percent(
    cash: str, *, passed: bool
) -> None:
    check = checks(a_book(cash), wish(BUY, "10", None))[Kind.BUYING_POWER]
    assert seen(check) == (passed, D("1031.133103"), D(cash))


def test_buying_power_when_orders_hold_some_back_then_that_is_not_there() -> None:
    book = replace(a_book(), portfolio=a_portfolio("2000", reserved_cash=D("999.5")))
    assert seen(checks(book, wish(BUY, "10"))[Kind.BUYING_POWER]) == (False, D(1001), D("1000.5"))


@pytest.mark.parametrize(("cash", "passed"), [("501", True), ("500.99999999", False)])
def test_buying_power_when_a_sale_opens_a_short_then_it_needs_half_its_worth_and_commission(
    cash: str, *, passed: bool
) -> None:
    # 10 short are worth 1,000 and hold back 1,500; the sale brings 999.
    assert seen(checks(a_book(cash), wish(SELL, "10"))[Kind.BUYING_POWER]) == (passed, D(501), D(cash))


def test_buying_power_when_the_last_price_is_above_the_bid_then_a_short_needs_its_reserve_at_the_last() -> None:
    quote = a_quote("102", bid="100", ask="102")
    check = checks(a_book("1000", quotes={"AAPL": quote}), wish(SELL, "10", None))[Kind.BUYING_POWER]
    assert check.projected == D(1530) - D(999)


def test_buying_power_when_a_sale_is_of_what_is_held_then_it_needs_none_of_it() -> None:
    assert seen(checks(a_book("-50", "10"), wish(SELL, "10"))[Kind.BUYING_POWER]) == (True, D(0), D(-50))


def test_buying_power_when_a_sale_crosses_zero_then_only_what_is_short_needs_it() -> None:
    assert checks(a_book("1000", "6"), wish(SELL, "10"))[Kind.BUYING_POWER].projected == D("200.4")


def test_buying_power_when_working_sales_use_what_is_held_then_the_next_is_short() -> None:
    book = a_book("1000", "10", working(SELL, "8"))
    assert seen(checks(book, wish(SELL, "10"))[Kind.BUYING_POWER]) == (True, D("400.8"), D(1000))


def test_buying_power_when_working_sales_will_be_short_then_their_need_is_set_apart_first() -> None:
    # 8 of the second are short at their limit of 120: 8 x (180 - 119.88); the market order's 4 at the last price.
    orders = [working(SELL, "10"), working(SELL, "8", "120", 51), working(SELL, "4", None, 52)]
    book = a_book("1000", "10", *orders)
    assert checks(book, wish(BUY, "1"))[Kind.BUYING_POWER].threshold == D(1000) - D("480.96") - D("200.4")


@pytest.mark.parametrize(
    ("quantity", "needs"),
    [("4", "-199.6"), ("10", "-499"), ("12", "-298.8"), ("20", "502")],
)
def test_buying_power_when_a_buy_covers_a_short_then_the_shorts_reserve_pays_for_it(quantity: str, needs: str) -> None:
    # 10 short with 1,000 of cash left: the buying power is 1,000 - 1,500.
    check = checks(a_book("1000", "-10"), wish(BUY, quantity))[Kind.BUYING_POWER]
    assert seen(check) == (D(needs) <= 0, D(needs), D(-500))


def test_buying_power_when_working_buys_cover_the_short_already_then_the_next_pays_for_itself() -> None:
    book = a_book("10000", "-10", working(BUY, "8"))
    assert checks(book, wish(BUY, "5"))[Kind.BUYING_POWER].projected == D("500.5") - D(300)


def test_funds_when_there_never_was_a_quote_then_a_limit_prices_it() -> None:
    book = a_book("1000", quotes={})
    proposal = wish(SELL, "10", "100")
    assert funds(book, proposal, exposure(book, proposal, D(100)), RULES).required == D(501)


# --- trading state, reduce only, short selling


@pytest.mark.parametrize("own", TradingState)
@pytest.mark.parametrize("everybodys", TradingState)
def test_state_when_the_portfolio_and_the_market_have_one_then_the_stricter_holds(
    own: TradingState, everybodys: TradingState
) -> None:
    market = TradingStatus(everybodys, None, START, None)
    book = a_book(portfolio=a_portfolio(trading_state=own), market=market, positions={"AAPL": a_position("10")})
    states = {own, everybodys}
    found = checks(book, wish(BUY, "1"))
    assert found[Kind.TRADING_STATE].passed is (TradingState.PAUSED not in states)
    reduce_only = TradingState.REDUCE_ONLY in states and TradingState.PAUSED not in states
    assert found[Kind.REDUCE_ONLY].passed is not reduce_only
    assert checks(book, wish(SELL, "1"))[Kind.REDUCE_ONLY].passed


@pytest.mark.parametrize(
    ("held", "side", "quantity", "orders", "passed"),
    [
        (None, BUY, "1", [], False),
        (None, SELL, "1", [], False),
        ("10", BUY, "1", [], False),
        ("10", SELL, "10", [], True),
        ("10", SELL, "11", [], False),
        ("-10", BUY, "10", [], True),
        ("-10", BUY, "11", [], False),
        ("-10", SELL, "1", [], False),
        ("10", SELL, "6", [working(SELL, "4")], True),
        ("10", SELL, "7", [working(SELL, "4")], False),
        ("10", SELL, "10", [working(BUY, "4"), working(SELL, "4", symbol="KO")], True),
    ],
)
def test_reduce_only_when_an_order_only_makes_a_position_smaller_then_it_passes(
    held: str | None, side: OrderSide, quantity: str, orders: list[Order], *, passed: bool
) -> None:
    book = a_book("100000", held, *orders, portfolio=a_portfolio(trading_state=TradingState.REDUCE_ONLY))
    found = checks(book, wish(side, quantity))
    assert found[Kind.REDUCE_ONLY].passed is passed
    assert found[Kind.TRADING_STATE].passed


@pytest.mark.parametrize(
    ("held", "side", "quantity", "orders", "short", "passed"),
    [
        (None, SELL, "1", [], "1", False),
        ("10", SELL, "10", [], "0", True),
        ("10", SELL, "11", [], "1", False),
        ("10", SELL, "8", [working(SELL, "4")], "2", False),
        ("-10", BUY, "4", [], "0", True),
        ("-10", SELL, "1", [], "11", False),
    ],
)
def test_short_selling_when_it_is_off_then_what_would_be_short_is_refused_and_when_on_it_is_shown(
    held: str | None, side: OrderSide, quantity: str, orders: list[Order], short: str, *, passed: bool
) -> None:
    book = a_book("100000", held, *orders)
    assert seen(checks(book, wish(side, quantity), NO_SHORTS)[Kind.SHORT_SELLING]) == (passed, D(short), D(0))
    assert seen(checks(book, wish(side, quantity))[Kind.SHORT_SELLING]) == (True, D(short), None)
