"""What was lost: worked examples, and the same figures by another way."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import RiskLimitKind, TransactionKind
from models.equity import (
    LOSSES,
    Closes,
    Entry,
    Figure,
    Past,
    Unpriced,
    begins,
    drawdown,
    loss,
    lost,
    month_of,
    week_of,
    worths,
)
from tests.support.checks import BUY, SELL, a_book, checks, limited, seen, wish
from tests.support.checks import Kind as CheckKind
from tests.support.samples import unhurried

D = Decimal
Kind = TransactionKind
ONE_DAY = timedelta(days=1)


def day(number: int, hour: int = 0) -> datetime:
    """Of January 2026: the 5th is a Monday."""
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def paid(at: datetime, amount: str) -> Entry:
    return Entry(at, Kind.DEPOSIT if D(amount) > 0 else Kind.WITHDRAWAL, D(amount), None, D(0))


def traded(at: datetime, quantity: str, price: str, symbol: str = "AAPL") -> Entry:
    return Entry(at, Kind.TRADE, -D(quantity) * D(price), symbol, D(quantity))


def fee(at: datetime, amount: str) -> Entry:
    return Entry(at, Kind.COMMISSION, -D(amount), None, D(0))


def past_of(*entries: Entry, closes: dict[datetime, str] | None = None) -> Past:
    """A portfolio of these entries and nothing else, with closes of AAPL."""
    held: dict[str, Decimal] = {}
    for entry in entries:
        if entry.symbol is not None:
            held[entry.symbol] = held.get(entry.symbol, D(0)) + entry.change
    prices = [("AAPL", at, D(price)) for at, price in (closes or {}).items()]
    return Past(sum((entry.amount for entry in entries), D(0)), held, entries, Closes(prices))


YEAR = past_of(
    paid(day(5, 9), "10000"),
    traded(day(5, 10), "50", "100"),
    fee(day(5, 10), "5"),
    traded(day(7, 12), "-20", "90"),
    fee(day(7, 12), "1.8"),
    paid(day(8, 8), "1000"),
    paid(day(8, 9), "-400"),
    closes={day(6): "110", day(7): "95", day(8): "90"},
)
"""Held 50 until the 7th, then 30; 6,793.2 + 600 of cash since."""


def test_worths_when_moments_are_asked_for_then_each_is_as_it_was_then() -> None:
    moments = [day(5), day(6), day(7), day(8), day(9)]
    assert worths(YEAR, moments) == {
        day(5): D(0),
        day(6): D("4995") + 50 * 110,
        day(7): D("4995") + 50 * 95,
        day(8): D("6793.2") + 30 * 90,
        day(9): D("7393.2") + 30 * 90,  # the last close by then
    }


def test_worths_when_something_happens_at_the_very_moment_then_it_comes_after_it() -> None:
    past = past_of(paid(day(5), "10"), paid(day(6), "5"))
    assert worths(past, [day(6), day(5)]) == {day(6): D(10), day(5): D(0)}


def test_worths_when_something_held_has_no_close_by_then_then_there_is_none() -> None:
    past = past_of(paid(day(5), "1000"), traded(day(5, 1), "1", "100"), closes={day(7): "100"})
    assert worths(past, [day(7)]) == {day(7): D(1000)}
    with pytest.raises(Unpriced, match="AAPL has no close from before 2026-01-06 00:00 UTC"):
        worths(past, [day(6)])


@pytest.mark.parametrize(
    ("since", "equity", "amount"),
    [
        (day(8), "9900", "193.2"),  # 9,493.2 and 600 that came in, less 9,900
        (day(8), "10093.2", "0"),
        (day(8), "20000", "0"),  # gained
        (day(7), "9900", "445"),  # 9,745 + 600 - 9,900
        (day(5), "9900", "700"),  # nothing before: 10,600 that came in
    ],
)
def test_loss_when_money_came_and_went_then_it_is_neither_lost_nor_gained(
    since: datetime, equity: str, amount: str
) -> None:
    assert loss(YEAR, since, D(equity)) == D(amount)


def test_drawdown_when_it_is_measured_then_it_is_from_the_best_close_with_money_that_moved_left_out() -> None:
    # Levels: 10495/10000 = 1.0495 on the 6th; x 9745/10495 = 0.9745; x 9493.2/9745 = 0.94932;
    # today (9093.2 + 400) / (9493.2 + 1000) x 0.94932 = 0.858849…, 18.1658% below 1.0495.
    assert drawdown(YEAR, day(5, 9), day(8, 20), D("9093.2")) == D("0.18165795")


@pytest.mark.parametrize(("equity", "share"), [("100", "0"), ("150", "0"), ("75", "0.25"), ("0", "1"), ("-10", "1")])
def test_drawdown_when_it_is_the_first_day_then_it_is_from_what_was_paid_in(equity: str, share: str) -> None:
    assert drawdown(past_of(paid(day(5, 9), "100")), day(5, 8), day(5, 12), D(equity)) == D(share)


def test_drawdown_when_nothing_was_ever_paid_in_then_it_is_none() -> None:
    assert drawdown(past_of(), day(5), day(8), D(0)) == D(0)


def test_drawdown_when_all_was_lost_and_new_money_comes_then_it_begins_anew() -> None:
    ruin = past_of(
        paid(day(5, 1), "100"),
        traded(day(5, 2), "1", "100"),
        paid(day(7, 1), "50"),
        closes={day(6): "100", day(7): "0"},
    )
    assert drawdown(ruin, day(5), day(6, 12), D(0)) == D(1)
    assert drawdown(ruin, day(5), day(7, 12), D(40)) == D("0.2")


def test_drawdown_when_a_half_is_paid_out_then_it_is_the_same_as_before() -> None:
    closes = {day(6): "100", day(7): "80", day(8): "80"}
    bought = (paid(day(5, 1), "1000"), traded(day(5, 2), "10", "100"))
    assert drawdown(past_of(*bought, closes=closes), day(5), day(8, 1), D(800)) == D("0.2")
    halved = past_of(*bought, traded(day(7, 1), "-5", "80"), paid(day(7, 2), "-400"), closes=closes)
    assert drawdown(halved, day(5), day(8, 1), D(400)) == D("0.2")


@pytest.mark.parametrize(
    ("kind", "since"),
    [
        (RiskLimitKind.MAX_DAILY_LOSS, day(8)),
        (RiskLimitKind.MAX_WEEKLY_LOSS, day(5)),
        (RiskLimitKind.MAX_MONTHLY_LOSS, day(1)),
        (RiskLimitKind.MAX_DRAWDOWN, datetime(2025, 3, 4, tzinfo=UTC)),
    ],
)
def test_begins_when_asked_then_it_is_the_period_in_utc_or_the_portfolios_beginning(
    kind: RiskLimitKind, since: datetime
) -> None:
    assert begins(kind, datetime(2025, 3, 4, 5, tzinfo=UTC), day(8, 20)) == since


def test_periods_when_they_begin_then_it_is_on_monday_and_on_the_first() -> None:
    assert [week_of(day(number, 23)) for number in (4, 5, 11)] == [datetime(2025, 12, 29, tzinfo=UTC), day(5), day(5)]
    assert month_of(day(31, 23)) == day(1)


@pytest.mark.parametrize("kind", LOSSES)
def test_lost_when_it_can_not_be_said_then_there_is_no_figure_and_it_says_why(kind: RiskLimitKind) -> None:
    assert lost(kind, YEAR, day(5), day(8, 1), None) == Figure(None, "A position has no price.")
    bare = past_of(traded(datetime(2025, 12, 1, tzinfo=UTC), "1", "100"))
    figure = lost(kind, bare, datetime(2025, 12, 1, tzinfo=UTC), day(8, 1), D(100))
    assert figure.value is None
    assert figure.why.startswith("AAPL has no close from before 202")


# --- as checks


@pytest.mark.parametrize("kind", LOSSES)
@pytest.mark.parametrize(("value", "passed"), [("0.49999999", True), ("0.5", False), ("0.6", False), (None, False)])
def test_loss_when_it_has_come_to_its_limit_then_only_what_reduces_passes(
    kind: RiskLimitKind, value: str | None, *, passed: bool
) -> None:
    figure = Figure(None, "KO has no close.") if value is None else Figure(D(value))
    book = limited(a_book("100000", "10", losses={kind: figure}), kind, "0.5")
    bought, sold, crossed = (
        checks(book, wish(side, quantity))[CheckKind(kind)]
        for side, quantity in ((BUY, "1"), (SELL, "10"), (SELL, "11"))
    )
    assert seen(bought) == seen(crossed) == (passed, figure.value, D("0.5"))
    assert seen(sold) == (True, figure.value, D("0.5"))
    assert value is not None or bought.message == "KO has no close."


# --- the same by another way

steps = st.lists(
    st.tuples(st.integers(0, 9 * 24 - 1), st.sampled_from(["pay", "trade", "fee"]), st.integers(-40, 60)),
    min_size=1,
    max_size=12,
)


@unhurried
@given(steps, st.lists(st.integers(1, 200), min_size=10, max_size=10))
def test_worths_when_the_past_is_any_then_going_back_says_what_going_forward_does(
    steps: list[tuple[int, str, int]], prices: list[int]
) -> None:
    entries = []
    for hour, what, number in sorted(steps):
        at = day(5) + timedelta(hours=hour)
        if what == "pay":
            entries.append(paid(at, str(number or 1)))
        elif what == "trade":
            entries.append(traded(at, str(number), "50"))
        else:
            entries.append(fee(at, str(abs(number))))
    closes = {day(5) + ONE_DAY * number: str(price) for number, price in enumerate(prices)}
    moments = list(closes)
    found = worths(past_of(*entries, closes=closes), moments)
    for moment, price in closes.items():
        before = [entry for entry in entries if entry.at < moment]
        held = sum((entry.change for entry in before), D(0))
        assert found[moment] == sum((entry.amount for entry in before), D(0)) + held * D(price)


@unhurried
@given(st.lists(st.integers(1, 300), min_size=3, max_size=12))
def test_drawdown_when_no_money_moves_then_it_is_how_far_the_last_worth_is_below_the_best(prices: list[int]) -> None:
    closes = {day(6) + ONE_DAY * number: str(price) for number, price in enumerate(prices[:-1])}
    past = past_of(paid(day(5, 1), "100"), traded(day(5, 2), "1", "100"), closes=closes)
    now = day(5) + ONE_DAY * len(closes) + timedelta(hours=5)
    best = max([100, *prices])
    found = drawdown(past, day(5), now, D(prices[-1]))
    assert abs(found - D(best - prices[-1]) / D(best)) <= D("0.00000001")


def test_entries_when_symbols_differ_then_each_has_its_own_close() -> None:
    entries = (paid(day(5), "1000"), traded(day(5, 1), "2", "100"), traded(day(5, 1), "-3", "60", "KO"))
    past = Past(D(980), {"AAPL": D(2), "KO": D(-3)}, entries, Closes([("AAPL", day(6), D(90)), ("KO", day(6), D(70))]))
    assert worths(past, [day(6)]) == {day(6): D(980) + 180 - 210}
