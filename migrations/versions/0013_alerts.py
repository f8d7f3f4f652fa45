"""Alerts of breached limits and of the market, and sentiment.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

MARKET_ALERT_KINDS = "'PRICE_ABOVE', 'PRICE_BELOW', 'PERCENT_MOVE', 'VOLUME_SPIKE'"


def upgrade() -> None:
    exact = sa.Numeric() if op.get_bind().dialect.name == "postgresql" else sa.Text()
    _risk_alerts(exact)
    _market_alerts(exact)
    op.create_table(
        "sentiments",
        sa.Column("symbol", sa.String(), sa.ForeignKey("instruments.symbol"), primary_key=True, nullable=False),
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("score", exact, nullable=False),
        sa.Column("confidence", exact, nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("analyzed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signal", sa.Text(), nullable=True),
        sa.Column("trend", exact, nullable=True),
        sa.Column("trend_seq", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("label IN ('NEGATIVE', 'NEUTRAL', 'POSITIVE')", name="label_is_known"),
    )


def _risk_alerts(exact: sa.types.TypeEngine[object]) -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "risk_alerts",
        sa.Column("id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("threshold", exact, nullable=False),
        sa.Column("current", exact, nullable=False),
        sa.Column("raised_at", moment, nullable=False),
        sa.Column("acknowledged_at", moment, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint("severity IN ('INFO', 'WARNING', 'CRITICAL')", name="severity_is_known"),
    )
    op.create_index("risk_alerts_by_portfolio", "risk_alerts", ["portfolio_id", "raised_at", "id"])
    op.create_table(
        "risk_breaches",
        sa.Column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id"), primary_key=True, nullable=False),
        sa.Column("kind", sa.Text(), primary_key=True, nullable=False),
        sa.Column("alert_id", sa.Uuid(), nullable=False),
    )


def _market_alerts(exact: sa.types.TypeEngine[object]) -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "market_alerts",
        sa.Column("id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("symbol", sa.String(), sa.ForeignKey("instruments.symbol"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("threshold", exact, nullable=False),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("triggered_at", moment, nullable=True),
        sa.Column("armed", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.CheckConstraint(f"kind IN ({MARKET_ALERT_KINDS})", name="kind_is_known"),
        sa.CheckConstraint("CAST(threshold AS NUMERIC) > 0", name="threshold_is_positive"),
    )
    op.create_index("market_alerts_by_owner", "market_alerts", ["owner_id", "created_at", "id"])


def downgrade() -> None:
    for table in ("sentiments", "market_alerts", "risk_breaches", "risk_alerts"):
        op.drop_table(table)
