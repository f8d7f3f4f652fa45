"""Market calendars: New York's hours over summer time, weekends and holidays."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.enums import AssetClass
from models.hours import ALWAYS_OPEN, MarketCalendar, market_clock
from tests.support.samples import unhurried

US = MarketCalendar.US_EQUITIES
CHRISTMAS = date(2026, 12, 25)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "is_open", "next_open", "next_close"),
    [
        # A Monday in winter: New York is five hours behind UTC.
        ("2026-01-05T14:29:59", False, "2026-01-05T14:30", "2026-01-05T21:00"),
        ("2026-01-05T14:30:00", True, "2026-01-06T14:30", "2026-01-05T21:00"),
        ("2026-01-05T20:59:59", True, "2026-01-06T14:30", "2026-01-05T21:00"),
        ("2026-01-05T21:00:00", False, "2026-01-06T14:30", "2026-01-06T21:00"),
        # In summer it is four.
        ("2026-07-06T13:30:00", True, "2026-07-07T13:30", "2026-07-06T20:00"),
        # The clocks go forward on Sunday, 8 March.
        ("2026-03-06T21:00:00", False, "2026-03-09T13:30", "2026-03-09T20:00"),
        # Thursday evening before Christmas, a Friday: on to Monday.
        ("2026-12-24T22:00:00", False, "2026-12-28T14:30", "2026-12-28T21:00"),
        ("2026-12-25T15:00:00", False, "2026-12-28T14:30", "2026-12-28T21:00"),
        # In UTC it is Saturday by now, in New York still Friday.
        ("2026-01-10T02:00:00", False, "2026-01-12T14:30", "2026-01-12T21:00"),
    ],
)
def test_clock_when_it_is_new_yorks_then_it_is_open_from_half_past_nine_to_four(
    now: str, next_open: str, next_close: str, *, is_open: bool
) -> None:
    clock = market_clock(US, AssetClass.EQUITY, at(now), (CHRISTMAS,))
    assert (clock.open, clock.next_open, clock.next_close) == (is_open, at(next_open), at(next_close))


def test_clock_when_it_is_for_crypto_or_the_calendar_says_always_then_it_never_closes() -> None:
    sunday = at("2026-01-04T12:00:00")
    assert market_clock(US, AssetClass.CRYPTO, sunday) == ALWAYS_OPEN
    assert market_clock(MarketCalendar.ALWAYS, AssetClass.EQUITY, sunday) == ALWAYS_OPEN
    assert not market_clock(US, AssetClass.ETF, sunday).open


def test_clock_when_every_day_is_a_holiday_then_there_is_no_next_session() -> None:
    clock = market_clock(US, AssetClass.EQUITY, at("2026-01-05T15:00:00"), _EVERY_DAY())
    assert (clock.open, clock.next_open, clock.next_close) == (False, None, None)


@unhurried
@given(st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - Hypothesis asks for naive bounds
def test_clock_when_it_says_what_comes_next_then_it_is_so(now: datetime) -> None:
    clock = market_clock(US, AssetClass.EQUITY, now)
    assert clock.next_open is not None
    assert clock.next_close is not None
    assert now < clock.next_open
    assert now < clock.next_close
    assert clock.open == (clock.next_close < clock.next_open)
    assert market_clock(US, AssetClass.EQUITY, clock.next_open).open
    assert not market_clock(US, AssetClass.EQUITY, clock.next_close).open


class _EVERY_DAY(frozenset[date]):  # noqa: N801 - reason: reads like a value
    def __contains__(self, _: object) -> bool:
        return True
