"""The limits among the pre-trade checks, how much of an order they would let through, and what it would do."""

from dataclasses import replace
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.book import Proposal, Rules, exposure, funds
from models.enums import OrderSide, RiskLimitKind, TradingState
from models.estimates import estimate
from models.pretrade import largest_acceptable
from models.risk import threshold_fault
from tests.support.checks import (
    BUY,
    LOT,
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
from tests.support.orders import a_quote
from tests.support.samples import a_portfolio, a_position, unhurried

D = Decimal


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


def test_open_orders_when_the_settings_allow_less_than_the_limit_then_they_hold() -> None:
    book = limited(a_book("100000", None, working(BUY, "1")), RiskLimitKind.MAX_OPEN_ORDERS, "50")
    check = checks(book, wish(BUY, "1"), replace(RULES, max_open_orders=1))[Kind.MAX_OPEN_ORDERS]
    assert seen(check) == (False, D(2), D(1))


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
        (RiskLimitKind.MAX_LEVERAGE, "2.5", None),
        (RiskLimitKind.MAX_DAILY_LOSS, "0.01", None),
        (RiskLimitKind.MAX_DAILY_LOSS, "0", "is 0: it has to be more, as a loss that has come to it holds new risk"),
        (RiskLimitKind.MAX_DRAWDOWN, "0", "is 0: it has to be more, as a loss that has come to it holds new risk"),
        (RiskLimitKind.MAX_DRAWDOWN, "1", None),
        (
            RiskLimitKind.MAX_DRAWDOWN,
            "1.01",
            "is 1.01: a fraction of total equity has to be between 0 and 1 (0.25 is 25%)",
        ),
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
orders_at_work = st.lists(
    st.tuples(st.sampled_from([BUY, SELL]), st.integers(1, 30), st.sampled_from(["AAPL", "AAPL", "KO"])), max_size=3
)
limits_set = st.fixed_dictionaries(
    {},
    optional={
        RiskLimitKind.MAX_ORDER_NOTIONAL: st.integers(0, 8_000),
        RiskLimitKind.MAX_POSITION_NOTIONAL: st.integers(0, 8_000),
        RiskLimitKind.MAX_CONCENTRATION: st.integers(0, 1),
        RiskLimitKind.MAX_GROSS_EXPOSURE: st.integers(0, 16_000),
        RiskLimitKind.MAX_LEVERAGE: st.integers(0, 4),
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
    at_work: list[tuple[OrderSide, int, str]],
    limits: dict[RiskLimitKind, int],
    side: OrderSide,
    limit: str | None,
    state: TradingState,
    rules: Rules,
) -> None:
    orders = [
        working(each, str(quantity), number=number, symbol=symbol)
        for number, (each, quantity, symbol) in enumerate(at_work, 60)
    ]
    book = a_book("0", held, *orders, portfolio=a_portfolio(str(cash), trading_state=state))
    book = replace(
        book, positions={**book.positions, **KO}, quotes={**book.quotes, "KO": replace(a_quote("60"), symbol="KO")}
    )
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
