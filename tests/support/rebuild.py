"""For any test: the log is whole, and the tables are what it says."""

from infrastructure.database import Database
from resolvers.events import verify as verifying


async def verify(database: Database) -> None:
    """Raises `AssertionError` with everything that is not as it has to be."""
    verdict = await verifying.verify(database)
    assert not verdict.flaws, "\n".join(map(str, verdict.flaws))
