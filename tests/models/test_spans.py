"""What the simulated path says of spans of time, which its candles are."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.catalogue import CATALOGUE
from models.simulation import SimulatedSpan, price_at, quote_at, spans

SLOT = timedelta(milliseconds=250)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)
APPLE, BITCOIN = CATALOGUE[0], next(listing for listing in CATALOGUE if listing.symbol == "BTC-USD")


@given(
    st.integers(0, 2**32),
    st.sampled_from(CATALOGUE),
    st.datetimes(datetime(1960, 1, 1), datetime(2050, 1, 1)),  # noqa: DTZ001 - made aware below
    st.sampled_from([(MINUTE, 2), (DAY, 2), (timedelta(hours=1), 5)]),
)
@settings(max_examples=40, deadline=None)
def test_spans_when_compared_with_the_path_then_they_are_on_it_to_the_tick(
    seed: int, listing: object, moment: datetime, shape: tuple[timedelta, int]
) -> None:
    assert isinstance(listing, type(APPLE))
    length, looks = shape
    start = moment.replace(tzinfo=UTC, second=0, microsecond=0)
    for number, span in enumerate(spans(seed, listing, start, length, 3, looks)):
        opened = start + number * length
        moments = [opened + look * length / looks for look in range(looks)] + [opened + length - SLOT]
        seen = [price_at(seed, listing, each) for each in moments]
        assert (span.opened_at, span.open, span.close) == (opened, seen[0], seen[-1])
        assert (span.high, span.low) == (max(seen), min(seen))
        assert span.volume > 0


def test_spans_when_the_seed_is_the_same_then_they_are_what_was_published() -> None:
    [minute] = spans(1, APPLE, START, MINUTE, 1, 2)
    [day] = spans(1, BITCOIN, datetime(2025, 6, 1, tzinfo=UTC), DAY, 1, 2)
    assert spans(1, APPLE, START, MINUTE, 1, 2) == [minute] != spans(2, APPLE, START, MINUTE, 1, 2)
    assert minute == SimulatedSpan(START, *map(Decimal, ("277.05", "277.05", "276.99", "276.99", "4182")))
    assert day == SimulatedSpan(
        day.opened_at, *map(Decimal, ("61804.82", "63835.63", "61804.82", "63835.63", "29469.72576"))
    )


def test_spans_when_minutes_add_up_then_their_volume_is_what_the_quotes_gained() -> None:
    minutes = spans(1, APPLE, START, MINUTE, 60, 2)
    before, after = (quote_at(1, APPLE, moment) for moment in (START, START + timedelta(hours=1)))
    assert sum(minute.volume for minute in minutes) == after.volume - before.volume


def test_spans_when_they_are_no_whole_number_of_slots_then_that_is_refused() -> None:
    for length, looks in ((timedelta(milliseconds=300), 1), (MINUTE, 7)):
        with pytest.raises(ValueError, match="do not divide"):
            spans(1, APPLE, START, length, 1, looks)
    with pytest.raises(ValueError, match="time zone"):
        spans(1, APPLE, START.replace(tzinfo=None), MINUTE, 1, 1)
