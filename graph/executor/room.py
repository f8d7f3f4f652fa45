"""How much of plans is kept, counted in fields: the functions of one take one or two kilobytes."""

from graph.executor.runs import Part

FIELDS_MAX = 2_000
"""Of one plan, each as often as a fragment brings it in; and of all plans of a document together."""
FIELDS_KEPT_MAX = 50_000
"""Of all plans of a process."""


class Room:
    """What some plans may take together: for a new one those that were not used for longest go."""

    def __init__(self, fields: int = FIELDS_KEPT_MAX) -> None:
        self.left = fields
        self.plans: dict[Plan, None] = {}
        """In the order of their last use."""

    def make(self) -> None:
        """Let plans go until no more is taken than there is."""
        while self.left < 0 and self.plans:
            next(iter(self.plans)).end()

    def clear(self) -> None:
        """Let all go."""
        for plan in list(self.plans):
            plan.end()


class Plan:
    """An operation as functions, for one way in which its `@skip` and `@include` come out.

    It grows: a selection is compiled when its first value comes.
    """

    __slots__ = ("_rooms", "fields", "is_hopeless", "parts")

    def __init__(self, *rooms: Room) -> None:
        self.parts: tuple[Part, ...] | None = None
        self.fields = 0
        """So many were compiled."""
        self.is_hopeless = False
        """Its operation is better interpreted."""
        self._rooms = rooms

    @property
    def is_kept(self) -> bool:
        """Not any more when it had to give way."""
        return bool(self._rooms)

    def used(self) -> None:
        """It is the last to give way now."""
        for room in self._rooms:
            room.plans.pop(self, None)
            room.plans[self] = None

    def grow(self, fields: int) -> None:
        """So many more are about to be compiled. What is run just now goes on, though the plan has to go."""
        self.fields += fields
        rooms = self._rooms
        for room in rooms:
            room.left -= fields
        for room in rooms:
            room.make()
        if self.fields > FIELDS_MAX:
            self.give_up()

    def give_up(self) -> None:
        """Go for good."""
        self.is_hopeless = True
        self.end()

    def end(self) -> None:
        """Take no room any more."""
        rooms, self._rooms, self.parts = self._rooms, (), None
        for room in rooms:
            room.left += self.fields
            room.plans.pop(self, None)
