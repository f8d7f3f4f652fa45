"""The life of an order: the published table, and what each step changes."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, OrderStatus, OrderType
from models.lifecycle import (
    TRANSITIONS,
    IllegalTransition,
    Overfill,
    _moved,
    cancelled,
    commission,
    expired,
    filled,
    is_due,
    rejected,
    replaced,
    reserve,
    triggered,
)
from models.orders import WORKING, Order
from tests.support.clock import START
from tests.support.orders import an_order
from tests.support.samples import prices, quantities, unhurried

D, F = Decimal, Fraction
S = OrderStatus
LATER = START + timedelta(seconds=1)
RATE = D("0.001")
# As published; a PENDING order may also expire, since a stop that nothing triggered has its time in force as well.
PUBLISHED = """
PENDING -> OPEN | FILLED | PARTIALLY_FILLED | REJECTED | CANCELLED | EXPIRED
OPEN -> PARTIALLY_FILLED | FILLED | CANCELLED | EXPIRED
PARTIALLY_FILLED -> PARTIALLY_FILLED | FILLED | CANCELLED | EXPIRED
"""


def published() -> dict[str, set[str]]:
    table: dict[str, set[str]] = {status.value: set() for status in S}
    for line in PUBLISHED.strip().splitlines():
        before, _, after = line.partition(" -> ")
        table[before] = set(after.split(" | "))
    return table


def test_transitions_when_compared_with_the_published_table_then_they_are_the_same() -> None:
    assert {before.value: {each.value for each in after} for before, after in TRANSITIONS.items()} == published()


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("after", S)
def test_order_when_moved_between_any_two_states_then_it_is_in_the_table_or_refused(before: S, after: S) -> None:
    order = an_order(status=before, version=7, reserved_cash=D(1001))
    if after.value not in published()[before.value]:
        with pytest.raises(IllegalTransition, match=f"is {before} and cannot become {after}"):
            _moved(order, after, LATER)
        return
    moved = _moved(order, after, LATER)
    assert (moved.status, moved.version, moved.updated_at) == (after, 8, LATER)
    ended = after not in WORKING
    assert moved.closed_at == (LATER if ended else None)
    assert moved.reserved_cash == (0 if ended else D(1001))


STEPS: dict[str, Callable[[Order, datetime], Order]] = {
    "FILLED": lambda order, now: filled(order, order.remaining_quantity, D(100), RATE, now),
    "PARTIALLY_FILLED": lambda order, now: filled(order, D(1), D(100), RATE, now),
    "CANCELLED": lambda order, now: cancelled(order, "Enough", now),
    "EXPIRED": expired,
    "REJECTED": lambda order, now: rejected(order, "No funds", now),
    "OPEN": lambda order, now: triggered(order, D(100), RATE, now),
}


@pytest.mark.parametrize("before", S)
@pytest.mark.parametrize("step", STEPS)
def test_step_when_taken_from_any_state_then_it_leads_where_the_table_says_or_is_refused(before: S, step: str) -> None:
    order = an_order(status=before)
    if step not in published()[before.value]:
        with pytest.raises(IllegalTransition):
            STEPS[step](order, LATER)
        return
    assert STEPS[step](order, LATER).status == step


def test_filled_when_a_part_is_then_it_holds_back_what_remains() -> None:
    order = an_order(reserved_cash=D("1001"))
    part = filled(order, D(4), D("99.50"), RATE, LATER)
    assert (part.status, part.version, part.closed_at) == (S.PARTIALLY_FILLED, 2, None)
    assert (part.filled_quantity, part.remaining_quantity, part.filled_notional) == (D(4), D(6), D(398))
    assert (part.average_fill_price, part.commission, part.reserved_cash) == (D("99.5"), D("0.398"), D("600.6"))
    whole = filled(part, D(6), D("99.60"), RATE, LATER)
    assert (whole.status, whole.version, whole.closed_at) == (S.FILLED, 3, LATER)
    assert (whole.average_fill_price, whole.commission, whole.reserved_cash) == (D("99.56"), D("0.9956"), D(0))


@pytest.mark.parametrize("quantity", ["0", "-1", "10.00000001", "11"])
def test_filled_when_nothing_or_more_than_remains_then_it_raises(quantity: str) -> None:
    with pytest.raises(Overfill):
        filled(an_order(), D(quantity), D(100), RATE, LATER)


@pytest.mark.parametrize("status", [S.FILLED, S.CANCELLED, S.EXPIRED, S.REJECTED])
def test_filled_when_the_order_has_ended_then_it_raises(status: S) -> None:
    with pytest.raises(IllegalTransition):
        filled(an_order(status=status), D(1), D(100), RATE, LATER)


@unhurried
@given(st.lists(st.tuples(quantities, prices), min_size=1, max_size=10), st.sampled_from(OrderSide))
def test_filled_when_it_is_in_any_parts_then_each_is_one_version_and_all_of_it_adds_up(
    parts: list[tuple[Decimal, Decimal]], side: OrderSide
) -> None:
    whole = sum((quantity for quantity, _ in parts), D(0))
    order = an_order(quantity=whole, side=side, reserve_price=D(100) if side is OrderSide.BUY else None)
    for number, (quantity, price) in enumerate(parts, 1):
        order = filled(order, quantity, price, RATE, LATER)
        assert order.version == number + 1
        assert order.status is (S.FILLED if number == len(parts) else S.PARTIALLY_FILLED)
        held = F(order.remaining_quantity) * 100 * F(1001, 1000) if side is OrderSide.BUY else 0
        assert F(order.reserved_cash) == held
    notional = sum((F(quantity) * F(price) for quantity, price in parts), F(0))
    assert F(order.filled_notional) == notional
    assert F(order.commission) == notional / 1000
    assert order.average_fill_price is not None
    assert F(order.average_fill_price) == F(round(notional / F(whole) * 10**8), 10**8)
    assert (order.remaining_quantity, order.reserved_cash, order.closed_at) == (D(0), D(0), LATER)


def test_cancelled_when_a_part_was_filled_then_that_stays_and_nothing_is_held_back() -> None:
    order = cancelled(filled(an_order(), D(4), D(100), RATE, START), "Enough", LATER)
    assert (order.status, order.cancel_reason, order.version) == (S.CANCELLED, "Enough", 3)
    assert (order.filled_quantity, order.reserved_cash, order.closed_at) == (D(4), D(0), LATER)


def test_expired_when_it_works_then_it_has_ended() -> None:
    order = expired(an_order(reserved_cash=D(1001)), LATER)
    assert (order.status, order.reserved_cash, order.closed_at, order.version) == (S.EXPIRED, D(0), LATER, 2)


def test_rejected_when_it_waited_then_it_says_why() -> None:
    order = rejected(an_order(status=S.PENDING), "No funds", LATER)
    assert (order.status, order.reject_reason, order.reserved_cash, order.closed_at) == (
        S.REJECTED,
        "No funds",
        D(0),
        LATER,
    )


def test_triggered_when_its_stop_was_reached_then_it_is_at_the_market_with_a_new_reserve_and_rank() -> None:
    waiting = an_order(status=S.PENDING, type=OrderType.STOP, limit_price=None, stop_price=D(100))
    order = triggered(waiting, D("103"), RATE, LATER)
    assert (order.status, order.triggered_at, order.ranked_at, order.version) == (S.OPEN, LATER, LATER, 2)
    assert (order.reserve_price, order.reserved_cash) == (D(103), D("1031.03"))


@pytest.mark.parametrize("status", WORKING)
def test_replaced_when_it_works_then_its_state_stays_and_its_reserve_follows(status: S) -> None:
    order = replace(an_order(status=status), filled_quantity=D(4), filled_notional=D(400))
    after = replaced(order, {"quantity": D(20), "reserve_price": D(90), "limit_price": D(90)}, RATE, LATER)
    assert (after.status, after.version, after.id, after.updated_at) == (status, 2, order.id, LATER)
    assert (after.remaining_quantity, after.reserved_cash) == (D(16), D("1441.44"))


@pytest.mark.parametrize("status", [each for each in S if each not in WORKING])
def test_replaced_when_it_has_ended_then_it_raises(status: S) -> None:
    with pytest.raises(IllegalTransition):
        replaced(an_order(status=status), {"quantity": D(20)}, RATE, LATER)


@pytest.mark.parametrize(
    ("side", "price", "held"),
    [(OrderSide.BUY, D("206"), D("2062.06")), (OrderSide.BUY, None, D(0)), (OrderSide.SELL, D("206"), D(0))],
)
def test_reserve_when_it_is_a_buy_then_it_is_the_worst_price_and_commission(
    side: OrderSide, price: Decimal | None, held: Decimal
) -> None:
    assert reserve(side, price, D(10), RATE) == held


def test_commission_when_it_does_not_come_out_even_then_it_is_not_rounded() -> None:
    assert commission(D("0.00000001"), D("0.001")) == D("0.00000000001")


@pytest.mark.parametrize(
    ("end", "due"), [(None, False), (LATER, True), (LATER + timedelta(microseconds=1), False), (START, True)]
)
def test_is_due_when_its_end_has_come_to_the_microsecond_then_it_is(end: datetime | None, *, due: bool) -> None:
    assert is_due(an_order(expire_at=end), LATER) is due


@pytest.mark.parametrize("status", S)
def test_order_when_its_state_is_asked_then_working_and_at_the_market_agree_with_the_table(status: S) -> None:
    order: Any = an_order(status=status)
    assert order.working is bool(TRANSITIONS[status])
    assert order.at_market is (status in (S.OPEN, S.PARTIALLY_FILLED))
