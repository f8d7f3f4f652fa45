"""What handlers have to have done of the events that they have come past, by the log alone."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from uuid import UUID

from models.enums import AggregateType, EventType, SentimentSignal
from models.events import RecordedEvent
from models.facts import fill_of, position_of, sentiment_of
from models.orders import Fill
from models.positions import Position
from models.sentiment import Sentiment, signal_of, trend_after
from models.trades import TradeSummary, summarized


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a handler has come: from behind `begun` (none: not known) up to `seq`, without what it gave up."""

    begun: int | None
    seq: int
    given_up: frozenset[int] = frozenset()

    def owes(self, seq: int) -> bool:
        """Whether it has to have dealt with that event."""
        return self.begun is not None and self.begun < seq <= self.seq and seq not in self.given_up

    def may_have(self, seq: int) -> bool:
        """Whether it may have."""
        return seq <= self.seq


@dataclass(frozen=True, slots=True)
class Felt:
    """What the analyses of an instrument add up to, up to one of them."""

    seq: int
    latest: Sentiment
    trend: Decimal | None
    signal: SentimentSignal | None


@dataclass
class Effects:
    """Fed with every event in order. `whole`: from the first there is."""

    whole: bool = True
    types: dict[int, EventType] = field(default_factory=dict)
    """Of every event that somebody may be told of."""
    owners: dict[int, UUID] = field(default_factory=dict)
    summaries: dict[UUID, tuple[int, TradeSummary]] = field(default_factory=dict)
    """Of each position that was closed, and opened in what was read: the event, and what it comes to."""
    analyses: dict[str, list[tuple[int, Sentiment]]] = field(default_factory=lambda: defaultdict(list))
    _wishes: dict[UUID, list[tuple[int, dict[str, bool]]]] = field(default_factory=lambda: defaultdict(list))
    _stories: dict[UUID, list[tuple[Position, Fill]]] = field(default_factory=lambda: defaultdict(list))

    def take(self, event: RecordedEvent, told_of: frozenset[EventType]) -> None:
        """The next event; `told_of` are the types that somebody is told of. What can't be read tells nothing."""
        if event.type in told_of:
            self.types[event.seq] = event.type
            if event.owner_id is not None:
                self.owners[event.seq] = event.owner_id
        try:
            if event.aggregate_type is AggregateType.POSITION:
                self._take_position(event)
            elif event.aggregate_type is AggregateType.USER:
                user = event.data["user"]
                wishes = {name: user[name] for name in ("notifyOnFill", "notifyOnRiskBreach", "notifyOnMarketAlert")}
                self._wishes[event.aggregate_id].append((event.seq, wishes))
            elif event.type is EventType.SENTIMENT_ANALYSIS_COMPLETED:
                sentiment = sentiment_of(event)
                self.analyses[sentiment.symbol].append((event.seq, sentiment))
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
            return  # it is a flaw of the log, and said there

    def _take_position(self, event: RecordedEvent) -> None:
        position, fill = position_of(event), fill_of(event)
        if event.version == 1:
            self._stories[position.id] = []
        story = self._stories.get(position.id)
        if story is None or fill is None:
            return  # it was opened before what was read
        story.append((position, fill))
        if position.closed_at is not None:
            self.summaries[position.id] = event.seq, summarized(self._stories.pop(position.id))

    def wished(self, owner_id: UUID, wish: str, seq: int) -> bool | None:
        """Whether somebody wanted to be told from that event on; none if that changed, or is not known.

        When a handler came to the event is not known, so that only what held all the time tells.
        """
        told = self._wishes.get(owner_id, [])
        since = [wishes[wish] for at, wishes in told if at > seq]
        before = [wishes[wish] for at, wishes in told if at <= seq]
        held = {*before[-1:], *since}
        return held.pop() if before and len(held) == 1 else None

    def felt(self, symbol: str, dealt_with: Iterable[int]) -> Felt | None:
        """What the analyses of an instrument come to, worked in these; none if there is none at all."""
        analyses, worked_in = self.analyses.get(symbol), frozenset(dealt_with)
        if not analyses:
            return None
        trend, signal, last = None, None, 0
        for seq, sentiment in analyses:
            if seq in worked_in:
                trend = trend_after(trend, sentiment)
                signal, last = signal_of(trend, signal), seq
        return Felt(last, analyses[-1][1], trend, signal)
