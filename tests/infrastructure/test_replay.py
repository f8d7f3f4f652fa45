from datetime import timedelta
from decimal import Decimal

from structlog.testing import capture_logs

from infrastructure.replay import ReplayFeed
from models.enums import CandleInterval
from models.marketdata import Quote
from tests.support.clock import START

D = Decimal
RECORDED = START - timedelta(days=400)


def recorded(seconds: float, last: int, symbol: str = "AAPL") -> Quote:
    price, size = D(last), D(100)
    at = RECORDED + timedelta(seconds=seconds)
    return Quote(symbol, price, size, price + 1, size, price, None, None, None, None, D(0), at)


def seen(quotes: list[Quote]) -> list[tuple[str, int, float]]:
    return [(quote.symbol, int(quote.last), (quote.as_of - START).total_seconds()) for quote in quotes]


def test_replay_when_played_then_its_quotes_come_in_order_at_their_distances_from_now_on() -> None:
    feed = ReplayFeed()
    assert feed.quotes(START) == []
    feed.play(iter([recorded(0, 1), recorded(0, 2, "MSFT"), recorded(2, 3), recorded(2.5, 4), recorded(9, 5)]))
    assert seen(feed.quotes(START)) == [("AAPL", 1, 0), ("MSFT", 2, 0)]
    assert feed.quotes(START + timedelta(seconds=1)) == []
    assert seen(feed.quotes(START + timedelta(seconds=3))) == [("AAPL", 4, 2.5)]


def test_replay_when_it_is_faster_or_slower_then_its_times_are_too() -> None:
    for speed, at in ((D(4), 2.0), (D("0.5"), 16.0)):
        feed = ReplayFeed(speed)
        feed.play(iter([recorded(0, 1), recorded(8, 2)]))
        feed.quotes(START)
        assert feed.quotes(START + timedelta(seconds=at - 0.001)) == []
        assert seen(feed.quotes(START + timedelta(seconds=at))) == [("AAPL", 2, at)]


def test_replay_when_it_has_ended_then_there_are_no_more_and_it_is_said_once() -> None:
    feed = ReplayFeed()
    feed.play(iter([recorded(0, 1)]))
    with capture_logs() as logs:
        assert len(feed.quotes(START)) == 1
        assert feed.quotes(START + timedelta(days=1)) == []
    assert [entry["event"] for entry in logs] == ["the replay has ended: the last quotes stay, and go stale"]
    assert feed.candles("AAPL", CandleInterval.ONE_DAY, RECORDED, START) == []
