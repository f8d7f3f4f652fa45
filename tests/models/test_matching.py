"""What the paper broker fills: by price, then by time, for no more than the touch has."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from models.matching import Touch, match, priority
from models.orders import Order
from tests.support.clock import START
from tests.support.orders import a_quote, a_stop, an_order

D = Decimal


def ranked(number: int, limit: str | None, seconds: int = 0, **changes: object) -> Order:
    """An order of its own id, since so many seconds at its price."""
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    price = None if limit is None else D(limit)
    since = START + timedelta(seconds=seconds)
    return an_order(id=UUID(int=number), limit_price=price, type=kind, ranked_at=since, **changes)


def filled(orders: list[Order], size: str, last: str = "100") -> list[tuple[int, Decimal, Decimal]]:
    """What is executed: whose, how much, at what price."""
    touch = Touch.of(a_quote(last, size=size), D(1))
    return [(each.order.id.int, each.quantity, each.price) for each in match(orders, touch)]


def test_match_when_several_buys_cross_then_market_orders_the_better_price_and_the_earlier_go_first() -> None:
    orders = [ranked(1, "101", 2), ranked(2, "101", 1), ranked(3, "102", 3), ranked(4, None, 4), ranked(5, "100", 0)]
    assert filled(orders, "35") == [
        (4, D(10), D("100.01")),
        (3, D(10), D("100.01")),
        (2, D(10), D("100.01")),
        (1, D(5), D("100.01")),
    ]


def test_match_when_sales_cross_then_the_lower_limit_goes_first_at_the_bid() -> None:
    orders = [ranked(1, "99.50", side=OrderSide.SELL), ranked(2, "99", side=OrderSide.SELL)]
    assert filled(orders, "15") == [(2, D(10), D("99.99")), (1, D(5), D("99.99"))]


def test_match_when_an_order_was_replaced_then_it_has_lost_its_place() -> None:
    assert filled([ranked(1, "101", 5), ranked(2, "101", 1)], "10") == [(2, D(10), D("100.01"))]


def test_match_when_both_sides_cross_then_each_has_its_own_size() -> None:
    touch = Touch.of(a_quote("100", size="4"), D(1))
    match([ranked(1, None), ranked(2, None, side=OrderSide.SELL)], touch)
    assert (touch.ask_left, touch.bid_left) == (D(0), D(0))


@pytest.mark.parametrize(("size", "executed"), [("9", []), ("10", [(1, D(10), D("100.01"))])])
def test_match_when_an_order_is_fill_or_kill_then_all_of_it_or_nothing(
    size: str, executed: list[tuple[int, Decimal, Decimal]]
) -> None:
    assert filled([ranked(1, None, time_in_force=TimeInForce.FOK)], size) == executed


def test_match_when_a_fill_or_kill_finds_too_little_then_the_size_is_for_the_next() -> None:
    orders = [ranked(1, "101", time_in_force=TimeInForce.FOK), ranked(2, "101", 1, quantity=D(4))]
    assert filled(orders, "9") == [(2, D(4), D("100.01"))]


@pytest.mark.parametrize("status", [each for each in OrderStatus if each not in ("OPEN", "PARTIALLY_FILLED")])
def test_match_when_an_order_is_not_at_the_market_then_it_is_passed_over(status: OrderStatus) -> None:
    assert filled([ranked(1, "101", status=status), a_stop("BUY", "90", id=UUID(int=2), status=status)], "10") == []


ORDERS = st.builds(
    lambda number, side, limit, seconds, quantity, done, tif: ranked(
        number,
        limit,
        seconds,
        side=OrderSide(side),
        quantity=D(quantity + done),
        filled_quantity=D(done),
        status=OrderStatus.PARTIALLY_FILLED if done else OrderStatus.OPEN,
        time_in_force=tif,
    ),
    st.integers(1, 10**9),
    st.sampled_from(["BUY", "SELL"]),
    st.sampled_from([None, "99.98", "99.99", "100", "100.01", "100.02"]),
    st.integers(0, 3),
    st.integers(1, 20),
    st.integers(0, 5),
    st.sampled_from(list(TimeInForce)),
)


@given(orders=st.lists(ORDERS, max_size=12, unique_by=lambda order: order.id), size=st.integers(0, 40))
def test_match_when_any_orders_meet_any_touch_then_nobody_gets_too_much_or_goes_before_a_better(
    orders: list[Order], size: int
) -> None:
    quote = a_quote("100", size=str(size))
    touch = Touch.of(quote, D(1))
    executions = match(orders, touch)
    done = {each.order.id: each.quantity for each in executions}
    assert len(done) == len(executions)
    for each in executions:
        assert D(0) < each.quantity <= each.order.remaining_quantity
        assert each.price == quote.touch(each.order.side)
    for side, left in ((OrderSide.BUY, touch.ask_left), (OrderSide.SELL, touch.bid_left)):
        queue = sorted((order for order in orders if order.side is side), key=priority)
        assert sum((done.get(order.id, D(0)) for order in queue), left) == size
        waiting = [order for order in queue if order.time_in_force is not TimeInForce.FOK and crosses(order)]
        short = [number for number, order in enumerate(waiting) if done.get(order.id, 0) < order.remaining_quantity]
        # Behind the first that was left with something, nobody that could take a part got any.
        behind = waiting[short[0] + 1 :] if short else []
        assert all(order.id not in done for order in behind)
    killed = [order for order in orders if order.time_in_force is TimeInForce.FOK and order.id in done]
    assert all(done[order.id] == order.remaining_quantity for order in killed)


def crosses(order: Order) -> bool:
    """Whether the touch of 99.99 to 100.01 is good enough for it."""
    if order.limit_price is None:
        return True
    return order.limit_price >= D("100.01") if order.side is OrderSide.BUY else order.limit_price <= D("99.99")


def test_touch_when_its_size_is_no_whole_number_of_lots_then_only_whole_lots_are_traded() -> None:
    touch = Touch.of(a_quote("100", size="10.5"), D(1))
    assert (touch.bid_left, touch.ask_left) == (D(10), D(10))
    assert Touch.of(a_quote("100", size="0.123"), D("0.01")).ask_left == D("0.12")
