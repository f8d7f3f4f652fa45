"""The limits of the whole book: gross exposure and leverage, with working orders at their worst."""

from dataclasses import replace
from decimal import Decimal
from uuid import UUID

import pytest

from models.book import Proposal
from models.enums import OrderSide, OrderType, RiskLimitKind
from models.orders import Order
from models.positions import Position
from tests.support.checks import BUY, QUOTE, SELL, Kind, a_book, checks, limited, seen, wish, working
from tests.support.orders import a_quote
from tests.support.samples import a_position

D = Decimal
GROSS, LEVERAGE = RiskLimitKind.MAX_GROSS_EXPOSURE, RiskLimitKind.MAX_LEVERAGE
QUOTES = {"AAPL": QUOTE, "KO": replace(a_quote("60"), symbol="KO")}


def holding(aapl: str | None, ko: str | None) -> dict[str, Position]:
    held = {"AAPL": aapl, "KO": ko}
    return {
        symbol: a_position(quantity, symbol=symbol, id=UUID(int=number))
        for number, (symbol, quantity) in enumerate(held.items(), 80)
        if quantity is not None
    }


@pytest.mark.parametrize(
    ("aapl", "ko", "orders", "side", "quantity", "limit", "gross"),
    [
        (None, None, [], BUY, "10", "100", "1000"),
        ("5", "-10", [], BUY, "10", "100", "2100"),  # 15 x 100 and 10 x 60, long and short alike
        ("5", "-10", [], SELL, "10", "100", "1100"),  # short by 5
        ("5", "-10", [], BUY, "10", "120", "2400"),  # at the order's price where that is higher
        ("5", "-10", [], BUY, "10", "80", "2100"),  # at the last where that is
        # Working orders of other instruments: the side that makes the position larger.
        (None, "10", [working(BUY, "4", "60", symbol="KO")], BUY, "1", "100", "940"),
        (None, "10", [working(SELL, "4", "60", symbol="KO")], BUY, "1", "100", "700"),
        (None, "10", [working(SELL, "25", "60", symbol="KO")], BUY, "1", "100", "1000"),
        (None, "10", [working(BUY, "4", "70", symbol="KO")], BUY, "1", "100", "1080"),  # 14 x 70
        (None, "10", [working(SELL, "4", "90", symbol="KO")], BUY, "1", "100", "700"),  # its price is of no matter
        # Of the order's own: its side with it, the other without.
        ("5", None, [working(BUY, "4")], BUY, "1", "100", "1000"),
        ("5", None, [working(SELL, "20")], BUY, "1", "100", "1500"),
        (None, None, [working(SELL, "3", number=51)], BUY, "4", "100", "400"),
    ],
)
def test_gross_exposure_when_the_book_is_counted_at_its_worst_then_it_is_exact_at_the_limit_and_refused_beyond(
    aapl: str | None, ko: str | None, orders: list[Order], side: OrderSide, quantity: str, limit: str, gross: str
) -> None:
    book = a_book("100000", None, *orders, positions=holding(aapl, ko), quotes=QUOTES)
    for threshold, passed in ((gross, True), (str(D(gross) - D("0.00000001")), False)):
        check = checks(limited(book, GROSS, threshold), wish(side, quantity, limit))[Kind.MAX_GROSS_EXPOSURE]
        assert seen(check) == (passed, D(gross), D(threshold))


@pytest.mark.parametrize(
    ("first", "second", "gross"),
    [
        # 159 at 150, whichever comes last; a stop that is only proposed may cost 3% more.
        (working(BUY, "100", None, type=OrderType.STOP, stop_price=D(150)), wish(BUY, "59"), "23850"),
        (working(BUY, "59"), wish(BUY, "100", None, type=OrderType.STOP, stop_price=D(150)), "24565.5"),
        (working(SELL, "100", "150"), wish(SELL, "59"), "23850"),
        (working(SELL, "59"), wish(SELL, "100", "150"), "23850"),
    ],
)
def test_worth_when_another_order_of_its_side_names_a_higher_price_then_all_is_counted_at_that(
    first: Order, second: Proposal, gross: str
) -> None:
    book = limited(limited(a_book("100000", None, first), GROSS, "16000"), RiskLimitKind.MAX_POSITION_NOTIONAL, "16000")
    found = checks(book, second)
    for kind in (Kind.MAX_GROSS_EXPOSURE, Kind.MAX_POSITION_NOTIONAL):
        assert seen(found[kind]) == (False, D(gross), D(16_000))


def test_worth_when_it_reduces_beside_a_dearer_order_then_it_is_worth_no_more_for_that() -> None:
    book = limited(a_book("100000", "10", working(SELL, "4", "200")), GROSS, "1")
    assert seen(checks(book, wish(SELL, "1"))[Kind.MAX_GROSS_EXPOSURE]) == (True, D(500), D(1))


@pytest.mark.parametrize(
    ("held", "side", "quantity", "passed"),
    [("50", SELL, "50", True), ("50", SELL, "61", False), ("50", SELL, "59", True), ("-50", BUY, "1", True)],
)
def test_gross_exposure_when_an_order_reduces_then_it_passes_however_much_is_left(
    held: str, side: OrderSide, quantity: str, *, passed: bool
) -> None:
    check = checks(limited(a_book("100000", held), GROSS, "1000"), wish(side, quantity))[Kind.MAX_GROSS_EXPOSURE]
    assert check.passed is passed


@pytest.mark.parametrize(("threshold", "passed"), [("2", True), ("1.99999999", False)])
def test_leverage_when_it_is_the_limit_then_it_passes_and_a_trace_more_does_not(
    threshold: str, *, passed: bool
) -> None:
    # 3,000 of cash and 10 short at 100: 2,000 of equity; 40 would be short in all.
    book = limited(a_book("3000", "-10"), LEVERAGE, threshold)
    assert seen(checks(book, wish(SELL, "30"))[Kind.MAX_LEVERAGE]) == (passed, D(2), D(threshold))


def test_leverage_when_its_figure_is_rounded_then_what_is_compared_is_not() -> None:
    book = limited(a_book("3000"), LEVERAGE, "0.33333333")
    assert seen(checks(book, wish(BUY, "10"))[Kind.MAX_LEVERAGE]) == (False, D("0.33333333"), D("0.33333333"))


@pytest.mark.parametrize(
    ("cash", "positions", "orders", "message"),
    [
        ("9000", holding("10", "5"), [], "A position has no price."),
        ("-1000", holding("10", None), [], "The portfolio has no equity to measure against."),
        ("-1500", holding("10", None), [], "The portfolio has no equity to measure against."),
    ],
)
def test_whole_book_when_it_can_not_be_measured_then_only_what_reduces_passes(
    cash: str, positions: dict[str, Position], orders: list[Order], message: str
) -> None:
    book = limited(a_book(cash, None, *orders, positions=positions), LEVERAGE, "5")
    bought, sold = (checks(book, wish(side, "1"))[Kind.MAX_LEVERAGE] for side in (BUY, SELL))
    assert (seen(bought), bought.message) == ((False, None, D(5)), message)
    assert seen(sold) == (True, None, D(5))


def test_gross_exposure_when_a_position_has_no_price_then_only_what_reduces_passes() -> None:
    book = limited(a_book("9000", positions=holding("10", "5")), GROSS, "99999")
    assert [checks(book, wish(side, "1"))[Kind.MAX_GROSS_EXPOSURE].passed for side in (BUY, SELL)] == [False, True]


def test_gross_exposure_when_only_orders_are_in_an_instrument_without_a_price_then_they_price_it() -> None:
    book = limited(a_book("9000", None, working(BUY, "2", "30", symbol="KO")), GROSS, "1060")
    assert seen(checks(book, wish(BUY, "10"))[Kind.MAX_GROSS_EXPOSURE]) == (True, D(1060), D(1060))
