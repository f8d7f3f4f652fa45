"""The life of an order: the table, each step, and that no row of events leads anywhere else."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, OrderStatus, OrderType, TimeInForce
from models.lifecycle import (
    TRANSITIONS,
    IllegalTransition,
    Overfill,
    cancelled,
    expired,
    filled,
    is_due,
    rejected,
    replaced,
    reserve,
    triggered,
)
from models.matching import Touch, match
from models.orders import Order
from models.triggers import TRIGGERED_TYPES, reached, trailed
from tests.support.clock import START
from tests.support.orders import a_quote, a_stop, an_order

D = Decimal
RATE = D("0.001")
LATER = START + timedelta(minutes=1)
S = OrderStatus
STEPS: dict[OrderStatus, Callable[[Order], Order]] = {
    S.OPEN: lambda order: triggered(order, D(100), RATE, LATER),
    S.PARTIALLY_FILLED: lambda order: filled(order, D(1), D(100), RATE, LATER),
    S.FILLED: lambda order: filled(order, order.remaining_quantity, D(100), RATE, LATER),
    S.CANCELLED: lambda order: cancelled(order, "because", LATER),
    S.REJECTED: lambda order: rejected(order, "because", LATER),
    S.EXPIRED: lambda order: expired(order, LATER),
}
"""What takes an order to each state; none is made PENDING."""


@pytest.mark.parametrize("after", list(STEPS))
@pytest.mark.parametrize("before", list(OrderStatus))
def test_step_when_the_table_has_it_then_it_is_made_and_any_other_raises(
    before: OrderStatus, after: OrderStatus
) -> None:
    order = an_order(status=before)
    if after not in TRANSITIONS[before]:
        with pytest.raises(IllegalTransition):
            STEPS[after](order)
        return
    moved = STEPS[after](order)
    ended = not TRANSITIONS[after]
    assert (moved.status, moved.version, moved.updated_at) == (after, 2, LATER)
    assert moved.closed_at == (LATER if ended else None)
    assert not ended or moved.reserved_cash == 0


def test_fill_when_made_in_parts_then_notional_average_commission_and_reserve_follow() -> None:
    order = filled(an_order(), D(4), D("99.50"), RATE, LATER)
    assert (order.filled_quantity, order.filled_notional, order.average_fill_price) == (D(4), D(398), D("99.5"))
    assert (order.commission, order.reserved_cash) == (D("0.398"), D("600.6"))  # 6 x 100 x 1.001
    order = filled(order, D(6), D("99.75"), RATE, LATER)
    assert (order.average_fill_price, order.commission, order.reserved_cash) == (D("99.65"), D("0.9965"), D(0))


@pytest.mark.parametrize("quantity", ["0", "-1", "10.00000001"])
def test_fill_when_it_is_nothing_or_more_than_what_remains_then_it_raises(quantity: str) -> None:
    with pytest.raises(Overfill):
        filled(an_order(), D(quantity), D(100), RATE, LATER)


def test_trigger_when_it_comes_then_the_order_is_ranked_and_holds_back_from_then_on() -> None:
    order = triggered(a_stop("BUY", "105", reserved_cash=D(1)), D("108.15"), RATE, LATER)
    assert (order.triggered_at, order.ranked_at, order.placed_at) == (LATER, LATER, START)
    assert (order.reserve_price, order.reserved_cash) == (D("108.15"), D("1082.5815"))


def test_trigger_when_it_sells_then_nothing_is_held_back() -> None:
    assert triggered(a_stop("SELL", "95"), None, RATE, LATER).reserved_cash == 0


@pytest.mark.parametrize("status", [each for each in OrderStatus if TRANSITIONS[each]])
def test_replace_when_the_order_works_then_it_stays_in_its_state(status: OrderStatus) -> None:
    order = an_order(status=status, filled_quantity=D(4))
    after = replaced(order, {"quantity": D(20), "reserve_price": D(90)}, RATE, LATER)
    assert (after.status, after.id, after.version, after.closed_at) == (status, order.id, 2, None)
    assert after.reserved_cash == D("1441.44")  # 16 x 90 x 1.001


@pytest.mark.parametrize("status", [each for each in OrderStatus if not TRANSITIONS[each]])
def test_replace_when_the_order_has_ended_then_it_raises(status: OrderStatus) -> None:
    with pytest.raises(IllegalTransition):
        replaced(an_order(status=status), {"quantity": D(20)}, RATE, LATER)


@pytest.mark.parametrize(("seconds", "due"), [(-1, False), (0, True), (1, True)])
def test_order_when_its_time_in_force_ends_then_it_is_due(seconds: int, *, due: bool) -> None:
    order = an_order(time_in_force=TimeInForce.GTD, expire_at=LATER)
    assert is_due(order, LATER + timedelta(seconds=seconds)) is due
    assert not is_due(replace(order, expire_at=None), LATER)


# ---------------------------------------------------------------- anything, in any order

Act = tuple[str, int, int]
ACTS: st.SearchStrategy[Act] = st.tuples(
    st.sampled_from(["quote", "quote", "quote", "replace", "cancel", "expire"]), st.integers(0, 3), st.integers(-8, 8)
)
WISHES = st.tuples(
    st.sampled_from(list(OrderType)),
    st.sampled_from(list(OrderSide)),
    st.sampled_from(list(TimeInForce)),
    st.integers(1, 30),
)


def accepted(number: int, kind: OrderType, side: OrderSide, tif: TimeInForce, quantity: int) -> Order:
    """As `place_order` makes it, with the market at 100."""
    sign = 1 if side is OrderSide.BUY else -1
    worst = D(103) if side is OrderSide.BUY else None
    trails = kind is OrderType.TRAILING_STOP
    return an_order(
        id=UUID(int=number),
        type=kind,
        side=side,
        time_in_force=tif,
        quantity=D(quantity),
        limit_price=D(100 + sign) if kind in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        stop_price=D(100 + 2 * sign) if kind in TRIGGERED_TYPES else None,
        trail_amount=D(2) if trails else None,
        high_water_mark=D(100) if trails else None,
        status=S.PENDING if kind in TRIGGERED_TYPES else S.OPEN,
        expire_at=START + timedelta(seconds=40) if tif in (TimeInForce.GTD, TimeInForce.DAY) else None,
        reserve_price=worst,
        reserved_cash=reserve(side, worst, D(quantity), RATE),
    )


def on_quote(orders: dict[UUID, Order], last: int, size: int, now: datetime) -> None:
    """What the broker does with a quote."""
    quote = a_quote(str(last), size=str(size))
    for key, order in orders.items():
        orders[key] = trailed(order, quote, D("0.01"))
    for key, order in orders.items():
        if reached(order, quote):
            orders[key] = triggered(order, order.reserve_price, RATE, now)
    for each in match([order for order in orders.values() if order.working], Touch.of(quote)):
        orders[each.order.id] = filled(each.order, each.quantity, each.price, RATE, now)
    for key, order in orders.items():
        if order.at_market and order.time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
            orders[key] = cancelled(order, "not at once", now)


def replace_one(order: Order, change: int, now: datetime) -> Order:
    """Another quantity, where what is filled allows it."""
    quantity = max(order.filled_quantity + 1, order.quantity + change)
    return replaced(order, {"quantity": quantity}, RATE, now)


def act(orders: dict[UUID, Order], name: str, which: int, change: int, now: datetime) -> None:
    """Whatever it is, done to the order if it can be."""
    if name == "quote":
        on_quote(orders, 100 + change, 5 * which, now)
        return
    order = list(orders.values())[which % len(orders)]
    if not order.working:
        return
    if name == "replace":
        orders[order.id] = replace_one(order, change, now)
    elif name == "cancel":
        orders[order.id] = cancelled(order, "enough", now)
    elif is_due(order, now):
        orders[order.id] = expired(order, now)


def check(before: Order, after: Order) -> None:
    """What has to be so of any step, or of the few steps that one quote may cause."""
    if before.status is not after.status:
        assert reachable(before.status, after.status)
    assert before.working or after == before
    assert 0 <= before.filled_quantity <= after.filled_quantity <= after.quantity
    assert (after.filled_quantity == after.quantity) is (after.status is S.FILLED)
    assert after.version >= before.version
    assert (after == before) or after.version > before.version or after.status is S.PENDING
    assert (after.closed_at is None) is after.working
    assert after.reserved_cash >= 0
    assert after.working or after.reserved_cash == 0
    assert (after.type in TRIGGERED_TYPES) or after.triggered_at is None
    if after.type in TRIGGERED_TYPES and after.filled_quantity:
        assert after.triggered_at is not None
    if before.stop_price is not None and after.stop_price is not None:
        sign = 1 if after.side is OrderSide.SELL else -1
        assert sign * (after.stop_price - before.stop_price) >= 0


def reachable(before: OrderStatus, after: OrderStatus) -> bool:
    """Whether the table leads there, in some steps."""
    seen, todo = set[OrderStatus](), {before}
    while todo:
        state = todo.pop()
        seen.add(state)
        todo |= TRANSITIONS[state] - seen
    return after in seen


@given(wishes=st.lists(WISHES, min_size=1, max_size=5), acts=st.lists(ACTS, max_size=30))
def test_orders_when_anything_happens_in_any_order_then_they_end_where_the_table_leads(
    wishes: Sequence[tuple[OrderType, OrderSide, TimeInForce, int]], acts: list[Act]
) -> None:
    orders = {UUID(int=number): accepted(number, *wish) for number, wish in enumerate(wishes, 1)}
    for second, (name, which, change) in enumerate(acts, 1):
        before = dict(orders)
        act(orders, name, which, change, START + timedelta(seconds=2 * second))
        for key, order in orders.items():
            check(before[key], order)
    for order in orders.values():
        assert order.status in S
        assert order.filled_quantity <= order.quantity
