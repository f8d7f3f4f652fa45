"""Value at risk of the past year's days: published and worked examples, to the cent."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import ceil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, RiskLimitKind
from models.equity import Figure
from models.pretrade import largest_acceptable
from models.scenarios import CONFIDENCE, Year, value_at_risk
from tests.support.checks import BUY, LOT, QUOTE, SELL, Kind, a_book, checks, limited, seen, wish, working
from tests.support.orders import a_quote
from tests.support.samples import a_position, unhurried

D = Decimal
FIRST = datetime(2025, 3, 1, tzinfo=UTC)
VAR = RiskLimitKind.MAX_VALUE_AT_RISK


def closes(symbol: str, returns: list[float], first: int = 0) -> list[tuple[str, datetime, Decimal]]:
    """Of a price that begins at 100 and moves by these returns, a day apart."""
    found, price = [(symbol, FIRST + timedelta(days=first), D(100))], D(100)
    for number, each in enumerate(returns, 1):
        price = (price * (1 + D(str(each)))).quantize(D("1e-15"))
        found.append((symbol, FIRST + timedelta(days=first + number), price))
    return found


STEPS = [number / 1000 for number in range(-49, 51)]
"""A hundred days: the worst lost 4.9%, the best gained 5%."""
YEAR = Year([*closes("AAPL", STEPS), *closes("KO", STEPS), *closes("TLT", STEPS[:59])])


def test_value_at_risk_when_it_is_the_textbooks_then_it_is_the_fifth_worst_of_five_hundred() -> None:
    # Hull, Options, Futures, and Other Derivatives, historical simulation: at 99% the loss is 253,385.
    worst = [477_841, 345_435, 282_204, 277_041, 253_385, 217_974, 205_256]
    losses = np.array([*worst, *[100_000 - number for number in range(493)]], dtype=np.float64)
    assert value_at_risk(-np.flip(losses), D("0.99")) == D(253_385)


@pytest.mark.parametrize(("count", "rank"), [(100, 5), (101, 6), (119, 6), (120, 6), (121, 7), (364, 19)])
def test_value_at_risk_when_days_are_counted_then_one_in_twenty_is_worse_or_as_bad(count: int, rank: int) -> None:
    outcomes = -np.arange(1, count + 1, dtype=np.float64)
    assert value_at_risk(outcomes, CONFIDENCE) == D(count + 1 - rank)


@pytest.mark.parametrize(
    ("worths", "amount"),
    [
        ({}, "0"),
        ({"AAPL": "0"}, "0"),
        ({"AAPL": "10000"}, "450.00"),  # the fifth worst of a hundred lost 4.5%
        ({"AAPL": "-10000"}, "460.00"),  # short: the fifth best gained 4.6%
        ({"AAPL": "10000", "KO": "5000"}, "675.00"),
        ({"AAPL": "10000", "KO": "-4000"}, "270.00"),
        ({"AAPL": "10000", "KO": "-10000"}, "0"),
    ],
)
def test_value_at_risk_when_positions_are_played_then_it_is_the_fifth_worst_day(
    worths: dict[str, str], amount: str
) -> None:
    assert YEAR.value_at_risk({symbol: D(worth) for symbol, worth in worths.items()}) == Figure(D(amount))


@pytest.mark.parametrize(("symbol", "count"), [("TLT", 59), ("MSFT", 0)])
def test_value_at_risk_when_there_are_too_few_days_then_there_is_no_figure(symbol: str, count: int) -> None:
    why = f"{count} days of the past year have prices of all positions: 60 are needed."
    assert YEAR.value_at_risk({"AAPL": D(100), symbol: D(100)}) == Figure(None, why)


def test_value_at_risk_when_a_symbol_lacks_days_then_the_others_moves_go_over_them() -> None:
    # KO has every other close: AAPL's move over two days is played with it.
    steady = closes("AAPL", [0.01] * 200)
    year = Year([*steady, *[("KO", at, D(50)) for _, at, _ in steady[::2]]])
    assert year.value_at_risk({"AAPL": D(-10_000), "KO": D(1)}) == Figure(D("201.00"))


@unhurried
@given(st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=400))
def test_value_at_risk_when_outcomes_are_any_then_it_is_what_sorting_says(outcomes: list[int]) -> None:
    expected = sorted(-outcome for outcome in outcomes)[-ceil(len(outcomes) / 20)]
    assert value_at_risk(np.array(outcomes, dtype=np.float64), CONFIDENCE) == max(0, expected)


# --- as a check

QUOTES = {"AAPL": QUOTE, "KO": a_quote("100")}


@pytest.mark.parametrize(
    ("side", "quantity", "held", "figure", "threshold", "passed"),
    [
        (BUY, "100", None, "450", "450", True),
        (BUY, "100", None, "450", "449.99", False),
        (BUY, "100", "100", "900", "1000", True),
        (SELL, "100", "300", "900", "1", True),  # reduces
        (SELL, "200", "100", "460", "459", False),  # crosses zero, and is at more risk than before
        (SELL, "199", "100", "455.4", "459", True),
    ],
)
def test_value_at_risk_when_it_is_the_limit_then_it_passes_and_a_cent_more_does_not(
    side: OrderSide, quantity: str, held: str | None, figure: str, threshold: str, *, passed: bool
) -> None:
    book = limited(a_book("100000", held, year=YEAR), VAR, threshold)
    assert seen(checks(book, wish(side, quantity))[Kind.MAX_VALUE_AT_RISK]) == (passed, D(figure), D(threshold))


def test_value_at_risk_when_working_orders_are_there_then_they_count_as_filled() -> None:
    orders = [working(BUY, "10"), working(BUY, "20", number=51, symbol="KO")]
    book = limited(a_book("100000", None, *orders, quotes=QUOTES, year=YEAR), VAR, "100")
    check = checks(book, wish(BUY, "1"))[Kind.MAX_VALUE_AT_RISK]
    assert seen(check) == (False, D("139.50"), D(100))  # 31 x 100 x 4.5%


@pytest.mark.parametrize(("quantity", "figure"), [("66", "297"), ("67", "301.50"), ("200", "900")])
def test_value_at_risk_when_a_hedge_only_works_then_it_makes_nothing_safer(quantity: str, figure: str) -> None:
    # Far above the market: it is never filled, and sold short it would lose only on days that AAPL gains.
    book = a_book("100000", None, working(SELL, "60", "100", symbol="KO"), quotes=QUOTES, year=falling())
    check = checks(limited(book, VAR, "300"), wish(BUY, quantity))[Kind.MAX_VALUE_AT_RISK]
    assert seen(check) == (D(figure) <= 300, D(figure), D(300))


def test_value_at_risk_when_a_hedge_works_beside_what_it_hedges_then_that_counts_in_full() -> None:
    orders = [working(SELL, "60", symbol="KO"), working(BUY, "60", number=51)]
    book = limited(a_book("100000", None, *orders, quotes=QUOTES, year=falling()), VAR, "300")
    check = checks(book, wish(BUY, "60"))[Kind.MAX_VALUE_AT_RISK]
    assert seen(check) == (False, D(540), D(300))  # 120 x 100 x 4.5%


def test_value_at_risk_when_an_order_works_in_what_has_fewer_days_then_those_of_what_is_held_still_count() -> None:
    # KO began after the bad days of AAPL.
    year = Year([*closes("AAPL", STEPS), *closes("KO", [0.001] * 61, first=39)])
    book = a_book("100000", "40", working(SELL, "1", symbol="KO"), quotes=QUOTES, year=year)
    check = checks(limited(book, VAR, "449"), wish(BUY, "60"))[Kind.MAX_VALUE_AT_RISK]
    assert seen(check) == (False, D(450), D(449))


def test_value_at_risk_when_an_order_reduces_beside_a_working_hedge_then_it_passes() -> None:
    book = a_book("100000", "200", working(SELL, "60", symbol="KO"), quotes=QUOTES, year=YEAR)
    assert checks(limited(book, VAR, "1"), wish(SELL, "200"))[Kind.MAX_VALUE_AT_RISK].passed


def falling() -> Year:
    """AAPL and KO move alike; no day gains."""
    steps = [min(step, 0) for step in STEPS]
    return Year([*closes("AAPL", steps), *closes("KO", steps)])


@unhurried
@given(
    st.lists(st.tuples(st.integers(-90, 90), st.integers(-90, 90)), min_size=60, max_size=80),
    st.lists(st.integers(-100, 100), min_size=1, max_size=3),
    st.lists(st.integers(-100, 100), min_size=1, max_size=3),
)
def test_worst_value_at_risk_when_positions_may_be_several_then_it_is_no_less_than_that_of_any_choice(
    moves: list[tuple[int, int]], aapl: list[int], ko: list[int]
) -> None:
    year = Year([pair for n, name in enumerate(("AAPL", "KO")) for pair in closes(name, [m[n] / 1000 for m in moves])])
    worst = year.worst_value_at_risk({"AAPL": [D(each) for each in aapl], "KO": [D(each) for each in ko]}).value
    single = [year.value_at_risk({"AAPL": D(one), "KO": D(other)}).value for one in aapl for other in ko]
    assert worst is not None
    assert all(each is not None and each <= worst for each in single)


def test_value_at_risk_when_an_order_hedges_then_it_passes_however_much_is_left() -> None:
    book = a_book("100000", None, positions={"KO": a_position("1000", symbol="KO")}, quotes=QUOTES, year=YEAR)
    book = limited(book, VAR, "100")
    assert seen(checks(book, wish(SELL, "100"))[Kind.MAX_VALUE_AT_RISK]) == (True, D(4050), D(100))
    assert seen(checks(book, wish(BUY, "1"))[Kind.MAX_VALUE_AT_RISK]) == (False, D("4504.50"), D(100))


def test_value_at_risk_when_it_can_not_be_said_then_only_what_reduces_passes() -> None:
    book = limited(a_book("100000", "10", year=Year([])), VAR, "100000")
    bought, sold = (checks(book, wish(side, "1"))[Kind.MAX_VALUE_AT_RISK] for side in (BUY, SELL))
    why = "0 days of the past year have prices of all positions: 60 are needed."
    assert (seen(bought), bought.message) == ((False, None, D(100_000)), why)
    assert seen(sold) == (True, None, D(100_000))


@unhurried
@given(
    st.sampled_from([None, "40", "-40"]),
    st.integers(-80, 80),
    st.sampled_from([BUY, SELL]),
    st.integers(0, 600),
    st.lists(st.integers(-90, 90), min_size=60, max_size=80),
    st.lists(st.integers(-90, 90), min_size=80, max_size=80),
)
def test_largest_acceptable_when_value_at_risk_is_limited_then_it_is_let_through_and_a_lot_more_is_not(
    held: str | None, other: int, side: OrderSide, threshold: int, moves: list[int], others: list[int]
) -> None:
    year = Year([*closes("AAPL", [move / 1000 for move in moves]), *closes("KO", [move / 1000 for move in others])])
    positions = {} if held is None else {"AAPL": a_position(held)}
    if other:
        positions["KO"] = a_position(str(other), symbol="KO")
    book = limited(a_book("100000", positions=positions, quotes=QUOTES, year=year), VAR, str(threshold))

    def accepts(quantity: Decimal) -> bool:
        return checks(book, wish(side, str(quantity)))[Kind.MAX_VALUE_AT_RISK].passed

    largest = largest_acceptable(wish(side, "1"), LOT, lambda proposal: accepts(proposal.quantity), 120)
    assert largest == 0 or accepts(largest)
    assert largest == 120 or not accepts(largest + 1)
