"""What an operation costs who asks: points of several budgets at once, and its place in the windows of its class."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from infrastructure.budgets.addresses import household
from infrastructure.budgets.charges import Bucket, Charge, Standing
from infrastructure.budgets.limiter import Spending
from models.errors import Throttled
from resolvers.context import Context

WAIT_S_MAX = 24 * 3600
"""As good as never, and still a figure."""


@dataclass(frozen=True, slots=True)
class RateLimitStatus:
    """How much of the budget that is nearest to its end is left."""

    limit: int
    remaining: int
    restore_rate: float
    reset_at: datetime

    @property
    def used(self) -> int:
        """What is spent of it."""
        return self.limit - self.remaining


async def charge(ctx: Context, points: int, counts: Mapping[str, int]) -> Spending:
    """Spend points, and count commands by their class; raises `Throttled`, and then nothing is spent."""
    charges = [*_points(ctx, points), *_counts(ctx, counts)]
    spending = await ctx.services.limiter.spend(charges)
    if not spending.passed:
        raise _refusal(spending)
    return spending


async def budgets(ctx: Context) -> Spending:
    """How the caller's budgets stand; nothing is spent."""
    return await ctx.services.limiter.spend(_points(ctx, 0))


async def rate_limit(ctx: Context) -> RateLimitStatus:
    """How the caller's budget stands, with this question paid for."""
    standing = tightest(await budgets(ctx))
    return RateLimitStatus(
        limit=standing.charge.limit.amount,
        remaining=math.floor(standing.remaining),
        restore_rate=restore_rate(standing),
        reset_at=ctx.now + timedelta(seconds=min(standing.full_s, WAIT_S_MAX)),
    )


def tightest(spending: Spending) -> Standing:
    """The bucket with the least left."""
    buckets = [standing for standing in spending.standings if isinstance(standing.charge.limit, Bucket)]
    return min(buckets, key=lambda standing: standing.remaining)


def restore_rate(standing: Standing) -> float:
    """The points a second that a bucket gets back."""
    limit = standing.charge.limit
    return limit.restore_rate if isinstance(limit, Bucket) else 0


def _points(ctx: Context, points: int) -> list[Charge]:
    rates, home = ctx.services.rates, household(ctx.address)
    charges = [Charge(rates.address, f"address:{home}", points)]
    if ctx.viewer is None:
        return [Charge(rates.anonymous, f"anonymous:{home}", points), *charges]
    if ctx.viewer.key_id is not None:
        charges.append(Charge(rates.key, f"key:{ctx.viewer.key_id}", points))
    return [Charge(rates.user, f"user:{ctx.viewer.user.id}", points), *charges]


def _counts(ctx: Context, counts: Mapping[str, int]) -> list[Charge]:
    whose = household(ctx.address) if ctx.viewer is None else str(ctx.viewer.user.id)
    windows = ctx.services.rates.operations
    return [Charge(windows[kind], f"{kind}:{whose}", count) for kind, count in counts.items()]


def _refusal(spending: Spending) -> Throttled:
    worst = max(spending.standings, key=lambda standing: standing.wait_s)
    limit = worst.charge.limit
    if isinstance(limit, Bucket):
        message = (
            f"Too much at once: this costs {worst.charge.cost} points, and {math.floor(worst.remaining)} are left of "
            f"{limit.amount}; {limit.restore_rate:g} come back each second."
        )
    else:
        kind = worst.charge.key.partition(":")[0]
        message = f"Too many operations on {kind}: there may be {limit.amount} in {limit.get_expiry()} seconds."
    return Throttled(message, min(worst.wait_s, WAIT_S_MAX))
