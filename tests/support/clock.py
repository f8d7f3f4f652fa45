"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class ManualClock:
    """A `Clock` for tests: `now` is the same moment until `advance` is called."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self._now

    def advance(self, **by: Any) -> datetime:
        """Move on by a `timedelta` of these arguments (`seconds=5`), and answer with the new moment."""
        self._now += timedelta(**by)
        return self._now
