"""Handlers of events: how far each has come, what it gave up, whom it told of what, and the summaries of trades.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "handler_checkpoints",
        sa.Column("handler", sa.String(), primary_key=True, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
    )
    op.create_table(
        "dead_letters",
        sa.Column("handler", sa.String(), primary_key=True, nullable=False),
        sa.Column("seq", sa.BigInteger(), primary_key=True, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("error", sa.String(), nullable=False),
        sa.Column("failed_at", moment, nullable=False),
    )
    _notifications(moment)
    _trade_summaries(moment)


def _notifications(moment: sa.DateTime) -> None:
    op.create_table(
        "notifications",
        sa.Column("id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("title", sa.String(), nullable=False),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("subject_type", sa.String(), nullable=True),
        sa.Column("subject_id", sa.String(), nullable=True),
        sa.Column("created_at", moment, nullable=False),
        sa.Column("read_at", moment, nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("event_seq", sa.BigInteger(), nullable=False),
        sa.Column("handler", sa.String(), nullable=False),
        sa.CheckConstraint("severity IN ('INFO', 'WARNING', 'CRITICAL')", name="severity_is_known"),
        sa.UniqueConstraint("event_seq", "handler", "owner_id", name="told_once_of_an_event"),
    )
    op.create_index("notifications_by_owner", "notifications", ["owner_id", "created_at", "id"])
    unread = sa.text("read_at IS NULL")
    op.create_index(
        "notifications_unread",
        "notifications",
        ["owner_id", "created_at", "id"],
        postgresql_where=unread,
        sqlite_where=unread,
    )


def _trade_summaries(moment: sa.DateTime) -> None:
    exact = sa.Numeric() if op.get_bind().dialect.name == "postgresql" else sa.Text()
    op.create_table(
        "trade_summaries",
        sa.Column("position_id", sa.Uuid(), sa.ForeignKey("positions.id"), primary_key=True, nullable=False),
        sa.Column("portfolio_id", sa.Uuid(), sa.ForeignKey("portfolios.id"), nullable=False),
        sa.Column("owner_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("symbol", sa.String(), sa.ForeignKey("instruments.symbol"), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("quantity", exact, nullable=False),
        sa.Column("entry_price", exact, nullable=False),
        sa.Column("exit_price", exact, nullable=False),
        sa.Column("realized_pnl", exact, nullable=False),
        sa.Column("commission", exact, nullable=False),
        sa.Column("opened_at", moment, nullable=False),
        sa.Column("closed_at", moment, nullable=False),
        sa.CheckConstraint("side IN ('LONG', 'SHORT')", name="side_is_known"),
    )


def downgrade() -> None:
    for table in ("trade_summaries", "notifications", "dead_letters", "handler_checkpoints"):
        op.drop_table(table)
