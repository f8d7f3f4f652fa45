"""Candles.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BOUNDS = " AND ".join(
    [f"CAST(high AS NUMERIC) >= CAST({each} AS NUMERIC)" for each in ("open", "close", "low")]
    + [f"CAST(low AS NUMERIC) <= CAST({each} AS NUMERIC)" for each in ("open", "close")]
)


def upgrade() -> None:
    op.create_table(
        "candles",
        sa.Column("symbol", sa.String(), sa.ForeignKey("instruments.symbol"), primary_key=True, nullable=False),
        sa.Column("interval", sa.Text(), primary_key=True, nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), primary_key=True, nullable=False),
        *(exact(name) for name in ("open", "high", "low", "close", "volume")),
        sa.CheckConstraint(
            "interval IN ('ONE_MINUTE', 'FIVE_MINUTES', 'ONE_HOUR', 'ONE_DAY')", name="interval_is_known"
        ),
        sa.CheckConstraint("CAST(low AS NUMERIC) > 0", name="low_is_positive"),
        sa.CheckConstraint("CAST(volume AS NUMERIC) >= 0", name="volume_is_not_negative"),
        sa.CheckConstraint(BOUNDS, name="high_and_low_are_the_bounds"),
        sqlite_with_rowid=False,
    )


def downgrade() -> None:
    op.drop_table("candles")


def exact(name: str) -> sa.Column[Any]:
    """A decimal: NUMERIC on PostgreSQL; text on SQLite, whose NUMERIC is a float."""
    return sa.Column(name, sa.Text().with_variant(sa.Numeric(), "postgresql"), nullable=False)
