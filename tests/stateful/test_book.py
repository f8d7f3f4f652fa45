"""The whole book against the oracle: 1,000 steps on each database. A failure prints its seed and its steps.

`TRADEGRAPH_TEST_SEED` in the environment repeats a run.
"""

import asyncio
import os
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, seed
from hypothesis import settings as hypothesis_settings
from hypothesis.stateful import run_state_machine_as_test

from infrastructure.settings import Settings
from tests.stateful.machine import BookMachine
from tests.stateful.pit import Pit
from tests.support.rebuild import verify

RUNS, STEPS = 20, 50


def play(settings: Settings, runs: int, steps: int) -> Counter[str]:
    """So many runs of so many steps on one database, then the whole log against the tables; what has happened."""
    number = int(os.environ.get("TRADEGRAPH_TEST_SEED") or random.SystemRandom().getrandbits(32))
    seen: Counter[str] = Counter()
    with asyncio.Runner() as runner:
        pit = runner.run(Pit.open(settings))
        machine = type("Machine", (BookMachine,), {"pit": pit, "runner": runner, "seen": seen})
        how = hypothesis_settings(
            max_examples=runs,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(seed(number)(machine), settings=how)
            runner.run(verify(pit.services.database))
        except BaseException as error:
            error.add_note(f"TRADEGRAPH_TEST_SEED={number} repeats this")
            raise
        finally:
            runner.run(pit.close())
    return seen


@pytest.mark.timeout(900)  # only where it fails: Hypothesis looks for the shortest way there
def test_book_when_driven_at_random_then_it_is_the_oracles_after_every_step(settings: Settings) -> None:
    seen = play(settings, RUNS, STEPS)
    assert seen["steps"] >= RUNS * STEPS
    expected = ("FILLED", "CANCELLED", "LONG", "SHORT", "INVALID_INPUT", "INSUFFICIENT_FUNDS")
    assert [word for word in expected if not seen[word]] == []
