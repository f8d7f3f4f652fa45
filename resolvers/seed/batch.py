from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table

from models.events import Event
from resolvers.accounts.commands.sessions import REFRESH_TOKENS, SESSIONS
from resolvers.accounts.commands.users import USERS
from resolvers.accounts.keys import KEYS
from resolvers.orders.store import FILLS, ORDERS
from resolvers.portfolios.store import PORTFOLIOS, TRANSACTIONS
from resolvers.positions.store import POSITIONS

TABLES = (USERS, SESSIONS, REFRESH_TOKENS, KEYS, PORTFOLIOS, ORDERS, FILLS, TRANSACTIONS, POSITIONS)


def _nothing() -> dict[Table, list[dict[str, Any]]]:
    return {table: [] for table in TABLES}


@dataclass(slots=True)
class Batch:
    """What happened in a while: rows by table, in the order of the foreign keys, and events in their own."""

    rows: dict[Table, list[dict[str, Any]]] = field(default_factory=_nothing)
    events: list[Event] = field(default_factory=list)
