"""Snapshots of portfolios: what `history` rebuilds a past moment from.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "portfolio_snapshots",
        sa.Column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id"), primary_key=True, nullable=False),
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("moment", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
    )
    op.create_index("portfolio_snapshots_by_moment", "portfolio_snapshots", ["portfolio_id", "moment", "seq"])


def downgrade() -> None:
    op.drop_table("portfolio_snapshots")
