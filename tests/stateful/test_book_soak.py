"""The whole book against the oracle, for longer."""

import pytest

from infrastructure.settings import Settings
from tests.stateful.test_book import play


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_book_when_driven_at_random_for_long_then_it_is_the_oracles_after_every_step(settings: Settings) -> None:
    seen = play(settings, runs=100, steps=100)
    assert seen["steps"] >= 10_000
    expected = ("FILLED", "PARTIALLY_FILLED", "CANCELLED", "EXPIRED", "LONG", "SHORT", "CONFLICT", "ORDER_NOT_OPEN")
    refused = ("INVALID_INPUT", "NOT_FOUND", "INSUFFICIENT_FUNDS", "TRADING_PAUSED", "RISK_LIMIT_EXCEEDED")
    assert [word for word in (*expected, *refused) if not seen[word]] == []
