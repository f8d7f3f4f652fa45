"""Orders of a user by their status, and those that work."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NOT_CLOSED = sa.text("closed_at IS NULL")


def upgrade() -> None:
    op.create_index("orders_by_owner_status", "orders", ["owner_id", "status", "placed_at", "id"])
    op.create_index(
        "orders_working_by_owner",
        "orders",
        ["owner_id", "placed_at", "id"],
        postgresql_where=NOT_CLOSED,
        sqlite_where=NOT_CLOSED,
    )


def downgrade() -> None:
    op.drop_index("orders_working_by_owner", table_name="orders")
    op.drop_index("orders_by_owner_status", table_name="orders")
