"""Limits on losses: of the day, the week, the month, and since the best day.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

NEW = ("MAX_DAILY_LOSS", "MAX_WEEKLY_LOSS", "MAX_MONTHLY_LOSS", "MAX_DRAWDOWN")
KINDS = (
    "MAX_ORDER_NOTIONAL",
    "MAX_POSITION_NOTIONAL",
    "MAX_CONCENTRATION",
    "MAX_GROSS_EXPOSURE",
    "MAX_LEVERAGE",
    *NEW,
    "MAX_OPEN_ORDERS",
)


def upgrade() -> None:
    let_in(KINDS)


def downgrade() -> None:
    op.execute(f"DELETE FROM risk_limits WHERE kind IN ({listed(NEW)})")  # noqa: S608 - reason: our own words
    let_in(tuple(kind for kind in KINDS if kind not in NEW))


def let_in(kinds: tuple[str, ...]) -> None:
    """Let the table hold limits of these kinds; SQLite can't change a CHECK, so there the table is made anew."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_constraint("kind_is_known", "risk_limits")
        op.create_check_constraint("kind_is_known", "risk_limits", f"kind IN ({listed(kinds)})")
        return
    op.rename_table("risk_limits", "risk_limits_before")
    op.create_table(
        "risk_limits",
        column("id", sa.Uuid(), primary_key=True),
        column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id")),
        column("owner_id", sa.Uuid(), sa.ForeignKey("users.id")),
        column("kind", sa.Text()),
        column("threshold", sa.Text()),
        column("severity", sa.Text()),
        sa.UniqueConstraint("portfolio_id", "kind", name="one_limit_of_a_kind"),
        sa.CheckConstraint(f"kind IN ({listed(kinds)})", name="kind_is_known"),
        sa.CheckConstraint("severity IN ('INFO', 'WARNING', 'CRITICAL')", name="severity_is_known"),
        sa.CheckConstraint("CAST(threshold AS NUMERIC) >= 0", name="threshold_is_not_negative"),
    )
    op.execute("INSERT INTO risk_limits SELECT * FROM risk_limits_before")
    op.drop_table("risk_limits_before")


def listed(kinds: tuple[str, ...]) -> str:
    return ", ".join(f"'{kind}'" for kind in kinds)


def column(name: str, kind: Any, *constraints: Any, primary_key: bool = False) -> sa.Column[Any]:
    return sa.Column(name, kind, *constraints, primary_key=primary_key, nullable=False)
