"""Who holds an instrument, and who was told of it lately."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

NOT_CLOSED = sa.text("closed_at IS NULL")
OF_ALERTS = sa.text("handler = 'market-alert'")


def upgrade() -> None:
    op.create_index("holders", "positions", ["symbol"], postgresql_where=NOT_CLOSED, sqlite_where=NOT_CLOSED)
    op.create_index(
        "notifications_of_market_alerts",
        "notifications",
        ["subject_id", "created_at", "owner_id"],
        postgresql_where=OF_ALERTS,
        sqlite_where=OF_ALERTS,
    )


def downgrade() -> None:
    op.drop_index("notifications_of_market_alerts", table_name="notifications")
    op.drop_index("holders", table_name="positions")
