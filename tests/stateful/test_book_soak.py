"""The whole book against the oracle, for longer."""

import asyncio

import pytest

from infrastructure.services import Services
from tests.stateful.play import play
from tests.support.clock import ManualClock

STEPS = 10_000


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """The loop of this test's fixtures."""
    return asyncio.get_running_loop()


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_book_when_driven_at_random_for_long_then_it_is_the_oracles_after_every_step(
    services: Services, clock: ManualClock, loop: asyncio.AbstractEventLoop
) -> None:
    seen = play(services, clock, loop, steps=STEPS, in_a_run=100)
    expected = ("FILLED", "PARTIALLY_FILLED", "CANCELLED", "EXPIRED", "LONG", "SHORT", "CONFLICT", "ORDER_NOT_OPEN")
    stops = ("STOP", "STOP_LIMIT", "TRAILING_STOP", "REJECTED", "replaced", "closed", "cancelled together")
    refused = ("INVALID_INPUT", "NOT_FOUND", "INSUFFICIENT_FUNDS", "TRADING_PAUSED", "RISK_LIMIT_EXCEEDED")
    assert [word for word in (*expected, *stops, *refused) if not seen[word]] == []
