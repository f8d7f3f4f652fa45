"""Up to which event notifications that were read may be gone, and where those are that were read long ago."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"

READ = sa.text("read_at IS NOT NULL")


def upgrade() -> None:
    op.create_table(
        "notifications_forgotten",
        sa.Column("id", sa.Integer(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
    )
    op.create_index("notifications_by_reading", "notifications", ["read_at"], postgresql_where=READ, sqlite_where=READ)


def downgrade() -> None:
    op.drop_index("notifications_by_reading", table_name="notifications")
    op.drop_table("notifications_forgotten")
