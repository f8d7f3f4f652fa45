from datetime import datetime


class Then:
    """A clock that stands where a story is."""

    def __init__(self, moment: datetime) -> None:
        self.moment = moment

    def now(self) -> datetime:
        """The moment of the story."""
        return self.moment
