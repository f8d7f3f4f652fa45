"""When stops trigger, and how trailing ones follow the market."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, OrderStatus, OrderType
from models.triggers import reached, trailed, trailing_stop
from tests.support.orders import a_quote, a_stop, a_trailing_stop, an_order

D = Decimal
TICK = D("0.01")
CENTS = st.integers(1, 10_000_00).map(lambda cents: D(cents) / 100)
SIDES = st.sampled_from(["BUY", "SELL"])


@pytest.mark.parametrize(
    ("side", "last", "triggers"),
    [
        ("BUY", "99.99", False),
        ("BUY", "100", True),
        ("BUY", "100.01", True),
        ("SELL", "100.01", False),
        ("SELL", "100", True),
        ("SELL", "99.99", True),
    ],
)
def test_stop_when_the_last_price_is_at_it_or_beyond_then_it_is_reached(
    side: str, last: str, *, triggers: bool
) -> None:
    assert reached(a_stop(side, "100"), a_quote(last)) is triggers


def test_stop_when_only_the_touch_is_beyond_it_then_it_is_not_reached() -> None:
    assert not reached(a_stop("BUY", "100"), a_quote("99.99", bid="100.50", ask="101"))
    assert not reached(a_stop("SELL", "100"), a_quote("100.01", bid="99", ask="99.50"))


@pytest.mark.parametrize("status", [each for each in OrderStatus if each is not OrderStatus.PENDING])
def test_stop_when_it_does_not_wait_then_it_is_neither_reached_nor_moved(status: OrderStatus) -> None:
    order = a_trailing_stop("SELL", "100", "95", status=status)
    assert not reached(order, a_quote("90"))
    assert trailed(order, a_quote("120"), TICK) is order


def test_order_when_it_has_no_stop_then_it_is_neither_reached_nor_moved() -> None:
    order = an_order(status=OrderStatus.PENDING, type=OrderType.LIMIT)
    assert not reached(order, a_quote("100"))
    assert trailed(order, a_quote("120"), TICK) is order


@pytest.mark.parametrize(
    ("side", "amount", "percent", "stop"),
    [
        ("SELL", "5", None, "95.05"),
        ("BUY", "5", None, "105.05"),
        ("SELL", None, "10", "90.04"),  # 90.045, half-even
        ("BUY", None, "10", "110.06"),  # 110.055, half-even
        ("SELL", None, "99.999", "0"),
        ("SELL", "200", None, "-99.95"),
    ],
)
def test_trailing_stop_when_it_hangs_from_a_mark_then_it_is_rounded_to_the_tick(
    side: str, amount: str | None, percent: str | None, stop: str
) -> None:
    by, share = (None if each is None else D(each) for each in (amount, percent))
    assert trailing_stop(OrderSide(side), D("100.05"), by, share, TICK) == D(stop)


@given(side=SIDES, prices=st.lists(CENTS, min_size=1, max_size=30), trail=CENTS)
def test_trailing_stop_when_prices_move_anyhow_then_it_never_moves_against_its_owner(
    side: str, prices: list[Decimal], trail: Decimal
) -> None:
    first = prices[0]
    sign = 1 if side == "SELL" else -1
    order = a_trailing_stop(side, str(first), str(first - sign * trail), trail_amount=trail)
    for price in prices[1:]:
        after = trailed(order, a_quote(str(price)), TICK)
        assert after.stop_price is not None
        assert order.stop_price is not None
        assert sign * (after.stop_price - order.stop_price) >= 0
        order = after
    best = max(prices) if side == "SELL" else min(prices)
    assert (order.high_water_mark, order.stop_price) == (best, best - sign * trail)
    assert order.version == 1


@given(side=SIDES, prices=st.lists(CENTS, min_size=1, max_size=30), percent=st.integers(1, 9_999))
def test_trailing_stop_when_it_follows_by_percent_then_it_never_moves_against_its_owner(
    side: str, prices: list[Decimal], percent: int
) -> None:
    sign, share = 1 if side == "SELL" else -1, D(percent) / 100
    begin = trailing_stop(OrderSide(side), prices[0], None, share, TICK)
    order = a_trailing_stop(side, str(prices[0]), str(begin), trail_amount=None, trail_percent=share)
    stops = [begin]
    for price in prices[1:]:
        order = trailed(order, a_quote(str(price)), TICK)
        assert order.stop_price is not None
        stops.append(order.stop_price)
    assert stops == sorted(stops, reverse=side == "BUY")
    best = max(prices) if side == "SELL" else min(prices)
    exactly = best * (1 - sign * share / 100)
    assert abs(stops[-1] - exactly) <= TICK / 2


@given(side=SIDES, stop=CENTS, last=CENTS)
def test_stop_when_a_price_comes_then_it_triggers_from_the_stop_on_and_never_before(
    side: str, stop: Decimal, last: Decimal
) -> None:
    beyond = last >= stop if side == "BUY" else last <= stop
    assert reached(a_stop(side, str(stop)), a_quote(str(last))) is beyond
