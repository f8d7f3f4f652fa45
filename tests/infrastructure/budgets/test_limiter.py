import asyncio
import math
import sys
import time

import pytest
from limits import parse

from infrastructure.budgets.charges import Bucket, Charge
from infrastructure.budgets.limiter import Limiter
from infrastructure.redis import FAILURES_MAX, Redis
from infrastructure.settings import Settings
from tests.support.clock import ManualClock
from tests.support.redis_server import RedisServer
from tests.support.wait import until

BACK_S_MAX = 5.0


async def remaining(limiter: Limiter, charge: Charge) -> float:
    (standing,) = (await limiter.spend([Charge(charge.limit, charge.key, 0)])).standings
    return standing.remaining


async def test_spend_when_four_hundred_of_cost_seven_come_at_once_then_exactly_142_pass(limiter: Limiter) -> None:
    charge = Charge(Bucket(1000, 0), "user:1", 7)
    found = await asyncio.gather(*(limiter.spend([charge]) for _ in range(400)))
    assert sum(spending.passed for spending in found) == 142
    assert await remaining(limiter, charge) == 1000 - 142 * 7
    assert {spending.wait_s for spending in found} == {0, math.inf}


async def test_spend_when_two_processes_share_a_redis_then_exactly_142_of_their_400_pass(redis_url: str) -> None:
    command = ["-m", "tests.infrastructure.budgets.spender", redis_url, "200", "7", "1000"]
    spenders = [
        await asyncio.create_subprocess_exec(sys.executable, *command, stdout=asyncio.subprocess.PIPE) for _ in range(2)
    ]
    said = [(await spender.communicate())[0] for spender in spenders]
    assert [spender.returncode for spender in spenders] == [0, 0]
    assert sum(map(int, said)) == 142


async def test_spend_when_one_of_several_does_not_pass_then_none_is_charged(limiter: Limiter) -> None:
    rich, poor = Charge(Bucket(100, 0), "rich", 10), Charge(Bucket(15, 0), "poor", 10)
    window = Charge(parse("5/hour"), "window")
    assert (await limiter.spend([rich, poor, window])).passed
    refused = await limiter.spend([rich, poor, window])
    assert (refused.passed, refused.wait_s) == (False, math.inf)
    assert [standing.remaining for standing in refused.standings] == [90, 5, 4]
    assert [standing.wait_s for standing in refused.standings] == [0, math.inf, 0]
    assert await remaining(limiter, rich) == 90
    assert await remaining(limiter, window) == 4


async def test_spend_when_points_come_back_then_it_says_when_and_that_is_enough(limiter: Limiter) -> None:
    charge = Charge(Bucket(100, 200), "user:1", 60)
    assert (await limiter.spend([charge])).passed
    refused = await limiter.spend([charge])
    assert 0 < refused.wait_s <= 0.1
    await asyncio.sleep(refused.wait_s)
    assert (await limiter.spend([charge])).passed


async def test_spend_when_the_cost_is_more_than_the_bucket_holds_then_it_never_passes(limiter: Limiter) -> None:
    spending = await limiter.spend([Charge(Bucket(100, 1000), "user:1", 101)])
    assert spending.wait_s == math.inf


async def test_spend_when_a_window_is_used_up_then_the_next_waits(limiter: Limiter) -> None:
    charge = Charge(parse("5/hour"), "window")
    found = await asyncio.gather(*(limiter.spend([charge]) for _ in range(40)))
    assert sum(spending.passed for spending in found) == 5
    (refused,) = (await limiter.spend([charge])).standings
    assert 0 < refused.wait_s <= 3600
    assert refused.remaining == 0


async def test_charge_when_its_cost_is_negative_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="negative"):
        Charge(Bucket(10, 1), "user:1", -1)


async def test_give_back_when_less_was_used_then_the_rest_can_be_spent_again(limiter: Limiter) -> None:
    charge = Charge(Bucket(100, 0), "user:1", 80)
    window = Charge(parse("5/hour"), "window")
    spending = await limiter.spend([charge, window])
    limiter.give_back(spending, 50)
    await limiter.settle()
    assert await remaining(limiter, charge) == 70
    assert await remaining(limiter, window) == 4  # a request that was counted stays counted


async def test_give_back_when_it_is_more_than_was_charged_then_it_is_refused(limiter: Limiter) -> None:
    spending = await limiter.spend([Charge(Bucket(100, 0), "user:1", 80)])
    for points in (81, -1):
        with pytest.raises(ValueError, match="charged before"):
            limiter.give_back(spending, points)


async def test_give_back_when_the_bucket_is_full_again_then_it_holds_no_more_than_it_can(limiter: Limiter) -> None:
    charge = Charge(Bucket(100, 100_000), "user:1", 80)
    spending = await limiter.spend([charge])
    await asyncio.sleep(0.002)
    limiter.give_back(spending, 80)
    await limiter.settle()
    assert await remaining(limiter, charge) == 100


async def test_limiter_when_used_as_a_strategy_of_the_library_then_it_keeps_its_promises(
    limiter: Limiter, clock: ManualClock
) -> None:
    bucket = Bucket(10, 1)
    assert await limiter.hit(bucket, "a", "b", cost=9)
    assert not await limiter.hit(bucket, "a", "b", cost=9)
    assert await limiter.test(bucket, "a", "b")
    assert not await limiter.test(bucket, "a", "b", cost=5)
    stats = await limiter.get_window_stats(bucket, "a", "b")
    assert stats.remaining == 1
    assert 8 < stats.reset_time - clock.now().timestamp() <= 9
    await limiter.clear(bucket, "a", "b")
    assert await limiter.hit(bucket, "a", "b", cost=10)


@pytest.mark.parametrize("how", ["dead", "frozen"])
async def test_spend_when_redis_is_gone_then_a_share_is_kept_here_and_it_is_shared_again_within_five_seconds(
    clock: ManualClock, how: str
) -> None:
    charge, window = Charge(Bucket(100, 0), "user:1", 10), Charge(parse("9/hour"), "window")
    with RedisServer() as server:
        redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=500))
        limiter = Limiter(clock, redis, share=0.25)
        assert (await limiter.spend([charge])).shared
        server.freeze() if how == "frozen" else server.kill()
        found = [await limiter.spend([charge, window]) for _ in range(6)]
        assert [spending.shared for spending in found] == [False] * 6
        assert [spending.passed for spending in found] == [True, True, False, False, False, False]  # 25 points, 2 of 9
        assert (limiter.fallbacks, redis.counts.failures, redis.counts.skipped) == (6, FAILURES_MAX, 3)
        server.thaw() if how == "frozen" else server.start()
        began = time.monotonic()
        await until(lambda: redis.available)
        again = await limiter.spend([charge])
        assert (again.shared, again.passed) == (True, True)
        assert time.monotonic() - began < BACK_S_MAX
        limiter.give_back(found[0], 10)  # what was charged here is given back here
        # A frozen one does, once it can, what those asked who had not waited: up to three more.
        assert await remaining(limiter, charge) in ({80, 70, 60, 50} if how == "frozen" else {90})
        await redis.close()


async def test_give_back_when_redis_is_gone_by_then_it_is_let_go(clock: ManualClock) -> None:
    with RedisServer() as server:
        redis = Redis(Settings(redis_url=server.url, redis_timeout_ms=500))
        limiter = Limiter(clock, redis)
        spending = await limiter.spend([Charge(Bucket(100, 0), "user:1", 10)])
        server.kill()
        limiter.give_back(spending, 5)
        await limiter.settle()
        await redis.close()
