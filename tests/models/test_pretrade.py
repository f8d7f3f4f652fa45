"""The pre-trade checks at, just below and just above what they allow."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, OrderType, RiskCheckKind, RiskLimitKind, Severity, TradingState
from models.marketdata import Quote
from models.orders import Order
from models.portfolios import TradingStatus
from models.pretrade import (
    Book,
    Proposal,
    Rules,
    assess,
    estimate,
    exposure,
    funds,
    largest_acceptable,
    worst_price,
)
from models.risk import RiskCheck, RiskLimit, threshold_fault
from tests.support.clock import START
from tests.support.orders import a_quote, an_order
from tests.support.samples import OWNER_ID, PORTFOLIO_ID, a_portfolio, a_position, unhurried

D = Decimal
BUY, SELL = OrderSide.BUY, OrderSide.SELL
Kind = RiskCheckKind
RULES = Rules(commission_rate=D("0.001"), market_order_margin=D("0.03"), short_selling=True, max_open_orders=200)
NO_SHORTS = replace(RULES, short_selling=False)
LOT = D(1)
# Bid 99.99, ask 100.01, last 100.
QUOTE = a_quote("100")


def a_book(cash: str = "100000", held: str | None = None, *working: Order, **given: Any) -> Book:
    """AAPL quoted at 100; `held` of it at an average of 100."""
    values: dict[str, Any] = {
        "portfolio": a_portfolio(cash),
        "market": TradingStatus(TradingState.ACTIVE, None, START, None),
        "positions": {} if held is None else {"AAPL": a_position(held)},
        "working": list(working),
        "limits": {},
        "quotes": {"AAPL": QUOTE},
    }
    return Book(**values | given)


def limited(book: Book, kind: RiskLimitKind, threshold: str) -> Book:
    limit = RiskLimit(UUID(int=5), PORTFOLIO_ID, OWNER_ID, kind, D(threshold), Severity.WARNING)
    return replace(book, limits={**book.limits, kind: limit})


def wish(side: OrderSide, quantity: str, limit: str | None = "100", **given: Any) -> Proposal:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    return replace(Proposal("AAPL", side, kind, D(quantity), None if limit is None else D(limit)), **given)


def checks(book: Book, proposal: Proposal, rules: Rules = RULES) -> dict[RiskCheckKind, RiskCheck]:
    price = worst_price(proposal, book.quotes.get("AAPL"), rules)
    assert price is not None
    return {check.kind: check for check in assess(book, proposal, price, rules)}


def seen(check: RiskCheck) -> tuple[bool, Decimal | None, Decimal | None]:
    return check.passed, check.projected, check.threshold


def working(side: OrderSide, quantity: str, limit: str | None = "100", number: int = 50, **given: Any) -> Order:
    price = None if limit is None else D(limit)
    return an_order(id=UUID(int=number), side=side, quantity=D(quantity), limit_price=price, **given)


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
        (Kind.TRADING_STATE, Kind.REDUCE_ONLY, Kind.SHORT_SELLING, Kind.BUYING_POWER, Kind.MAX_OPEN_ORDERS), True
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


# --- limits


@pytest.mark.parametrize(("threshold", "passed"), [("3", True), ("2", False), ("4", True), ("0", False)])
def test_open_orders_when_there_are_as_many_as_allowed_then_one_more_is_refused(
    threshold: str, *, passed: bool
) -> None:
    book = a_book("100000", "10", working(BUY, "1"), working(SELL, "1", symbol="KO"))
    limited_book = limited(book, RiskLimitKind.MAX_OPEN_ORDERS, threshold)
    for proposal in (wish(BUY, "1"), wish(SELL, "1")):
        check = checks(limited_book, proposal)[Kind.MAX_OPEN_ORDERS]
        assert seen(check) == (passed, D(3), D(threshold))


def test_open_orders_when_the_portfolio_has_no_limit_then_the_settings_have() -> None:
    check = checks(a_book("100000", None, working(BUY, "1")), wish(BUY, "1"), replace(RULES, max_open_orders=1))
    assert seen(check[Kind.MAX_OPEN_ORDERS]) == (False, D(2), D(1))


@pytest.mark.parametrize(("threshold", "passed"), [("1000", True), ("1000.01", True), ("999.99999999", False)])
def test_order_notional_when_it_is_the_limit_then_it_passes_and_a_trace_more_does_not(
    threshold: str, *, passed: bool
) -> None:
    book = limited(a_book("100000", "100"), RiskLimitKind.MAX_ORDER_NOTIONAL, threshold)
    for side in (BUY, SELL):  # a sale that reduces is an order of that size all the same
        check = checks(book, wish(side, "10"))[Kind.MAX_ORDER_NOTIONAL]
        assert seen(check) == (passed, D(1000), D(threshold))


@pytest.mark.parametrize(("threshold", "passed"), [("1800", True), ("1800.01", True), ("1799.99", False)])
def test_position_notional_when_working_orders_of_the_side_count_as_filled_then_it_is_exact(
    threshold: str, *, passed: bool
) -> None:
    orders = [working(BUY, "5"), working(SELL, "3", number=51), working(BUY, "9", number=52, symbol="KO")]
    book = limited(a_book("100000", "3", *orders), RiskLimitKind.MAX_POSITION_NOTIONAL, threshold)
    check = checks(book, wish(BUY, "10"))[Kind.MAX_POSITION_NOTIONAL]
    assert seen(check) == (passed, D(1800), D(threshold))


def test_position_notional_when_the_limit_price_is_below_the_market_then_the_position_is_worth_the_last() -> None:
    book = limited(a_book("100000", "99"), RiskLimitKind.MAX_POSITION_NOTIONAL, "9999.99")
    assert seen(checks(book, wish(BUY, "1", "0.01"))[Kind.MAX_POSITION_NOTIONAL]) == (False, D(10_000), D("9999.99"))


@pytest.mark.parametrize(
    ("held", "side", "quantity", "worth", "passed"),
    [
        ("50", SELL, "10", "4000", True),
        ("50", SELL, "50", "0", True),
        ("50", SELL, "61", "1100", False),
        ("50", SELL, "60", "1000", True),
        ("-50", BUY, "10", "4000", True),
        ("-50", SELL, "1", "5100", False),
    ],
)
def test_position_notional_when_an_order_reduces_then_it_passes_however_much_is_left(
    held: str, side: OrderSide, quantity: str, worth: str, *, passed: bool
) -> None:
    book = limited(a_book("100000", held), RiskLimitKind.MAX_POSITION_NOTIONAL, "1000")
    assert seen(checks(book, wish(side, quantity))[Kind.MAX_POSITION_NOTIONAL]) == (passed, D(worth), D(1000))


@pytest.mark.parametrize(("threshold", "passed"), [("0.25", True), ("0.24999999", False), ("1", True), ("0", False)])
def test_concentration_when_it_is_the_limit_then_it_passes_and_a_trace_more_does_not(
    threshold: str, *, passed: bool
) -> None:
    # 10 held and 15 more of 10,000 in all.
    book = limited(a_book("9000", "10"), RiskLimitKind.MAX_CONCENTRATION, threshold)
    assert seen(checks(book, wish(BUY, "15"))[Kind.MAX_CONCENTRATION]) == (passed, D("0.25"), D(threshold))


def test_concentration_when_its_figure_is_rounded_then_what_is_compared_is_not() -> None:
    book = limited(a_book("3000"), RiskLimitKind.MAX_CONCENTRATION, "0.33333333")
    assert seen(checks(book, wish(BUY, "10"))[Kind.MAX_CONCENTRATION]) == (False, D("0.33333333"), D("0.33333333"))


def test_concentration_when_an_order_reduces_then_it_passes() -> None:
    book = limited(a_book("0", "10"), RiskLimitKind.MAX_CONCENTRATION, "0.1")
    assert seen(checks(book, wish(SELL, "1"))[Kind.MAX_CONCENTRATION]) == (True, D("0.9"), D("0.1"))


KO = {"KO": a_position("5", symbol="KO", id=UUID(int=8))}


@pytest.mark.parametrize(
    ("cash", "others", "message"),
    [
        ("9000", KO, "A position has no price."),
        ("-1000", {}, "The portfolio has no equity to measure against."),
        ("-1000.01", {}, "The portfolio has no equity to measure against."),
    ],
)
def test_concentration_when_there_is_no_equity_to_measure_then_only_what_reduces_passes(
    cash: str, others: dict[str, Any], message: str
) -> None:
    book = a_book(cash, positions={"AAPL": a_position("10")} | others)
    book = limited(book, RiskLimitKind.MAX_CONCENTRATION, "0.5")
    bought, sold = (checks(book, wish(side, "1"))[Kind.MAX_CONCENTRATION] for side in (BUY, SELL))
    assert (seen(bought), bought.message) == ((False, None, D("0.5")), message)
    assert seen(sold) == (True, None, D("0.5"))


@pytest.mark.parametrize(
    ("kind", "threshold", "fault"),
    [
        (RiskLimitKind.MAX_ORDER_NOTIONAL, "0", None),
        (RiskLimitKind.MAX_ORDER_NOTIONAL, "-0.01", "is -0.01: it has to be 0 or more"),
        (RiskLimitKind.MAX_OPEN_ORDERS, "3.0", None),
        (RiskLimitKind.MAX_OPEN_ORDERS, "2.5", "is 2.5: a count has to be a whole number"),
        (RiskLimitKind.MAX_CONCENTRATION, "1", None),
        (
            RiskLimitKind.MAX_CONCENTRATION,
            "25",
            "is 25: a fraction of total equity has to be between 0 and 1 (0.25 is 25%)",
        ),
    ],
)
def test_threshold_when_it_makes_no_sense_for_its_kind_then_there_is_a_fault(
    kind: RiskLimitKind, threshold: str, fault: str | None
) -> None:
    assert threshold_fault(kind, D(threshold)) == fault


# --- how much would be let through

held_ones = st.sampled_from([None, "40", "-40", "3", "-3"])
orders_at_work = st.lists(st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 30)), max_size=3)
limits_set = st.fixed_dictionaries(
    {},
    optional={
        RiskLimitKind.MAX_ORDER_NOTIONAL: st.integers(0, 8_000),
        RiskLimitKind.MAX_POSITION_NOTIONAL: st.integers(0, 8_000),
        RiskLimitKind.MAX_CONCENTRATION: st.integers(0, 1),
        RiskLimitKind.MAX_OPEN_ORDERS: st.integers(0, 6),
    },
)


@unhurried
@given(
    cash=st.integers(-3_000, 20_000),
    held=held_ones,
    at_work=orders_at_work,
    limits=limits_set,
    side=st.sampled_from([BUY, SELL]),
    limit=st.sampled_from([None, "80", "100", "130", "160"]),
    state=st.sampled_from([TradingState.ACTIVE, TradingState.ACTIVE, TradingState.REDUCE_ONLY, TradingState.PAUSED]),
    rules=st.sampled_from([RULES, NO_SHORTS]),
)
def test_largest_acceptable_when_searched_then_it_is_let_through_and_a_lot_more_is_not(
    cash: int,
    held: str | None,
    at_work: list[tuple[OrderSide, int]],
    limits: dict[RiskLimitKind, int],
    side: OrderSide,
    limit: str | None,
    state: TradingState,
    rules: Rules,
) -> None:
    orders = [working(each, str(quantity), number=number) for number, (each, quantity) in enumerate(at_work, 60)]
    book = a_book("0", held, *orders, portfolio=a_portfolio(str(cash), trading_state=state))
    for kind, threshold in limits.items():
        book = limited(book, kind, str(threshold))

    def accepts(proposal: Proposal) -> bool:
        return all(check.passed for check in checks(book, proposal, rules).values())

    most = 120
    largest = largest_acceptable(wish(side, "1", limit), LOT, accepts, most)
    # What is let through is let through in every smaller size too: so the search by halves is right.
    accepted = [quantity for quantity in range(1, most + 1) if accepts(wish(side, str(quantity), limit))]
    assert accepted == list(range(1, int(largest) + 1))


@pytest.mark.parametrize(("lot", "most", "largest"), [("1", 5, "5"), ("0.001", 12_345, "9.99"), ("10", 0, "0")])
def test_largest_acceptable_when_it_is_in_lots_then_it_is_a_multiple_up_to_what_was_asked(
    lot: str, most: int, largest: str
) -> None:
    found = largest_acceptable(wish(BUY, "1"), D(lot), lambda proposal: proposal.quantity < D("9.991"), most)
    assert found == D(largest)


# --- estimates


def test_estimate_when_a_market_order_would_be_filled_now_then_it_is_at_the_touch() -> None:
    seen_now = estimate(a_book("10000", "5"), wish(BUY, "10", None), RULES)
    assert (seen_now.price, seen_now.notional, seen_now.commission) == (D("100.01"), D("1000.1"), D("1.0001"))
    assert (seen_now.cash_after, seen_now.buying_power_after) == (D("8998.8999"), D("8998.8999"))
    assert seen_now.position_after == D(15)


def test_estimate_when_a_sale_crosses_zero_then_the_short_holds_back_its_reserve() -> None:
    seen_now = estimate(a_book("10000", "4"), wish(SELL, "10", "100"), RULES)
    assert (seen_now.cash_after, seen_now.position_after) == (D(10_999), D(-6))
    assert seen_now.buying_power_after == D(10_999) - D(900)


def test_estimate_when_there_is_no_price_then_only_the_position_is_known() -> None:
    seen_now = estimate(a_book("10000", "4", quotes={}), wish(SELL, "10", None), RULES)
    assert (seen_now.price, seen_now.cash_after, seen_now.buying_power_after) == (None, None, None)
    assert seen_now.position_after == D(-6)


@unhurried
@given(
    cash=st.integers(0, 5_000),
    side=st.sampled_from([BUY, SELL]),
    quantity=st.integers(1, 80),
    spread=st.integers(0, 500),
    last=st.integers(0, 500),
    held=held_ones,
)
def test_estimate_when_an_order_at_the_market_is_accepted_then_what_is_left_is_not_below_nothing(
    cash: int, side: OrderSide, quantity: int, spread: int, last: int, held: str | None
) -> None:
    quote = replace(
        QUOTE, bid=D(100), ask=D(100) + D(spread) / 100, last=D(100) + min(D(last), D(spread)) / 100, symbol="AAPL"
    )
    book = a_book(str(cash), held, quotes={"AAPL": quote})
    before = funds(book, wish(side, "1"), exposure(book, wish(side, "1"), D(100)), RULES).available
    proposal = wish(side, str(quantity), None)
    if before >= 0 and all(check.passed for check in checks(book, proposal).values()):
        after = estimate(book, proposal, RULES).buying_power_after
        assert after is not None
        assert after >= 0
