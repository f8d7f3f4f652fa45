"""How far each user has come in the log, noted in Redis before whatever they did is answered.

Whoever serves them next, in any process, learns with one look there whether what it knows of them is all there is.
"""

import contextlib
from collections.abc import Mapping, Sequence
from uuid import UUID

from infrastructure import log
from infrastructure.database import Database, DatabaseUnavailable
from infrastructure.redis import Client, Redis, RedisUnavailable
from infrastructure.relay import Relay
from models.events import Event
from models.facts import places

KEPT_MS = 24 * 3600 * 1000
"""A note that is not there is no harm: who looks for it reads the database, and notes it again."""

# The larger of both, so that it does not matter who notes first.
_RAISE = """
for i, key in ipairs(KEYS) do
  if tonumber(redis.call('GET', key) or '-1') < tonumber(ARGV[i + 1]) then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
  end
end
"""


class Notes:
    """The notes on the log that a database has. From now on, what this process commits is noted."""

    def __init__(self, redis: Redis, database: Database, relay: Relay) -> None:
        self._redis, self._database, self._relay = redis, database, relay
        self._epoch = ""
        database.tellers.append(self.wrote)

    async def of(self, user_id: UUID) -> int | None:
        """The place of the user's last event; None where it is not noted, or Redis does not answer."""
        key = _key(self._relay.epoch, user_id)
        try:
            noted = await self._redis.ask(lambda client: client.get(key))
        except RedisUnavailable:
            return None
        return None if noted is None else int(noted)

    async def note(self, user_id: UUID, position: int) -> None:
        """Note that the user has come to `position`, as the database says."""
        await self._raise({_key(self._relay.epoch, user_id): position})

    async def wrote(self, events: Sequence[Event], position: int) -> None:
        """Note that these were committed, the last of them at `position`."""
        users = places(events, position)
        if users and (epoch := await self._name()):
            await self._raise({_key(epoch, user_id): place for user_id, place in users.items()})

    async def _name(self) -> str:
        """The log's; read once where the process does not follow it (the command line)."""
        if not self._relay.epoch and not self._epoch:
            with contextlib.suppress(DatabaseUnavailable):
                async with self._database.read() as connection:
                    self._epoch = (await log.head(connection)).epoch
        return self._relay.epoch or self._epoch

    async def _raise(self, noted: Mapping[str, int]) -> None:
        async def work(client: Client) -> None:
            await client.eval(_RAISE, len(noted), *noted, str(KEPT_MS), *map(str, noted.values()))

        # Where Redis is gone nobody trusts a note; if only this process can't reach it, others learn of it by the log.
        with contextlib.suppress(RedisUnavailable):
            await self._redis.ask(work)


def _key(epoch: str, user_id: UUID) -> str:
    return f"tradegraph:{epoch}:seen:{user_id}"
