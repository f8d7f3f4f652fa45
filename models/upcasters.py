"""How payloads of earlier versions are read as those of today.

An event is never changed once it is written. When a payload gets another shape, a step is added here that makes the
new one of the old one; the program knows the new one only.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from models.enums import EventType
from models.payloads import Json

Step = Callable[[Json], Json]
"""Makes a payload of one version that of the next. Pure: the same for ever, from the payload alone."""


@dataclass(frozen=True, slots=True)
class Upcasters:
    """Of each type of event the steps that lead from version 1 to today's."""

    steps: Mapping[EventType, Sequence[Step]]

    def version(self, kind: EventType) -> int:
        """The version that is written today."""
        return 1 + len(self.steps.get(kind, ()))

    def current(self, kind: EventType, version: int, payload: Json) -> Json:
        """The payload as today's version; one of a later version than this program knows is left as it is."""
        for step in self.steps.get(kind, ())[version - 1 :]:
            payload = step(payload)
        return payload


UPCASTERS = Upcasters(MappingProxyType({}))
"""Those of this program; each payload is of version 1 so far."""
