"""Budgets that all processes share, on Redis: one script, by the clock of Redis."""

from collections.abc import Sequence
from typing import cast

from redis.commands.core import AsyncScript

from infrastructure.budgets.charges import Bucket, Charge, Standing, standings
from infrastructure.redis import Client, Redis

PREFIX = "tradegraph:budget:"

# For each key: what it is, its amount, its pace (points a second, or a window's seconds), and the cost. Answers with
# the state of each before it was charged, as `charges.State` has it.
_SPEND = b"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
local function written(number) return string.format('%.17g', number) end
local states, passes = {}, 1
for i, key in ipairs(KEYS) do
  local kind, amount = ARGV[4 * i - 3], tonumber(ARGV[4 * i - 2])
  local pace, cost = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local kept = redis.call('HMGET', key, 'a', 'b', 'at')
  local a, b, at = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
  if kind == 'bucket' then
    if kept[3] then a = math.min(amount, a + math.max(0, now - at) * pace) else a = amount end
    if a + 0.000001 < cost then passes = 0 end
    states[i] = {a, 0, now, 0}
  else
    local number = math.floor(now / pace)
    if at == number - 1 then a, b = 0, a elseif at ~= number then a, b = 0, 0 end
    local run = now - number * pace
    if cost > amount or a + b * (1 - run / pace) >= amount - cost + 1 then passes = 0 end
    states[i] = {a, b, number, run}
  end
end
local answer = {}
for i, key in ipairs(KEYS) do
  local kind, amount = ARGV[4 * i - 3], tonumber(ARGV[4 * i - 2])
  local pace, cost = tonumber(ARGV[4 * i - 1]), tonumber(ARGV[4 * i])
  local a, b, at, run = unpack(states[i])
  answer[#answer + 1] = written(a)
  answer[#answer + 1] = written(b)
  answer[#answer + 1] = written(run)
  if passes == 1 and cost > 0 then
    local keep_s = 86400
    if kind == 'window' then
      a, keep_s = a + cost, 2 * pace
    else
      a = math.max(0, a - cost)
      if pace > 0 then keep_s = (amount - a) / pace end
    end
    redis.call('HSET', key, 'a', written(a), 'b', written(b), 'at', written(at))
    redis.call('PEXPIRE', key, math.ceil(keep_s * 1000) + 1000)
  end
end
return answer
"""

# Points back into buckets that are still kept; one that is not is full.
_GIVE_BACK = b"""
local time = redis.call('TIME')
local now = tonumber(time[1]) + tonumber(time[2]) / 1000000
for i, key in ipairs(KEYS) do
  local amount, pace, points = tonumber(ARGV[3 * i - 2]), tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
  local kept = redis.call('HMGET', key, 'a', 'at')
  if kept[2] then
    local restored = tonumber(kept[1]) + math.max(0, now - tonumber(kept[2])) * pace + points
    redis.call('HSET', key, 'a', string.format('%.17g', math.min(amount, restored)), 'at', string.format('%.17g', now))
  end
end
"""


class SharedBudgets:
    """Budgets on Redis; each method raises `RedisUnavailable`."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        # Made for no client: each call brings the one that it is given.
        self._spend = AsyncScript(cast("Client", None), _SPEND)
        self._give_back = AsyncScript(cast("Client", None), _GIVE_BACK)

    async def spend(self, charges: Sequence[Charge]) -> list[Standing]:
        """Charge all if each of them passes, else none; how each then stands."""
        keys = [PREFIX + charge.key for charge in charges]
        args = [word for charge in charges for word in (*_kind(charge), charge.cost)]
        found = await self._redis.ask(lambda client: self._spend(keys, args, client))
        numbers = [float(number) for number in found]
        return standings(charges, list(zip(numbers[::3], numbers[1::3], numbers[2::3], strict=True)))

    async def give_back(self, charges: Sequence[Charge]) -> None:
        """Put points back into buckets, as far as they hold them."""
        buckets = [(charge, charge.limit) for charge in charges if isinstance(charge.limit, Bucket)]
        keys = [PREFIX + charge.key for charge, _ in buckets]
        args = [word for charge, bucket in buckets for word in (bucket.amount, bucket.restore_rate, charge.cost)]
        if keys:
            await self._redis.ask(lambda client: self._give_back(keys, args, client))

    async def clear(self, key: str) -> None:
        """Forget what was spent."""
        await self._redis.ask(lambda client: client.delete(PREFIX + key))


def _kind(charge: Charge) -> tuple[str, int, float]:
    limit = charge.limit
    if isinstance(limit, Bucket):
        return "bucket", limit.amount, limit.restore_rate
    return "window", limit.amount, limit.get_expiry()
