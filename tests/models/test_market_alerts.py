from dataclasses import replace
from decimal import Decimal

import pytest

from models.enums import MarketAlertKind
from models.market_alerts import left, reached, watched
from models.marketdata import Quote
from tests.support.clock import START

D = Decimal
ABOVE, BELOW, MOVE, SPIKE = (
    MarketAlertKind.PRICE_ABOVE,
    MarketAlertKind.PRICE_BELOW,
    MarketAlertKind.PERCENT_MOVE,
    MarketAlertKind.VOLUME_SPIKE,
)
QUOTE = Quote("AAPL", D(95), D(1), D(96), D(1), D("95.5"), None, None, None, D(100), D(0), START)


@pytest.mark.parametrize(
    ("kind", "threshold", "at", "not_at", "leaves", "stays"),
    [
        (ABOVE, "200", "200", "199.99", "198.99", "199"),
        (BELOW, "200", "200", "200.01", "201.01", "201"),
        (MOVE, "5", "5", "4.99", "4.49", "4.5"),
        (SPIKE, "3", "3", "2.99", "2.69", "2.7"),
    ],
)
def test_alert_when_it_comes_to_the_threshold_then_it_is_reached_and_left_only_a_band_behind_it(
    kind: MarketAlertKind, threshold: str, at: str, not_at: str, leaves: str, stays: str
) -> None:
    limit = D(threshold)
    assert (reached(kind, limit, D(at)), reached(kind, limit, D(not_at))) == (True, False)
    assert (left(kind, limit, D(leaves)), left(kind, limit, D(stays))) == (True, False)


def test_watched_when_it_is_a_price_or_a_move_then_it_is_of_the_quote() -> None:
    assert [watched(kind, QUOTE, []) for kind in (ABOVE, BELOW, MOVE)] == [D("95.5"), D("95.5"), D("4.5")]
    assert watched(MOVE, replace(QUOTE, previous_close=None), []) is None


@pytest.mark.parametrize(
    ("volumes", "multiple"),
    [
        ([], None),
        ([100] * 5, None),
        ([100] * 5 + [250], D("2.5")),
        ([0] * 5 + [250], None),
        # Only the last twenty before it count.
        ([9000] + [100] * 20 + [300], D(3)),
    ],
)
def test_watched_when_it_is_volume_then_it_is_the_last_minute_over_the_mean_of_those_before(
    volumes: list[int], multiple: Decimal | None
) -> None:
    assert watched(SPIKE, QUOTE, [D(volume) for volume in volumes]) == multiple
