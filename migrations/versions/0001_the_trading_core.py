"""The trading core: accounts, catalogue and quotes, portfolios, orders, positions, risk limits, the event log.

The types are spelled out here and not taken from `models`, which may change; a revision that has run may not.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

Column = sa.Column[Any]

APPEND_ONLY = ("events", "transactions", "fills")
NOT_CLOSED = sa.text("closed_at IS NULL")
TO_RESUME = sa.text("resume_after IS NOT NULL")


def upgrade() -> None:
    accounts()
    market_data()
    portfolios()
    orders()
    fills()
    positions()
    ledger()
    risk()
    log()
    for table in APPEND_ONLY:
        keep(table)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP TRIGGER {table}_are_kept ON {table}")
        op.execute("DROP FUNCTION refuse_change()")
    for table in ("log_head", "events", "market_state", "risk_limits", "transactions", "positions", "fills", "orders"):
        op.drop_table(table)
    for table in ("portfolios", "leases", "quotes", "instruments", "refresh_tokens", "sessions", "users"):
        op.drop_table(table)


def accounts() -> None:
    op.create_table(
        "users",
        uuid("id", primary_key=True),
        string("email", unique=True),
        *(string(name) for name in ("password_hash", "first_name", "last_name")),
        *(word(name) for name in ("role", "risk_tolerance", "investment_goal")),
        *(string(name) for name in ("base_currency", "timezone")),
        *(yes_or_no(name) for name in ("notify_on_fill", "notify_on_risk_breach", "notify_on_market_alert")),
        integer("version"),
        moment("created_at"),
        one_of("role", "TRADER", "ANALYST", "ADMIN"),
        one_of("risk_tolerance", "CONSERVATIVE", "MODERATE", "AGGRESSIVE"),
        one_of("investment_goal", "CAPITAL_PRESERVATION", "INCOME", "BALANCED_GROWTH", "GROWTH", "SPECULATION"),
    )
    op.create_table(
        "sessions",
        uuid("id", primary_key=True),
        uuid("user_id", to="users.id"),
        moment("created_at"),
        moment("revoked_at", nullable=True),
        string("revoke_reason", nullable=True),
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id"])
    op.create_table(
        "refresh_tokens",
        string("token_hash", primary_key=True),
        uuid("session_id", to="sessions.id"),
        moment("issued_at"),
        moment("expires_at"),
        moment("used_at", nullable=True),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])


def market_data() -> None:
    op.create_table(
        "instruments",
        string("symbol", primary_key=True),
        string("name"),
        word("asset_class"),
        string("currency"),
        exact("tick_size"),
        exact("lot_size"),
        exact("multiplier"),
        yes_or_no("tradable"),
        one_of("asset_class", "EQUITY", "ETF", "CRYPTO", "FX", "FUTURE", "BOND"),
        more_than_zero("tick_size"),
        more_than_zero("lot_size"),
    )
    op.create_table(
        "quotes",
        string("symbol", primary_key=True, to="instruments.symbol"),
        *(exact(name) for name in ("bid", "bid_size", "ask", "ask_size", "last")),
        *(exact(name, nullable=True) for name in ("open", "high", "low", "previous_close")),
        exact("volume"),
        moment("as_of"),
        more_than_zero("bid"),
        more_than_zero("ask"),
        more_than_zero("last"),
    )
    op.create_table("leases", string("name", primary_key=True), string("holder"), moment("expires_at"))


def portfolios() -> None:
    op.create_table(
        "portfolios",
        uuid("id", primary_key=True),
        uuid("owner_id", to="users.id"),
        string("name"),
        string("base_currency"),
        exact("cash"),
        exact("reserved_cash"),
        exact("realized_pnl"),
        integer("ledger_size"),
        word("trading_state"),
        string("trading_reason", nullable=True),
        moment("trading_since"),
        moment("resume_after", nullable=True),
        integer("version"),
        moment("created_at"),
        at_least_zero("reserved_cash"),
        one_of("trading_state", "ACTIVE", "REDUCE_ONLY", "PAUSED"),
    )
    op.create_index("portfolios_by_owner", "portfolios", ["owner_id", "created_at", "id"])
    op.create_index(
        "portfolios_due", "portfolios", ["resume_after"], postgresql_where=TO_RESUME, sqlite_where=TO_RESUME
    )


def orders() -> None:
    op.create_table(
        "orders",
        uuid("id", primary_key=True),
        uuid("portfolio_id", to="portfolios.id"),
        uuid("owner_id", to="users.id"),
        string("client_order_id"),
        string("symbol", to="instruments.symbol"),
        *(word(name) for name in ("side", "type", "time_in_force")),
        *(exact(name) for name in ("quantity", "filled_quantity", "filled_notional")),
        *(exact(name, nullable=True) for name in ("limit_price", "stop_price", "trail_amount", "trail_percent")),
        exact("high_water_mark", nullable=True),
        exact("average_fill_price", nullable=True),
        word("status"),
        exact("commission"),
        exact("reserve_price", nullable=True),
        exact("reserved_cash"),
        *(string(name, nullable=True) for name in ("reject_reason", "cancel_reason")),
        *(moment(name, nullable=True) for name in ("triggered_at", "expire_at", "closed_at")),
        integer("version"),
        *(moment(name) for name in ("placed_at", "ranked_at", "updated_at")),
        string("request_hash"),
        sa.UniqueConstraint("portfolio_id", "client_order_id", name="one_order_for_each_key"),
        one_of("side", "BUY", "SELL"),
        one_of("type", "MARKET", "LIMIT", "STOP", "STOP_LIMIT", "TRAILING_STOP"),
        one_of("time_in_force", "DAY", "GTC", "GTD", "IOC", "FOK"),
        one_of("status", "PENDING", "OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "REJECTED", "EXPIRED"),
        more_than_zero("quantity"),
        at_least_zero("filled_quantity"),
        at_least_zero("reserved_cash"),
        at_least_zero("commission"),
        sa.CheckConstraint("CAST(filled_quantity AS NUMERIC) <= CAST(quantity AS NUMERIC)", name="no_overfill"),
    )
    op.create_index("orders_by_owner", "orders", ["owner_id", "placed_at", "id"])
    op.create_index("orders_by_portfolio", "orders", ["portfolio_id", "placed_at", "id"])
    op.create_index("orders_by_owner_changed", "orders", ["owner_id", "updated_at", "id"])
    op.create_index("orders_by_portfolio_changed", "orders", ["portfolio_id", "updated_at", "id"])
    op.create_index(
        "orders_working", "orders", ["portfolio_id", "symbol"], postgresql_where=NOT_CLOSED, sqlite_where=NOT_CLOSED
    )
    op.create_index("orders_due", "orders", ["expire_at"], postgresql_where=NOT_CLOSED, sqlite_where=NOT_CLOSED)


def fills() -> None:
    op.create_table(
        "fills",
        uuid("id", primary_key=True),
        uuid("order_id", to="orders.id"),
        uuid("portfolio_id", to="portfolios.id"),
        uuid("owner_id", to="users.id"),
        string("symbol", to="instruments.symbol"),
        word("side"),
        *(exact(name) for name in ("quantity", "price", "commission")),
        integer("order_version"),
        moment("executed_at"),
        one_of("side", "BUY", "SELL"),
        more_than_zero("quantity"),
        more_than_zero("price"),
        at_least_zero("commission"),
    )
    op.create_index("fills_by_order", "fills", ["order_id", "executed_at", "id"])
    op.create_index("fills_by_portfolio", "fills", ["portfolio_id", "executed_at", "id"])


def positions() -> None:
    op.create_table(
        "positions",
        uuid("id", primary_key=True),
        uuid("portfolio_id", to="portfolios.id"),
        uuid("owner_id", to="users.id"),
        string("symbol", to="instruments.symbol"),
        word("side"),
        *(exact(name) for name in ("quantity", "average_price", "realized_pnl")),
        moment("day_start"),
        *(exact(name) for name in ("day_open_quantity", "day_cash")),
        moment("opened_at"),
        moment("closed_at", nullable=True),
        integer("version"),
        moment("updated_at"),
        one_of("side", "LONG", "SHORT"),
    )
    op.create_index(
        "one_open_position",
        "positions",
        ["portfolio_id", "symbol"],
        unique=True,
        postgresql_where=NOT_CLOSED,
        sqlite_where=NOT_CLOSED,
    )
    op.create_index("positions_by_portfolio", "positions", ["portfolio_id", "opened_at", "id"])
    op.create_index("positions_by_close", "positions", ["portfolio_id", "closed_at"])


def ledger() -> None:
    op.create_table(
        "transactions",
        uuid("id", primary_key=True),
        uuid("portfolio_id", to="portfolios.id"),
        uuid("owner_id", to="users.id"),
        integer("number"),
        word("kind"),
        exact("amount"),
        exact("balance_after"),
        string("description"),
        uuid("fill_id", nullable=True, to="fills.id"),
        moment("occurred_at"),
        string("idempotency_key", nullable=True),
        string("request_hash", nullable=True),
        one_of("kind", "DEPOSIT", "WITHDRAWAL", "TRADE", "COMMISSION", "DIVIDEND", "FEE"),
        sa.UniqueConstraint("portfolio_id", "number", name="ledger_has_no_gaps"),
        sa.UniqueConstraint("portfolio_id", "idempotency_key", name="one_movement_for_each_key"),
    )


def risk() -> None:
    op.create_table(
        "risk_limits",
        uuid("id", primary_key=True),
        uuid("portfolio_id", to="portfolios.id"),
        uuid("owner_id", to="users.id"),
        word("kind"),
        exact("threshold"),
        word("severity"),
        sa.UniqueConstraint("portfolio_id", "kind", name="one_limit_of_a_kind"),
        one_of("kind", "MAX_ORDER_NOTIONAL", "MAX_POSITION_NOTIONAL", "MAX_CONCENTRATION", "MAX_OPEN_ORDERS"),
        one_of("severity", "INFO", "WARNING", "CRITICAL"),
        at_least_zero("threshold"),
    )
    op.create_table(
        "market_state",
        integer("id", primary_key=True),
        word("trading_state"),
        string("trading_reason", nullable=True),
        moment("trading_since"),
        moment("resume_after", nullable=True),
        integer("version"),
        one_of("trading_state", "ACTIVE", "REDUCE_ONLY", "PAUSED"),
    )


def log() -> None:
    op.create_table(
        "events",
        sa.Column("seq", sa.BigInteger(), primary_key=True, autoincrement=False),
        word("type"),
        integer("schema_version"),
        word("aggregate_type"),
        uuid("aggregate_id"),
        integer("version"),
        *(uuid(name, nullable=True) for name in ("owner_id", "portfolio_id", "actor_id")),
        moment("occurred_at"),
        string("payload"),
        octets("hash"),
        sa.UniqueConstraint("aggregate_type", "aggregate_id", "version", name="one_event_for_each_version"),
    )
    op.create_index("events_by_owner", "events", ["owner_id", "seq"])
    op.create_index("events_by_portfolio", "events", ["portfolio_id", "seq"])
    op.create_index("events_by_type", "events", ["type", "seq"])
    op.create_index("events_by_time", "events", ["occurred_at", "seq"])
    op.create_table(
        "log_head",
        integer("id", primary_key=True),
        string("epoch"),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        octets("hash"),
    )


def keep(table: str) -> None:
    """Have the database itself refuse that a row of the table is changed or removed."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ "
            "BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$"
        )
        op.execute(
            f"CREATE TRIGGER {table}_are_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        return
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER {table}_are_kept_{change.lower()} BEFORE {change} ON {table} "
            f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
        )


def exact(name: str, *, nullable: bool = False) -> Column:
    """A decimal: NUMERIC on PostgreSQL; text on SQLite, whose NUMERIC is a float."""
    return sa.Column(name, sa.Text().with_variant(sa.Numeric(), "postgresql"), nullable=nullable)


def moment(name: str, *, nullable: bool = False) -> Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def uuid(name: str, *, nullable: bool = False, primary_key: bool = False, to: str | None = None) -> Column:
    keys = [sa.ForeignKey(to)] if to else []
    return sa.Column(name, sa.Uuid(), *keys, nullable=nullable, primary_key=primary_key)


def string(
    name: str, *, nullable: bool = False, primary_key: bool = False, unique: bool | None = None, to: str | None = None
) -> Column:
    keys = [sa.ForeignKey(to)] if to else []
    return sa.Column(name, sa.String(), *keys, nullable=nullable, primary_key=primary_key, unique=unique)


def word(name: str) -> Column:
    return sa.Column(name, sa.Text(), nullable=False)


def integer(name: str, *, primary_key: bool = False) -> Column:
    return sa.Column(name, sa.Integer(), nullable=False, primary_key=primary_key)


def octets(name: str) -> Column:
    return sa.Column(name, sa.LargeBinary(), nullable=False)


def yes_or_no(name: str) -> Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def one_of(column: str, *words: str) -> sa.CheckConstraint:
    listed = ", ".join(f"'{each}'" for each in words)
    return sa.CheckConstraint(f"{column} IN ({listed})", name=f"{column}_is_known")


def at_least_zero(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"CAST({column} AS NUMERIC) >= 0", name=f"{column}_is_not_negative")


def more_than_zero(column: str) -> sa.CheckConstraint:
    return sa.CheckConstraint(f"CAST({column} AS NUMERIC) > 0", name=f"{column}_is_positive")
