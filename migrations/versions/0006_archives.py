"""Archives of the log: what is sealed may be removed from it, and nothing else.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SEALED = "(SELECT coalesce(max(last_seq), 0) FROM archives)"


def upgrade() -> None:
    op.create_table(
        "archives",
        sa.Column("first_seq", sa.BigInteger(), primary_key=True, autoincrement=False, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False, unique=True),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_hash", sa.LargeBinary(), nullable=False),
        sa.Column("file", sa.String(), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), nullable=False),
    )
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER events_are_kept ON events")
        op.execute(
            "CREATE FUNCTION keep_events() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"IF TG_OP = 'DELETE' AND OLD.seq <= {SEALED} THEN RETURN OLD; END IF; "
            "RAISE EXCEPTION 'events is append-only' USING ERRCODE = 'restrict_violation'; END $$"
        )
        op.execute(
            "CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE ON events "
            "FOR EACH ROW EXECUTE FUNCTION keep_events()"
        )
        op.execute(
            "CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    op.execute("DROP TRIGGER events_are_kept_delete")
    op.execute(
        f"CREATE TRIGGER events_are_kept_delete BEFORE DELETE ON events WHEN OLD.seq > {SEALED} "
        "BEGIN SELECT RAISE(ABORT, 'events is append-only'); END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER events_are_not_truncated ON events")
        op.execute("DROP TRIGGER events_are_kept ON events")
        op.execute("DROP FUNCTION keep_events()")
        op.execute(
            "CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
    else:
        op.execute("DROP TRIGGER events_are_kept_delete")
        op.execute(
            "CREATE TRIGGER events_are_kept_delete BEFORE DELETE ON events "
            "BEGIN SELECT RAISE(ABORT, 'events is append-only'); END"
        )
    op.drop_table("archives")
