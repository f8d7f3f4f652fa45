"""Runs the machine, so that a failure can be had again."""

import asyncio
import os
import random
from collections import Counter

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from infrastructure.services import Services
from tests.stateful.machine import BookMachine
from tests.stateful.pit import Pit
from tests.support.clock import ManualClock
from tests.support.rebuild import verify


def play(
    services: Services, clock: ManualClock, loop: asyncio.AbstractEventLoop, *, steps: int, in_a_run: int
) -> Counter[str]:
    """At least so many steps on one database, in runs of so many, then the log against the tables; what has happened.

    A failure notes the seed. `TRADEGRAPH_TEST_SEED` in the environment repeats it, and with `TRADEGRAPH_TEST_SHRINK`
    Hypothesis looks for the shortest way there, which takes some minutes.
    """
    number = int(os.environ.get("TRADEGRAPH_TEST_SEED") or random.SystemRandom().getrandbits(32))
    seen: Counter[str] = Counter()
    pit = loop.run_until_complete(Pit.open(services, clock))
    machine = type("Machine", (BookMachine,), {"pit": pit, "loop": loop, "seen": seen})
    try:
        while (left := steps - seen["steps"]) > 0:
            how = settings(
                max_examples=-(-left // in_a_run),
                stateful_step_count=in_a_run,
                deadline=None,
                database=None,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, *([Phase.shrink] if os.environ.get("TRADEGRAPH_TEST_SHRINK") else [])],
            )
            run_state_machine_as_test(seed(number + seen["steps"])(machine), settings=how)
        loop.run_until_complete(verify(services.database))
    except BaseException as error:
        error.add_note(f"TRADEGRAPH_TEST_SEED={number} repeats this; it came about after {seen['steps']} steps")
        raise
    finally:
        loop.run_until_complete(pit.close())
    return seen
