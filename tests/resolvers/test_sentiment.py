"""Sentiment: kept at once, worked into a signal by its handler, and told to holders when that turns."""

import pytest

from infrastructure.services import Services
from models.enums import ErrorCode, Role, SentimentLabel, SentimentSignal
from models.errors import Refused
from models.sentiment import Sentiment, label_of, signal_of
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from resolvers.events.replaying import replay_from
from resolvers.marketdata.sentiment import record_sentiment, sentiment
from resolvers.registry import HANDLERS, bus_of
from tests.support.clock import ManualClock
from tests.support.handlers import drain, head, told
from tests.support.market import D, Market, Trader
from tests.support.people import context_of, signed_up
from tests.support.processes import context_in

WORKS = next(handler for handler in HANDLERS if handler.name == "sentiment")


@pytest.fixture
async def analyst(services: Services) -> Context:
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1")
    await bus_of(services).register()
    signed_in = await signed_up(services, "analyst@example.com")
    await grant_role(services, "analyst@example.com", Role.ANALYST)
    return await context_of(services, signed_in)


async def latest(ctx: Context) -> Sentiment:
    found = await sentiment(context_in(ctx.services, ctx), "AAPL")
    assert found is not None
    return found


async def record(ctx: Context, score: str, confidence: str = "1") -> Sentiment:
    await record_sentiment(ctx, "AAPL", D(score), D(confidence), " newswire ")
    await drain(ctx.services)
    return await latest(ctx)


async def test_sentiment_when_recorded_then_it_is_there_at_once_with_its_label(
    analyst: Context, clock: ManualClock
) -> None:
    assert await sentiment(analyst, "AAPL") is None
    done = await record_sentiment(analyst, "AAPL", D("0.1234567"), D("0.5"), "newswire")
    assert done.value.symbol == "AAPL"
    found = await latest(analyst)
    assert found == Sentiment(
        found.id, "AAPL", D("0.123457"), D("0.5"), SentimentLabel.NEUTRAL, "newswire", clock.now(), None
    )


async def test_sentiment_when_it_goes_on_in_one_way_then_the_signal_turns_and_holders_are_told(
    analyst: Context,
) -> None:
    holder = await Trader.with_cash(analyst.services, email="holder@example.com")
    await holder.trade("BUY", "1", "100")
    await Trader.with_cash(analyst.services, email="flat@example.com")
    # The trend: 0.25, 0.525, 0.2625 (stays), 0.13 (goes), -0.43
    expected = [SentimentSignal.NEUTRAL, SentimentSignal.BULLISH, SentimentSignal.BULLISH]
    found = [await record(analyst, "0.5"), await record(analyst, "0.8"), await record(analyst, "0")]
    assert [each.signal for each in found] == expected
    assert [each.label for each in found] == ["POSITIVE", "POSITIVE", "NEUTRAL"]
    assert (await record(analyst, "0")).signal is SentimentSignal.NEUTRAL
    assert (await record(analyst, "-1")).signal is SentimentSignal.BEARISH
    notes = await told(analyst.services, owner_id=holder.ctx.owner_id, subject_type="Instrument")
    assert sorted(note.title for note in notes) == [
        "Sentiment on AAPL turned bearish", "Sentiment on AAPL turned bullish", "Sentiment on AAPL turned neutral",
    ]  # fmt: skip
    assert len(await told(analyst.services, subject_type="Instrument")) == 3
    assert notes[0].body == (
        "The trend of what is felt about AAPL turned bullish. The latest analysis scored 0.8 (positive), with a "
        "confidence of 1, by newswire."
    )


async def test_sentiment_when_its_events_are_replayed_then_they_are_not_worked_in_twice(analyst: Context) -> None:
    found = [await record(analyst, "0.5"), await record(analyst, "0.5", "0.5")][-1]
    assert await replay_from(analyst.services, WORKS, 0) == (2, [])
    assert await latest(analyst) == found


@pytest.mark.parametrize(
    ("given", "code", "path"),
    [
        (("NOPE", "0", "1", "wire"), ErrorCode.NOT_FOUND, ("input", "symbol")),
        (("AAPL", "1.01", "1", "wire"), ErrorCode.INVALID_INPUT, ("input", "score")),
        (("AAPL", "0", "-0.1", "wire"), ErrorCode.INVALID_INPUT, ("input", "confidence")),
        (("AAPL", "0", "1", " "), ErrorCode.INVALID_INPUT, ("input", "source")),
    ],
)
async def test_sentiment_when_it_makes_no_sense_then_it_is_refused_and_nothing_is_written(
    analyst: Context, given: tuple[str, str, str, str], code: ErrorCode, path: tuple[str, ...]
) -> None:
    before = await head(analyst.services)
    symbol, score, confidence, source = given
    with pytest.raises(Refused) as refused:
        await record_sentiment(analyst, symbol, D(score), D(confidence), source)
    assert [(fault.code, fault.path) for fault in refused.value.faults] == [(code, path)]
    assert await head(analyst.services) == before


async def test_sentiment_when_a_trader_records_it_then_it_is_refused(analyst: Context) -> None:
    trader = await Trader.with_cash(analyst.services)
    with pytest.raises(Refused) as refused:
        await record_sentiment(trader.ctx, "AAPL", D(1), D(1), "me")
    assert [fault.code for fault in refused.value.faults] == [ErrorCode.FORBIDDEN]
    assert await sentiment(analyst, "AAPL") is None


@pytest.mark.parametrize(
    ("score", "label"), [("0.2", "POSITIVE"), ("0.19", "NEUTRAL"), ("-0.19", "NEUTRAL"), ("-0.2", "NEGATIVE")]
)
def test_label_when_a_score_is_given_then_it_is_its_word(score: str, label: str) -> None:
    assert label_of(D(score)) == label


@pytest.mark.parametrize(
    ("trend", "before", "after"),
    [
        ("0.29", None, "NEUTRAL"),
        ("0.3", None, "BULLISH"),
        ("0.2", "BULLISH", "BULLISH"),
        ("0.19", "BULLISH", "NEUTRAL"),
        ("-0.25", "BULLISH", "NEUTRAL"),
        ("-0.3", "BULLISH", "BEARISH"),
        ("-0.2", "BEARISH", "BEARISH"),
    ],
)
def test_signal_when_a_trend_is_given_then_one_that_is_there_goes_later_than_it_came(
    trend: str, before: str | None, after: str
) -> None:
    assert signal_of(D(trend), None if before is None else SentimentSignal(before)) == after
