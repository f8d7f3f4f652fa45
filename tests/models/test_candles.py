from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.candles import LENGTHS, Candle, ceiling, first_of, merged, opening, together, with_price
from models.enums import CandleInterval
from models.marketdata import Quote
from models.ticks import MinuteBuilder

MINUTE, FIVE, HOUR, DAY = CandleInterval
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
D = Decimal

Trade = tuple[datetime, Decimal, Decimal]

prices = st.decimals(min_value=D("0.01"), max_value=D(100_000), places=2)
volumes = st.decimals(min_value=0, max_value=D(10_000), places=4)
trades = st.lists(
    st.tuples(st.integers(0, 3 * 86_400_000).map(lambda ms: START + timedelta(milliseconds=ms)), prices, volumes),
    min_size=1,
    max_size=60,
    unique_by=lambda trade: trade[0],
).map(sorted)


def built(interval: CandleInterval, trades: list[Trade], symbol: str = "AAPL") -> list[Candle]:
    """Candles of trades, made price by price."""
    found: list[Candle] = []
    for moment, price, volume in trades:
        if found and found[-1].opened_at == opening(interval, moment):
            found[-1] = with_price(found[-1], price, volume)
        else:
            found.append(first_of(symbol, interval, moment, price, volume))
    return found


def a_quote(moment: datetime, last: Decimal, volume: Decimal, symbol: str = "AAPL") -> Quote:
    return Quote(symbol, last, D(1), last, D(1), last, None, None, None, None, volume, moment)


@given(trades)
def test_together_when_minutes_become_longer_then_they_are_what_the_prices_build(trades: list[Trade]) -> None:
    minutes = built(MINUTE, trades)
    for interval in (FIVE, HOUR, DAY):
        assert together(minutes, interval) == built(interval, trades)


@given(trades)
def test_together_when_done_in_steps_then_it_is_the_same_as_at_once(trades: list[Trade]) -> None:
    minutes = built(MINUTE, trades)
    assert together(together(together(minutes, FIVE), HOUR), DAY) == together(minutes, DAY)


@given(trades, st.randoms(use_true_random=False))
def test_together_when_parts_come_in_any_order_then_time_orders_them(trades: list[Trade], random: object) -> None:
    minutes = built(MINUTE, trades) + built(MINUTE, trades, "MSFT")
    shuffled = list(minutes)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # reason: Hypothesis gives a random.Random
    assert together(shuffled, HOUR) == built(HOUR, trades) + built(HOUR, trades, "MSFT")


@given(trades)
def test_candle_when_built_then_its_prices_lie_between_low_and_high(trades: list[Trade]) -> None:
    for candle in built(HOUR, trades):
        assert candle.low <= min(candle.open, candle.close) <= max(candle.open, candle.close) <= candle.high
        assert candle.closes_at - candle.opened_at == timedelta(hours=1)
    assert sum(candle.volume for candle in built(HOUR, trades)) == sum(volume for _, _, volume in trades)


def test_merged_when_two_parts_of_a_span_then_the_later_one_closes_it() -> None:
    first = with_price(first_of("AAPL", DAY, START, D(10), D(1)), D(8), D(2))
    later = with_price(first_of("AAPL", DAY, START + timedelta(hours=1), D(12), D(3)), D(11), D(4))
    day = START.replace(hour=0, minute=0)
    assert merged(first, later) == Candle("AAPL", DAY, day, D(10), D(12), D(8), D(11), D(10))


@pytest.mark.parametrize(
    ("interval", "opened"),
    [(MINUTE, "14:33:00"), (FIVE, "14:30:00"), (HOUR, "14:00:00"), (DAY, "00:00:00")],
)
def test_opening_when_asked_then_it_is_a_whole_number_of_intervals_in_utc(
    interval: CandleInterval, opened: str
) -> None:
    moment = datetime.fromisoformat("2026-01-05T16:33:12.5+02:00")
    expected = datetime.fromisoformat(f"2026-01-05T{opened}+00:00")
    assert opening(interval, moment) == expected
    assert ceiling(interval, moment) == expected + LENGTHS[interval]
    assert ceiling(interval, expected) == expected


@given(trades)
def test_minute_builder_when_fed_with_quotes_then_it_gives_each_minute_once_as_built_directly(
    trades: list[Trade],
) -> None:
    builder, found = MinuteBuilder(), []
    expected: list[Trade] = []
    traded, day = D(0), None
    for moment, price, volume in trades:
        traded = volume if opening(DAY, moment) != day else traded + volume
        # What was traded before it listened is nobody's.
        expected.append((moment, price, D(0) if day is None else volume))
        day = opening(DAY, moment)
        found += builder.take([a_quote(moment, price, traded)])
    found += builder.close(trades[-1][0])
    found += builder.close(trades[-1][0] + timedelta(minutes=1))
    assert found == built(MINUTE, expected)
    assert builder.close(trades[-1][0] + timedelta(days=1)) == []


def test_minute_builder_when_a_quote_comes_for_a_closed_minute_or_again_then_it_is_passed_over() -> None:
    builder = MinuteBuilder()
    assert builder.take([a_quote(START, D(10), D(0)), a_quote(START, D(99), D(0))]) == []
    [closed] = builder.close(START + timedelta(minutes=1))
    assert (closed.open, closed.high) == (D(10), D(10))
    assert builder.take([a_quote(START + timedelta(seconds=59), D(20), D(5))]) == []
    assert builder.close(START + timedelta(days=1)) == []
