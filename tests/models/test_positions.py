"""Netting: average cost, cycles from flat to flat, crossing zero, and the figures of the day."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import OrderSide, PositionSide
from models.orders import Fill
from models.positions import Position, day_of, net
from tests.support.clock import START
from tests.support.samples import a_fill, a_position, unhurried

D, F = Decimal, Fraction
LONG, SHORT = PositionSide.LONG, PositionSide.SHORT
MIDNIGHT = datetime(2026, 1, 5, tzinfo=UTC)
EXACT = F(0)

fills = st.builds(
    lambda side, lots, ticks: a_fill(side, D(lots) / 1000, D(ticks) / 100),
    st.sampled_from(["BUY", "SELL"]),
    st.integers(1, 10_000),
    st.integers(1, 100_000),
)


def booked(*all_fills: Fill) -> list[Position]:
    """Every cycle that the fills make, the last one open or not."""
    cycles: list[Position] = []
    for number, fill in enumerate(all_fills):
        held = cycles[-1] if cycles and cycles[-1].closed_at is None else None
        netting = net(held, fill, UUID(int=100 + number))
        if netting.touched:
            cycles[-1] = netting.touched
        if netting.opened:
            cycles.append(netting.opened)
    return cycles


def signed(fill: Fill) -> Fraction:
    return F(fill.quantity) * (1 if fill.side is OrderSide.BUY else -1)


def test_net_when_nothing_is_held_then_a_cycle_opens_at_the_fills_price() -> None:
    [position] = booked(a_fill("SELL", "3", "50"))
    assert (position.quantity, position.side, position.average_price) == (D(-3), SHORT, D(50))
    assert (position.version, position.opened_at, position.closed_at) == (1, START, None)
    assert (position.realized_pnl, position.cost_basis) == (D(0), D(-150))


def test_net_when_a_position_is_added_to_then_the_average_moves_and_nothing_is_realised() -> None:
    [position] = booked(a_fill("BUY", "10", "100"), a_fill("BUY", "5", "101"))
    assert (position.quantity, position.average_price, position.realized_pnl) == (D(15), D("100.33333333"), D(0))
    assert position.version == 2


def test_net_when_a_position_is_reduced_then_the_average_stays_and_the_difference_is_realised() -> None:
    [position] = booked(a_fill("BUY", "10", "100"), a_fill("SELL", "4", "110"))
    assert (position.quantity, position.average_price, position.realized_pnl) == (D(6), D(100), D(40))
    assert position.closed_at is None


def test_net_when_a_short_is_reduced_at_a_higher_price_then_a_loss_is_realised() -> None:
    [position] = booked(a_fill("SELL", "10", "100"), a_fill("BUY", "4", "110"))
    assert (position.quantity, position.average_price, position.realized_pnl) == (D(-6), D(100), D(-40))


def test_net_when_all_is_sold_then_the_cycle_is_closed_and_kept() -> None:
    [position] = booked(a_fill("BUY", "10", "100"), a_fill("SELL", "10", "90"))
    assert (position.quantity, position.realized_pnl, position.closed_at) == (D(0), D(-100), START)
    assert (position.average_price, position.side, position.version) == (D(100), LONG, 2)


@pytest.mark.parametrize(("first", "second", "opened"), [("BUY", "SELL", SHORT), ("SELL", "BUY", LONG)])
def test_net_when_a_fill_crosses_zero_then_one_cycle_closes_and_another_opens_at_its_price(
    first: str, second: str, opened: PositionSide
) -> None:
    sign = 1 if opened is LONG else -1
    before, after = booked(a_fill(first, "10", "100"), a_fill(second, "25", "104"))
    assert (before.quantity, before.closed_at, before.realized_pnl) == (D(0), START, D(-40 * sign))
    assert (after.quantity, after.side, after.average_price) == (D(15 * sign), opened, D(104))
    assert (after.version, after.realized_pnl, after.opened_at, after.id) == (1, D(0), START, UUID(int=101))


def test_net_when_a_closed_position_would_be_netted_then_the_next_fill_opens_a_new_one() -> None:
    first, second = booked(a_fill("BUY", "1", "10"), a_fill("SELL", "1", "12"), a_fill("BUY", "1", "20"))
    assert (first.closed_at, first.realized_pnl) == (START, D(2))
    assert (second.quantity, second.average_price, second.version) == (D(1), D(20), 1)


@unhurried
@given(st.lists(fills, max_size=30))
def test_net_when_any_fills_are_booked_then_what_is_held_is_their_sum(all_fills: list[Fill]) -> None:
    cycles = booked(*all_fills)
    assert sum((F(each.quantity) for each in cycles), EXACT) == sum(map(signed, all_fills), EXACT)
    assert all(each.closed_at is not None and each.quantity == 0 for each in cycles[:-1])
    for each in cycles:
        assert (each.quantity == 0) is (each.closed_at is not None)
        assert each.quantity == 0 or (each.side is LONG) is (each.quantity > 0)
    assert len({each.id for each in cycles}) == len(cycles)


@unhurried
@given(st.lists(fills, max_size=30))
def test_net_when_any_fills_are_booked_then_cash_and_cost_are_what_was_realised_but_for_rounded_averages(
    all_fills: list[Fill],
) -> None:
    cycles = booked(*all_fills)
    cash = -sum((signed(fill) * F(fill.price) for fill in all_fills), EXACT)
    cost = sum((F(each.quantity) * F(each.average_price) for each in cycles), EXACT)
    realised = sum((F(each.realized_pnl) for each in cycles), EXACT)
    # Each addition rounds its average by half of the eighth place at most, for all that is then held.
    held_most = sum((abs(signed(fill)) for fill in all_fills), EXACT)
    assert abs(cash + cost - realised) <= len(all_fills) * held_most * F(1, 2 * 10**8)


@unhurried
@given(st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50)), max_size=20), st.integers(1, 100))
def test_net_when_no_average_is_rounded_then_cash_and_cost_are_exactly_what_was_realised(
    trades: list[tuple[str, int]], price: int
) -> None:
    # Adding at one price and reducing at any leaves averages whole.
    cash, cycles = EXACT, list[Position]()
    for number, (side, quantity) in enumerate(trades):
        held = cycles[-1] if cycles and cycles[-1].closed_at is None else None
        adds = held is None or (held.quantity > 0) is (side == "BUY")
        fill = a_fill(side, D(quantity), held.average_price if held and adds else D(price + number))
        netting = net(held, fill, UUID(int=number))
        cycles = [*cycles[:-1], netting.touched] if netting.touched else cycles
        cycles = [*cycles, netting.opened] if netting.opened else cycles
        cash -= signed(fill) * F(fill.price)
    cost = sum((F(each.quantity) * F(each.average_price) for each in cycles), EXACT)
    assert cash + cost == sum((F(each.realized_pnl) for each in cycles), EXACT)


@unhurried
@given(st.lists(fills, min_size=1, max_size=30))
def test_net_when_it_is_booked_then_what_it_reports_is_what_the_cycles_gained(all_fills: list[Fill]) -> None:
    held: Position | None = None
    for number, fill in enumerate(all_fills):
        before = held.realized_pnl if held else D(0)
        netting = net(held, fill, UUID(int=number))
        assert netting.realized_pnl == (netting.touched.realized_pnl if netting.touched else before) - before
        if netting.touched:
            assert held is not None
            assert netting.touched.version == held.version + 1
        current = netting.opened or netting.touched
        held = current if current and current.closed_at is None else None


@unhurried
@given(st.lists(fills, min_size=1, max_size=12))
def test_net_when_all_that_is_held_is_closed_then_the_cash_of_all_fills_was_realised(all_fills: list[Fill]) -> None:
    rest = sum(map(signed, all_fills), EXACT)
    if rest:
        last = a_fill("SELL" if rest > 0 else "BUY", D(abs(rest).numerator) / D(abs(rest).denominator), "7.77")
        all_fills = [*all_fills, last]
    closed = booked(*all_fills)
    assert all(each.closed_at is not None for each in closed)
    cash = -sum((signed(fill) * F(fill.price) for fill in all_fills), EXACT)
    held_most = sum((abs(signed(fill)) for fill in all_fills), EXACT)
    total = sum((F(each.realized_pnl) for each in closed), EXACT)
    assert abs(total - cash) <= len(all_fills) * held_most * F(1, 2 * 10**8)


def test_day_of_when_a_moment_is_within_a_day_then_it_is_its_midnight() -> None:
    assert day_of(START) == day_of(MIDNIGHT) == MIDNIGHT
    assert day_of(MIDNIGHT - timedelta(microseconds=1)) == MIDNIGHT - timedelta(days=1)


def test_net_when_a_fill_comes_on_the_same_day_then_the_days_figures_go_on() -> None:
    [position] = booked(a_fill("BUY", "10", "100"), a_fill("SELL", "4", "110"), a_fill("BUY", "1", "105"))
    assert (position.day_start, position.day_open_quantity) == (MIDNIGHT, D(0))
    assert position.day_cash == D(-1000 + 440 - 105)


@pytest.mark.parametrize(("side", "cash"), [("BUY", D(-330)), ("SELL", D(330))])
def test_net_when_a_fill_comes_on_another_day_then_the_days_figures_begin_anew(side: str, cash: Decimal) -> None:
    held = a_position("10", "100", day_open_quantity=D(2), day_cash=D(-800))
    touched = net(held, a_fill(side, "3", "110"), UUID(int=1)).touched
    assert touched is not None
    assert (touched.day_start, touched.day_open_quantity, touched.day_cash) == (MIDNIGHT, D(10), cash)


def test_net_when_zero_is_crossed_then_each_cycle_has_its_own_part_of_the_days_cash() -> None:
    netting = net(a_position("10", "100"), a_fill("SELL", "25", "104"), UUID(int=1))
    assert netting.touched is not None
    assert netting.opened is not None
    assert (netting.touched.day_open_quantity, netting.touched.day_cash) == (D(10), D(1040))
    assert (netting.opened.day_open_quantity, netting.opened.day_cash) == (D(0), D(1560))
