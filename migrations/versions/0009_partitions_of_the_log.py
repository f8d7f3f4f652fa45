"""The log in partitions on PostgreSQL, by its numbers; what was unique beside them in a table of its own on both.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

BEFORE = "UNIQUE (aggregate_type, aggregate_id, version)"
INDEXES = {
    "events_by_owner": "owner_id, seq",
    "events_by_portfolio": "portfolio_id, seq",
    "events_by_type": "type, seq",
    "events_by_time": "occurred_at, seq",
}
AGGREGATE = {"events_by_aggregate": "aggregate_id, seq"}
SEALED = "(SELECT coalesce(max(last_seq), 0) FROM archives)"


def upgrade() -> None:
    op.create_table(
        "event_versions",
        sa.Column("aggregate_type", sa.Text(), primary_key=True, nullable=False),
        sa.Column("aggregate_id", sa.Uuid(), primary_key=True, nullable=False),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False, nullable=False),
    )
    op.execute("INSERT INTO event_versions SELECT aggregate_type, aggregate_id, version FROM events")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("CREATE SCHEMA event_partitions")
        made_anew("PARTITION BY RANGE (seq)")
        return
    made_anew("")


def downgrade() -> None:
    made_anew("")
    constraint = "one_event_for_each_version"
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP SCHEMA event_partitions")
        op.execute("DROP INDEX events_by_aggregate")
        op.execute(f"ALTER TABLE events ADD CONSTRAINT {constraint} {BEFORE}")
    else:
        made_anew(f", CONSTRAINT {constraint} {BEFORE}")
        op.execute("DROP INDEX events_by_aggregate")
    op.drop_table("event_versions")


def made_anew(more: str) -> None:
    """The table as it is, with all that it holds, made in another way."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE events RENAME TO events_before")
        op.execute(f"CREATE TABLE events (LIKE events_before) {more}")
        if more:
            op.execute(
                "CREATE TABLE event_partitions.events_first PARTITION OF events "
                "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
            )
            op.execute(
                "CREATE TRIGGER are_not_truncated BEFORE TRUNCATE ON event_partitions.events_first "
                "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
            )
        op.execute("INSERT INTO events SELECT * FROM events_before")
        op.execute("DROP TABLE events_before")
        op.execute("ALTER TABLE events ADD CONSTRAINT events_pkey PRIMARY KEY (seq)")
    else:
        op.execute("ALTER TABLE events RENAME TO events_before")
        op.execute(
            "CREATE TABLE events (seq BIGINT NOT NULL, type TEXT NOT NULL, schema_version INTEGER NOT NULL, "
            "aggregate_type TEXT NOT NULL, aggregate_id CHAR(32) NOT NULL, version INTEGER NOT NULL, "
            "owner_id CHAR(32), portfolio_id CHAR(32), actor_id CHAR(32), occurred_at DATETIME NOT NULL, "
            f"payload VARCHAR NOT NULL, hash BLOB NOT NULL, PRIMARY KEY (seq){more})"
        )
        op.execute("INSERT INTO events SELECT * FROM events_before")
        op.execute("DROP TABLE events_before")
    for name, columns in (INDEXES | AGGREGATE).items():
        op.execute(f"CREATE INDEX {name} ON events ({columns})")
    keep()


def keep() -> None:
    """What the database refuses: see `0006_archives.py`."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE TRIGGER events_are_kept BEFORE UPDATE OR DELETE ON events "
            "FOR EACH ROW EXECUTE FUNCTION keep_events()"
        )
        op.execute(
            "CREATE TRIGGER events_are_not_truncated BEFORE TRUNCATE ON events "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    op.execute(
        "CREATE TRIGGER events_are_kept_update BEFORE UPDATE ON events "
        "BEGIN SELECT RAISE(ABORT, 'events is append-only'); END"
    )
    op.execute(
        f"CREATE TRIGGER events_are_kept_delete BEFORE DELETE ON events WHEN OLD.seq > {SEALED} "
        "BEGIN SELECT RAISE(ABORT, 'events is append-only'); END"
    )
