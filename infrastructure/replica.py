"""A copy of the database that is read for showing, as far as it has come.

A copy follows the database at some distance. Whether it has come far enough is asked of the very connection that then
reads: behind one address there may be several copies. What a connection was once told stays true, as a copy only ever
goes forward.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
import structlog

from infrastructure.bare import Bare, Driver, Line
from infrastructure.statements import Row, Statement

PATIENCE_S = 1.0
"""A reading that takes the copy longer is given to the database itself."""
REST_GONE_S = 1.0
"""For so long nothing is asked of a copy that did not answer."""
REST_BEHIND_S = 0.02
"""Likewise of one that was behind."""
FAR_BEHIND_S = 5.0
"""A copy that was never up to date for so long is spoken of."""
_PLACE = "SELECT epoch, seq FROM log_head"

logger = structlog.get_logger(__name__)


@dataclass
class ReplicaCounts:
    """What became of the readings that a copy could have answered."""

    served: int = 0
    behind: int = 0
    """It had not come as far as the answer has to be."""
    gone: int = 0
    """It did not answer, or not in time."""


class Replica:
    """The copies behind one address."""

    def __init__(self, driver: Driver, size: int) -> None:
        self.bare = Bare(driver, size)
        self.counts = ReplicaCounts()
        self._rests_until = 0.0
        self._is_gone = False
        self._behind_since: float | None = None
        self._was_spoken_of = False

    async def rows(
        self, statement: Statement, values: Mapping[str, Any], epoch: str, position: int
    ) -> list[Row] | None:
        """What the statement finds in a copy that has come to `position` of the log `epoch`; None if none can say."""
        now = asyncio.get_running_loop().time()
        if now < self._rests_until:
            self._count_again()
            return None
        if self._is_gone:  # one asks, the others wait for what comes of it
            self._rests_until = now + REST_GONE_S
        compiled = statement.compiled(self.bare.driver.dialect)
        given = compiled.given(values)
        try:
            async with asyncio.timeout(PATIENCE_S), self.bare.lent() as line:
                if not await self._has_come(line, epoch, position):
                    self._is_behind(now)
                    return None
                found = await self.bare.driver.fetch(line.connection, compiled.sql, given)
        except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError, asyncpg.PostgresError) as error:
            # A statement that the copy breaks off, so as to follow, is no sign that it is gone.
            self._failed(now, error, is_gone=not self.bare.driver.is_refusal(error))
            return None
        self._answered()
        return compiled.rows(found)

    async def _has_come(self, line: Line, epoch: str, position: int) -> bool:
        if line.epoch != epoch or line.reached < position:
            [(line.epoch, line.reached)] = await self.bare.driver.fetch(line.connection, _PLACE, [])
        return line.epoch == epoch and line.reached >= position

    def _count_again(self) -> None:
        if self._is_gone:
            self.counts.gone += 1
        else:
            self.counts.behind += 1

    def _is_behind(self, now: float) -> None:
        self.counts.behind += 1
        self._is_gone = False
        self._rests_until = now + REST_BEHIND_S
        if self._behind_since is None:
            self._behind_since = now
        if now - self._behind_since > FAR_BEHIND_S and not self._was_spoken_of:
            self._was_spoken_of = True
            logger.warning("the read replica is far behind: the database itself is read", seconds=FAR_BEHIND_S)

    def _failed(self, now: float, error: Exception, *, is_gone: bool) -> None:
        self.counts.gone += 1
        if is_gone:
            self._rests_until = now + REST_GONE_S
            if not self._is_gone:
                logger.warning("the read replica does not answer: the database itself is read", error=repr(error))
            self._is_gone = True

    def _answered(self) -> None:
        self.counts.served += 1
        if self._is_gone or self._was_spoken_of:
            logger.info("the read replica is read again")
        self._rests_until, self._behind_since = 0.0, None
        self._is_gone = self._was_spoken_of = False

    async def close(self) -> None:
        """Close its connections."""
        await self.bare.close()
