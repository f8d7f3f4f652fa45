"""What is felt about an instrument: single analyses, and the signal that they add up to."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from sqlalchemy import BigInteger
from sqlmodel import Field, SQLModel

from models.columns import Exact, Moment, Word, one_of
from models.enums import SentimentLabel, SentimentSignal
from models.money import divide, exact

PLACES = 6
LABELLED = Decimal("0.2")
"""From which score on it is POSITIVE; NEGATIVE from as far below 0."""
TURNED, HELD = Decimal("0.3"), Decimal("0.2")
"""How far the trend has to be from 0 for a signal, and how far for the one that there is to stay."""


@dataclass(frozen=True, slots=True)
class Sentiment:
    """The latest analysis of an instrument: `score` from -1 to 1, `confidence` from 0 to 1.

    `signal` is what the analyses up to it add up to; none until that was worked out.
    """

    id: UUID
    symbol: str
    score: Decimal
    confidence: Decimal
    label: SentimentLabel
    source: str
    analyzed_at: datetime
    signal: SentimentSignal | None


def label_of(score: Decimal) -> SentimentLabel:
    """The word for a score."""
    if score >= LABELLED:
        return SentimentLabel.POSITIVE
    return SentimentLabel.NEGATIVE if score <= -LABELLED else SentimentLabel.NEUTRAL


@exact
def trend_after(trend: Decimal | None, sentiment: Sentiment) -> Decimal:
    """The running mean of scores after one more, in which one counts for half of its confidence; begins with 0."""
    before, weight = trend or Decimal(0), sentiment.confidence / 2
    return divide(before * (1 - weight) + sentiment.score * weight, Decimal(1), PLACES)


def signal_of(trend: Decimal, before: SentimentSignal | None) -> SentimentSignal:
    """The signal of a trend: one that is there goes later than it came."""
    for signal, sign in ((SentimentSignal.BULLISH, 1), (SentimentSignal.BEARISH, -1)):
        if trend * sign >= (HELD if before is signal else TURNED):
            return signal
    return SentimentSignal.NEUTRAL


class SentimentRow(SQLModel, table=True):
    """The latest analysis of each instrument; those before it are in the log. `trend_seq` is the last event in it."""

    __tablename__ = "sentiments"
    __table_args__ = (one_of("label", SentimentLabel),)

    symbol: str = Field(primary_key=True, foreign_key="instruments.symbol")
    id: UUID
    score: Decimal = Field(sa_type=Exact)
    confidence: Decimal = Field(sa_type=Exact)
    label: SentimentLabel = Field(sa_type=Word(SentimentLabel))
    source: str
    analyzed_at: datetime = Field(sa_type=Moment)
    signal: SentimentSignal | None = Field(default=None, sa_type=Word(SentimentSignal))
    trend: Decimal | None = Field(default=None, sa_type=Exact)
    trend_seq: int = Field(sa_type=BigInteger)
