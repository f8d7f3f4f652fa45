"""One operation's way to its client, whatever the transport: in order, and bounded."""

from abc import ABC, abstractmethod

from starlette.types import Message

from graph.wire.answers import Answer
from graph.wire.fanout import Event
from graph.wire.outbox import Lane, Outbox
from infrastructure.relay import QUEUE_MAX

LATEST_MAX = 32
"""Of a stream of the latest so much waits for a client, and then it gets what is so when it reads again."""


class Channel(ABC):
    """As a subscription sees it (`fanout.Sink`); what it says is a message of the transport's."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._lane = Lane()
        self._ended = False

    def take(self, event: Event) -> bool:
        """Send it or keep it."""
        if self._ended:
            return True
        if self._lane.waiting >= (LATEST_MAX if event.mark is None else QUEUE_MAX) or self._outbox.full:
            return False
        self._outbox.put(self._message(event), self._lane)
        return True

    def gather(self) -> None:
        """More comes right behind."""
        self._outbox.gather()

    async def room(self) -> None:
        """Wait until the client has taken everything."""
        await self._outbox.room()

    def drop(self) -> None:
        """Leave out what is kept."""
        self._lane.drop()

    @abstractmethod
    def end(self, answer: Answer | None) -> None:
        """Say so: it is over by itself, or with an error."""

    @abstractmethod
    def _message(self, event: Event) -> Message:
        """What says it."""
