"""The price collar: what would trade or trigger at once may not be far beyond the market; what waits may be."""

from decimal import Decimal

import pytest

from models.enums import OrderSide, OrderType
from tests.support.checks import BUY, SELL, Kind, a_book, checks, seen, wish

D = Decimal
LIMIT, STOP, STOP_LIMIT, TRAILING = OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT, OrderType.TRAILING_STOP


@pytest.mark.parametrize(
    ("side", "kind", "limit", "stop", "share", "passed"),
    [
        (BUY, LIMIT, "150", None, "0.5", True),
        (BUY, LIMIT, "150.01", None, "0.5001", False),
        (BUY, LIMIT, "0.01", None, "0", True),
        (SELL, LIMIT, "50", None, "0.5", True),
        (SELL, LIMIT, "49.99", None, "0.5001", False),
        (SELL, LIMIT, "100000", None, "0", True),
        (BUY, STOP, None, "1000", "0", True),
        (BUY, STOP, None, "50", "0.5", True),
        (BUY, STOP, None, "49.99", "0.5001", False),
        (SELL, STOP, None, "1", "0", True),
        (SELL, STOP, None, "150.01", "0.5001", False),
        # A limit behind a stop trades only once the market is there.
        (BUY, STOP_LIMIT, "300", "200", "0.5", True),
        (BUY, STOP_LIMIT, "300.01", "200", "0.50005", False),
        (BUY, STOP_LIMIT, "151", "90", "0.51", False),
        (SELL, STOP_LIMIT, "20", "40", "0.5", True),
        (SELL, STOP_LIMIT, "19.99", "40", "0.50025", False),
        # Its stop may be far away after the market turned: it follows from the best price.
        (SELL, TRAILING, None, "180", "0", True),
    ],
)
def test_collar_when_a_price_is_beyond_the_market_then_it_may_be_half_of_the_last_price(
    side: OrderSide, kind: OrderType, limit: str | None, stop: str | None, share: str, *, passed: bool
) -> None:
    proposal = wish(side, "1", limit, type=kind, stop_price=None if stop is None else D(stop))
    check = checks(a_book(), proposal)[Kind.PRICE_COLLAR]
    assert seen(check) == (passed, D(share), D("0.5"))


def test_collar_when_its_figure_is_rounded_then_what_is_compared_is_not() -> None:
    assert not checks(a_book(), wish(BUY, "1", "150.0000001"))[Kind.PRICE_COLLAR].passed


def test_collar_when_there_is_no_price_then_it_passes_without_a_figure() -> None:
    check = checks(a_book(quotes={}), wish(BUY, "1", "1000"))[Kind.PRICE_COLLAR]
    assert seen(check) == (True, None, D("0.5"))
    assert check.message == "There is no price to compare its own with."
