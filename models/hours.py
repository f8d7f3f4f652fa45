"""When a market is open: calendars, by what kind of thing is traded."""

import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from models.enums import AssetClass


class MarketCalendar(StrEnum):
    """A calendar that the settings can name."""

    ALWAYS = "always"
    US_EQUITIES = "us-equities"


@dataclass(frozen=True, slots=True)
class MarketClock:
    """Whether a market is open, when it opens next, and when it closes next; none: never."""

    open: bool
    next_open: datetime | None
    next_close: datetime | None


ALWAYS_OPEN = MarketClock(open=True, next_open=None, next_close=None)
OPENS, CLOSES = time(9, 30), time(16)
WEEKDAYS = 5
DAYS_AHEAD = 366
"""How far ahead a session is looked for."""


def market_clock(
    calendar: MarketCalendar, asset_class: AssetClass, now: datetime, holidays: Collection[date] = ()
) -> MarketClock:
    """The clock of the market that such instruments are traded at.

    `us-equities` is open from 09:30 to 16:00 in New York, Monday to Friday, but not on `holidays`. Crypto currencies
    are traded at all times, whatever the calendar.
    """
    if calendar is MarketCalendar.ALWAYS or asset_class is AssetClass.CRYPTO:
        return ALWAYS_OPEN
    ahead = (session for session in _sessions(now, holidays) if session[1] > now)
    opens, closes = next(ahead, (None, None))
    if opens is None or opens > now:
        return MarketClock(open=False, next_open=opens, next_close=closes)
    following, _ = next(ahead, (None, None))
    return MarketClock(open=True, next_open=following, next_close=closes)


@functools.cache
def _new_york() -> ZoneInfo:
    return ZoneInfo("America/New_York")


def _sessions(now: datetime, holidays: Collection[date]) -> Iterator[tuple[datetime, datetime]]:
    """When each session opens and closes, in UTC, from today's on."""
    today = now.astimezone(_new_york()).date()
    for ahead in range(DAYS_AHEAD):
        day = today + timedelta(days=ahead)
        if day.weekday() < WEEKDAYS and day not in holidays:
            opens, closes = (datetime.combine(day, at, _new_york()).astimezone(UTC) for at in (OPENS, CLOSES))
            yield opens, closes
