"""What Alembic runs: the revisions, on the connection and in the transaction that `infrastructure.migrations` gives."""

import importlib
import pkgutil

from alembic import context
from sqlmodel import SQLModel

import models

# So that every table is known, also one whose file nothing else has imported yet.
for module in pkgutil.iter_modules(models.__path__):
    importlib.import_module(f"models.{module.name}")

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    transactional_ddl=True,
)
context.run_migrations()
