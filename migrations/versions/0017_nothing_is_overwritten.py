"""What is kept can't be overwritten either: SQLite's REPLACE removes a row without a word to the triggers on DELETE.

The log's head only goes on, what is archived is what was archived, and a version that an event has taken stays taken.
"""

from alembic import op

revision = "0017"
down_revision = "0016"

KEYS = {
    "events": ("seq = NEW.seq",),
    "fills": ("id = NEW.id",),
    "transactions": (
        "id = NEW.id",
        "portfolio_id = NEW.portfolio_id AND number = NEW.number",
        "portfolio_id = NEW.portfolio_id AND idempotency_key = NEW.idempotency_key",
    ),
    "archives": ("first_seq = NEW.first_seq", "last_seq = NEW.last_seq"),
}
"""What is unique in each, on SQLite; and a row's own number, which can be given too."""
GOES_BACK = "NEW.seq < OLD.seq OR (NEW.seq = OLD.seq AND NEW.hash <> OLD.hash)"
NOT_THE_LAST = "OLD.last_seq < (SELECT max(last_seq) FROM archives)"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        _on_postgresql()
    else:
        _on_sqlite()


def _on_postgresql() -> None:
    refuse = "EXECUTE FUNCTION refuse_change()"
    op.execute(
        f"CREATE TRIGGER versions_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON event_versions "
        f"FOR EACH STATEMENT {refuse}"
    )
    op.execute(f"CREATE TRIGGER head_is_kept BEFORE DELETE OR TRUNCATE ON log_head FOR EACH STATEMENT {refuse}")
    op.execute(f"CREATE TRIGGER head_goes_on BEFORE UPDATE ON log_head FOR EACH ROW WHEN ({GOES_BACK}) {refuse}")
    op.execute(f"CREATE TRIGGER archives_are_kept BEFORE UPDATE OR TRUNCATE ON archives FOR EACH STATEMENT {refuse}")
    op.execute(
        "CREATE FUNCTION keep_archives() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF {NOT_THE_LAST} THEN RAISE EXCEPTION 'archives goes from its end only' "
        "USING ERRCODE = 'restrict_violation'; END IF; RETURN OLD; END $$"
    )
    op.execute(
        "CREATE TRIGGER archives_go_from_the_end BEFORE DELETE ON archives "
        "FOR EACH ROW EXECUTE FUNCTION keep_archives()"
    )


def _on_sqlite() -> None:
    for table, keys in KEYS.items():
        own = " OR ".join(f"({key})" for key in (*keys, "rowid = NEW.rowid"))
        there = f"EXISTS (SELECT 1 FROM {table} WHERE {own})"  # noqa: S608 - reason: names of ours
        _refuse(f"{table}_are_kept_insert", f"INSERT ON {table}", there, table)
    for change in ("UPDATE", "DELETE"):
        _refuse(f"event_versions_are_kept_{change.lower()}", f"{change} ON event_versions", "TRUE", "event_versions")
    # Left out, not refused: `migrate` puts the head there unless it is.
    op.execute(
        "CREATE TRIGGER log_head_is_kept_insert BEFORE INSERT ON log_head "
        "WHEN EXISTS (SELECT 1 FROM log_head) BEGIN SELECT RAISE(IGNORE); END"
    )
    _refuse("log_head_is_kept_delete", "DELETE ON log_head", "TRUE", "log_head")
    _refuse("log_head_goes_on", "UPDATE ON log_head", GOES_BACK, "log_head")
    _refuse("archives_are_kept_update", "UPDATE ON archives", "TRUE", "archives")
    _refuse("archives_go_from_the_end", "DELETE ON archives", NOT_THE_LAST, "archives")


def _refuse(name: str, change: str, when: str, table: str) -> None:
    op.execute(
        f"CREATE TRIGGER {name} BEFORE {change} WHEN {when} BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
    )


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP TRIGGER versions_are_kept ON event_versions")
        for name in ("head_is_kept", "head_goes_on"):
            op.execute(f"DROP TRIGGER {name} ON log_head")
        for name in ("archives_are_kept", "archives_go_from_the_end"):
            op.execute(f"DROP TRIGGER {name} ON archives")
        op.execute("DROP FUNCTION keep_archives()")
        return
    for table in KEYS:
        op.execute(f"DROP TRIGGER {table}_are_kept_insert")
    for name in ("event_versions_are_kept_update", "event_versions_are_kept_delete", "log_head_is_kept_insert"):
        op.execute(f"DROP TRIGGER {name}")
    for name in ("log_head_is_kept_delete", "log_head_goes_on", "archives_are_kept_update", "archives_go_from_the_end"):
        op.execute(f"DROP TRIGGER {name}")
