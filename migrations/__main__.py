"""`python -m migrations MESSAGE`: writes the next revision, from what the models have and the newest schema has not."""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory
from pydantic import SecretStr

from infrastructure.database import Database
from infrastructure.migrations import config, migrate
from infrastructure.settings import Settings


async def write_revision(message: str) -> None:
    """Write the revision that follows the newest one; a person then spells out its types and reads it."""
    known = list(ScriptDirectory.from_config(config()).walk_revisions())
    name = f"{len(known) + 1:04}"
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'empty.db'}"
        database = Database(Settings(database_url=url, secret=SecretStr("-" * 32)))
        await migrate(database)
        async with database.write() as transaction:
            await transaction.connection.run_sync(
                lambda connection: command.revision(config(connection), message, autogenerate=True, rev_id=name)
            )
        await database.close()


if __name__ == "__main__":
    asyncio.run(write_revision(" ".join(sys.argv[1:])))
