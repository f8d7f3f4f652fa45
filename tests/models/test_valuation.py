"""What positions and portfolios are worth; where a price is missing a figure is none."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.marketdata import Quote
from models.orders import Fill
from models.positions import Position, net
from models.valuation import PositionMark, buying_power, day_pnl, mark, short_value, value
from tests.support.clock import START
from tests.support.orders import a_quote
from tests.support.samples import a_fill, a_portfolio, a_position, unhurried

D, F = Decimal, Fraction
STALE_AFTER = timedelta(seconds=5)
YESTERDAY = START - timedelta(days=1)


def quoted(last: str, previous: str | None = None, *, symbol: str = "AAPL", as_of: datetime = START) -> Quote:
    close = None if previous is None else D(previous)
    return replace(a_quote(last), symbol=symbol, previous_close=close, as_of=as_of)


def test_mark_when_it_is_long_then_every_figure_is_at_the_last_price() -> None:
    assert mark(a_position("10", "100"), quoted("103", "101"), START, D(2060)) == PositionMark(
        market_price=D(103),
        market_value=D(1030),
        unrealized_pnl=D(30),
        unrealized_pnl_percent=D(3),
        day_pnl=D(20),
        weight=D("0.5"),
    )


def test_mark_when_it_is_short_then_value_and_weight_are_negative_and_a_fall_is_a_gain() -> None:
    assert mark(a_position("-10", "100"), quoted("97", "98"), START, D(9700)) == PositionMark(
        market_price=D(97),
        market_value=D(-970),
        unrealized_pnl=D(30),
        unrealized_pnl_percent=D(3),
        day_pnl=D(10),
        weight=D("-0.1"),
    )


def test_mark_when_there_is_no_price_then_there_is_no_figure() -> None:
    assert mark(a_position(), None, START, D(1000)) == PositionMark(None, None, None, None, None, None)


@pytest.mark.parametrize("total", [None, D(0)])
def test_mark_when_there_is_no_total_then_there_is_no_weight(total: Decimal | None) -> None:
    seen = mark(a_position(), quoted("103"), START, total)
    assert (seen.market_value, seen.weight) == (D(1030), None)


def test_mark_when_it_is_closed_then_it_is_worth_nothing_and_has_no_percentage() -> None:
    seen = mark(a_position("0", "100", closed_at=START), quoted("103", "101"), START, D(1000))
    assert (seen.market_value, seen.unrealized_pnl, seen.unrealized_pnl_percent, seen.weight) == (
        D(0),
        D(0),
        None,
        D(0),
    )


def test_value_when_all_is_priced_then_it_is_cash_and_what_is_held() -> None:
    positions = [a_position("10", "100"), a_position("-5", "50", symbol="KO", id=UUID(int=8))]
    quotes = {"AAPL": quoted("103", "101"), "KO": quoted("52", "51", symbol="KO")}
    seen = value(a_portfolio("1000", realized_pnl=D("7.5")), positions, quotes, START, STALE_AFTER)
    assert (seen.cash, seen.market_value, seen.total_value) == (D(1000), D(770), D(1770))
    assert (seen.unrealized_pnl, seen.realized_pnl, seen.day_pnl) == (D(20), D("7.5"), D(15))
    assert (seen.stale, seen.unpriced, seen.as_of) == (False, (), START)


def test_value_when_a_price_is_missing_then_what_needs_it_is_none_and_its_symbol_is_named() -> None:
    held = [a_position(), a_position(symbol="KO", id=UUID(int=8)), a_position(symbol="A", id=UUID(int=7))]
    seen = value(a_portfolio("1000"), held, {"AAPL": quoted("103", "101")}, START, STALE_AFTER)
    assert (seen.market_value, seen.total_value, seen.unrealized_pnl, seen.day_pnl) == (None, None, None, None)
    assert (seen.cash, seen.realized_pnl, seen.unpriced) == (D(1000), D(0), ("A", "KO"))


def test_value_when_only_the_previous_close_is_missing_then_only_the_days_figure_is_none() -> None:
    seen = value(a_portfolio("1000"), [a_position()], {"AAPL": quoted("103")}, START, STALE_AFTER)
    assert (seen.total_value, seen.unrealized_pnl, seen.day_pnl) == (D(2030), D(30), None)


@pytest.mark.parametrize(("age_ms", "stale"), [(0, False), (5_000, False), (5_001, True)])
def test_value_when_a_quote_is_older_than_promised_then_it_is_stale(age_ms: int, *, stale: bool) -> None:
    old = quoted("103", "101", as_of=START - timedelta(milliseconds=age_ms))
    assert value(a_portfolio(), [a_position()], {"AAPL": old}, START, STALE_AFTER).stale is stale


def test_value_when_only_what_was_closed_today_has_an_old_quote_then_it_is_not_stale() -> None:
    closed = a_position("0", closed_at=START)
    old = quoted("103", "101", as_of=YESTERDAY)
    assert not value(a_portfolio(), [closed], {"AAPL": old}, START, STALE_AFTER).stale


def test_value_when_nothing_is_held_then_it_is_the_cash() -> None:
    seen = value(a_portfolio("12.34"), [], {}, START, STALE_AFTER)
    assert (seen.market_value, seen.total_value, seen.day_pnl, seen.stale) == (D(0), D("12.34"), D(0), False)


TODAY = {"day_start": datetime(2026, 1, 5, tzinfo=UTC)}


@pytest.mark.parametrize(
    ("position", "gain"),
    [
        # Held since before today: from the previous close.
        (a_position("10", "100"), D(20)),
        (a_position("-10", "100"), D(-20)),
        # Opened today at 102.5.
        (a_position("10", "102.5", **TODAY, day_cash=D(-1025)), D(5)),
        # 10 held, 4 sold today at 102.
        (a_position("6", "100", **TODAY, day_open_quantity=D(10), day_cash=D(408)), D(16)),
        # 10 held, 5 bought today at 104.
        (a_position("15", "100", **TODAY, day_open_quantity=D(10), day_cash=D(-520)), D(15)),
        # 10 held, all sold today at 102.
        (a_position("0", "100", **TODAY, day_open_quantity=D(10), day_cash=D(1020), closed_at=START), D(10)),
        # Opened and closed today.
        (a_position("0", "100", **TODAY, day_cash=D("-3.5"), closed_at=START), D("-3.5")),
    ],
)
def test_day_pnl_when_the_position_changed_today_or_not_then_it_is_since_the_day_began(
    position: Position, gain: Decimal
) -> None:
    assert day_pnl(position, quoted("103", "101"), START) == gain


def test_day_pnl_when_yesterdays_trades_are_looked_at_today_then_all_counts_as_held_since_the_day_began() -> None:
    traded = a_position("10", "100", day_open_quantity=D(4), day_cash=D(-600))
    assert day_pnl(traded, quoted("103", "101"), START) == D(20)


def test_day_pnl_when_nothing_was_quoted_since_midnight_then_the_day_has_gained_nothing() -> None:
    # The quote is yesterday's, and so is its previous close: what it gained since then it gained yesterday.
    assert day_pnl(a_position("10", "100"), quoted("103", "101", as_of=YESTERDAY), START) == 0
    bought_today = a_position("12", "100", **TODAY, day_open_quantity=D(10), day_cash=D(-200))
    assert day_pnl(bought_today, quoted("103", None, as_of=YESTERDAY), START) == D(6)


@pytest.mark.parametrize(
    ("position", "gain"),
    [(a_position("10", "100"), None), (a_position("10", "102.5", **TODAY, day_cash=D(-1025)), D(5))],
)
def test_day_pnl_when_there_is_no_previous_close_then_it_is_only_known_for_what_was_opened_today(
    position: Position, gain: Decimal | None
) -> None:
    assert day_pnl(position, quoted("103"), START) == gain
    assert day_pnl(position, None, START) is None


days = st.lists(
    st.lists(st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(1, 10_000)), max_size=5),
    min_size=1,
    max_size=4,
)


@unhurried
@given(days, st.integers(1, 10_000), st.integers(1, 10_000))
def test_day_pnl_when_fills_of_several_days_cross_zero_anyhow_then_the_cycles_sum_to_the_days_gain(
    traded: list[list[tuple[str, int, int]]], last: int, previous: int
) -> None:
    cycles, held_at_begin, cash = list[Position](), F(0), F(0)
    for day, trades in enumerate(traded):
        held_at_begin, cash = sum((F(each.quantity) for each in cycles), F(0)), F(0)
        for number, (side, quantity, price) in enumerate(trades):
            fill = a_fill(side, D(quantity), D(price), executed_at=START + timedelta(days=day))
            _book(cycles, fill, UUID(int=100 * day + number))
            cash += F(quantity) * F(price) * (-1 if side == "BUY" else 1)
    now = START + timedelta(days=len(traded) - 1)
    quote = quoted(str(last), str(previous), as_of=now)
    today = [each for each in cycles if each.closed_at is None or each.closed_at == now]
    held = sum((F(each.quantity) for each in today), F(0))
    gains = [day_pnl(each, quote, now) for each in today]
    assert sum((F(gain) for gain in gains if gain is not None), F(0)) == held * last - held_at_begin * previous + cash


def _book(cycles: list[Position], fill: Fill, new_id: UUID) -> None:
    open_one = cycles[-1] if cycles and cycles[-1].closed_at is None else None
    netting = net(open_one, fill, new_id)
    if netting.touched:
        cycles[-1] = netting.touched
    if netting.opened:
        cycles.append(netting.opened)


def test_short_value_when_long_and_short_are_held_then_only_shorts_count_at_last_or_at_cost() -> None:
    positions = [a_position("10"), a_position("-5", "50", symbol="KO"), a_position("-2", "7", symbol="A")]
    assert short_value(positions, {"AAPL": quoted("103"), "KO": quoted("52", symbol="KO")}) == D(274)


def test_buying_power_when_shorts_are_held_then_half_as_much_again_is_held_back_beside_what_orders_hold() -> None:
    portfolio = a_portfolio("1000", reserved_cash=D("100.1"))
    assert buying_power(portfolio, [], {}) == D("899.9")
    assert buying_power(portfolio, [a_position("-5", "50")], {"AAPL": quoted("52")}) == D("509.9")
    assert buying_power(portfolio, [a_position("-50", "50")], {"AAPL": quoted("52")}) == D("-3000.1")
