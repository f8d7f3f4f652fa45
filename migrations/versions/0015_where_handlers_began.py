"""Where each handler began: of what is older it owes nothing, and `events verify` has to know."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    op.add_column("handler_checkpoints", sa.Column("begun", sa.BigInteger(), nullable=True))
    # Where those that are there began was not kept: they are held to what comes from here on.
    op.execute("UPDATE handler_checkpoints SET begun = seq")


def downgrade() -> None:
    op.drop_column("handler_checkpoints", "begun")
