"""API keys.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCOPES = ("READ", "TRADE", "ADMIN", "READ,TRADE", "READ,ADMIN", "TRADE,ADMIN", "READ,TRADE,ADMIN")


def upgrade() -> None:
    listed = ", ".join(f"'{scopes}'" for scopes in SCOPES)
    op.create_table(
        "api_keys",
        sa.Column("id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id"), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("secret_hash", sa.String(), nullable=False, unique=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(f"scopes IN ({listed})", name="scopes_are_known"),
    )
    op.create_index("api_keys_by_user", "api_keys", ["user_id", "created_at", "id"])


def downgrade() -> None:
    op.drop_table("api_keys")
