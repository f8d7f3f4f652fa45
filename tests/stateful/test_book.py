"""The whole book against the oracle: 1,000 steps on each database. A failure prints its seed and its steps."""

import asyncio

import pytest

from infrastructure.services import Services
from tests.stateful.play import play
from tests.support.clock import ManualClock

STEPS = 1_000


@pytest.fixture
async def loop() -> asyncio.AbstractEventLoop:
    """The loop of this test's fixtures: Hypothesis is not asynchronous, so that each step runs it for a while."""
    return asyncio.get_running_loop()


@pytest.mark.timeout(900)  # for where it shrinks
def test_book_when_driven_at_random_then_it_is_the_oracles_after_every_step(
    services: Services, clock: ManualClock, loop: asyncio.AbstractEventLoop
) -> None:
    seen = play(services, clock, loop, steps=STEPS, in_a_run=50)
    expected = (
        "FILLED",
        "CANCELLED",
        "LONG",
        "SHORT",
        "TRAILING_STOP",
        "replaced",
        "imported",
        "looked back",
        "INVALID_INPUT",
        "INSUFFICIENT_FUNDS",
    )
    assert [word for word in expected if not seen[word]] == []
