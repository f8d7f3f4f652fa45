import asyncio
from collections.abc import Awaitable, Callable

import pytest

from infrastructure.budgets.limiter import Limiter
from infrastructure.settings import Settings
from infrastructure.throttle import Throttle
from models.errors import Throttled
from tests.support.clock import ManualClock


class Hands:
    """The hands of the clock that the limiter reads."""

    def __init__(self) -> None:
        self.now = 1_767_600_000.0  # divisible by 60 and 3600: a window's first moment


@pytest.fixture
def hands() -> Hands:
    return Hands()


MakeThrottle = Callable[..., Throttle]


@pytest.fixture
def throttle(hands: Hands, clock: ManualClock) -> MakeThrottle:
    def make(per_account: str = "5/minute", per_address: str = "20/minute", register: str = "20/hour") -> Throttle:
        settings = Settings(
            limit_login_per_account=per_account,
            limit_login_per_address=per_address,
            limit_register_per_address=register,
        )
        return Throttle(settings, Limiter(clock, now=lambda: hands.now))

    return make


async def wait_s(tried: Awaitable[None]) -> float:
    with pytest.raises(Throttled) as refusal:
        await tried
    return refusal.value.retry_after_s


async def test_login_when_an_account_is_tried_five_times_then_the_sixth_waits_for_the_minutes_end(
    throttle: MakeThrottle, hands: Hands
) -> None:
    budget = throttle()
    for _ in range(5):
        await budget.login("a@example.com", "10.0.0.1")
    hands.now += 20
    assert await wait_s(budget.login("a@example.com", "10.0.0.2")) == pytest.approx(40, abs=1e-5)
    await budget.login("b@example.com", "10.0.0.1")


async def test_login_when_it_says_how_long_to_wait_then_that_is_enough_and_a_moment_less_is_not(
    throttle: MakeThrottle, hands: Hands
) -> None:
    budget = throttle()
    for second in (0, 0, 0, 70, 70, 70):
        hands.now = 1_767_600_000.0 + second
        await budget.login("a@example.com", "10.0.0.1")
    # Of the 3 in the minute before, (120 - t) / 60 weigh: below 2 beside the 3 of this one from second 80 on.
    assert await wait_s(budget.login("a@example.com", "10.0.0.1")) == pytest.approx(10, abs=1e-5)
    hands.now += 9.9
    assert await wait_s(budget.login("a@example.com", "10.0.0.1")) == pytest.approx(0.1, abs=1e-5)
    hands.now += 0.2
    await budget.login("a@example.com", "10.0.0.1")


async def test_login_when_one_of_its_budgets_is_empty_then_the_other_is_not_spent(throttle: MakeThrottle) -> None:
    budget = throttle(per_account="2/minute", per_address="3/minute")
    for _ in range(2):
        await budget.login("a@example.com", "10.0.0.1")
    for _ in range(5):
        assert await wait_s(budget.login("a@example.com", "10.0.0.1")) == 60
    await budget.login("b@example.com", "10.0.0.1")
    assert await wait_s(budget.login("b@example.com", "10.0.0.1")) == 60
    await budget.login("b@example.com", "10.0.0.2")
    assert await wait_s(budget.login("b@example.com", "10.0.0.3")) == 60


async def test_login_when_forty_come_at_once_then_exactly_five_are_let_through(
    throttle: MakeThrottle, hands: Hands
) -> None:
    hands.now += 1
    budget = throttle()
    tried = [budget.login("a@example.com", f"10.0.0.{number}") for number in range(40)]
    answers = await asyncio.gather(*tried, return_exceptions=True)
    assert [type(answer) for answer in answers].count(Throttled) == 35
    assert answers.count(None) == 5


async def test_register_when_an_address_has_made_twenty_then_it_waits_for_the_hours_end(
    throttle: MakeThrottle, hands: Hands
) -> None:
    budget = throttle()
    for _ in range(20):
        await budget.register("10.0.0.1")
    hands.now += 600
    assert await wait_s(budget.register("10.0.0.1")) == pytest.approx(3000, abs=1e-5)
    await budget.register("10.0.0.2")
    await budget.login("a@example.com", "10.0.0.1")
