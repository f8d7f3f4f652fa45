"""Target allocations.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    op.create_table(
        "target_allocations",
        sa.Column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id"), primary_key=True, nullable=False),
        sa.Column("symbol", sa.String(), sa.ForeignKey("instruments.symbol"), primary_key=True, nullable=False),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("weight", sa.Numeric() if postgresql else sa.Text(), nullable=False),
        sa.CheckConstraint("CAST(weight AS NUMERIC) > 0", name="weight_is_positive"),
    )


def downgrade() -> None:
    op.drop_table("target_allocations")
