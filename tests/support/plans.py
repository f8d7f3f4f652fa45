"""How a database means to run a statement: what of its plan would not do where there is a lot of data."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from infrastructure.services import Services

BIG = frozenset(
    (
        *("users", "sessions", "refresh_tokens", "api_keys", "portfolios", "orders"),
        *("fills", "transactions", "positions", "events", "candles"),
        *("notifications", "risk_limits", "risk_alerts", "risk_breaches", "market_alerts", "target_allocations"),
        *("trade_summaries", "portfolio_snapshots", "dead_letters"),
    )
)
"""The tables that grow with what people do."""
_NAMES = "|".join(BIG)
FEW = (
    *("TEMP B-TREE", "(aggregate_type=? AND aggregate_id=?)", "api_keys_by_user", "orders_working"),
    "orders_by_owner_status (owner_id=? AND status=?)",
)
"""What has so few rows for one key that they may be sorted: the story of one order, a user's orders in a rare state."""
PARTIAL = ("orders_due",)
"""Indexes of what is left to do, in which a bound at one end is all that there is to say."""
CHEAP = 200
"""What the planner puts so low it knows to be short: the rest of the log behind a cursor near its end."""
SORTED_MAX = 300
"""Rows that may be sorted without an index: what one portfolio holds, or has at work."""
_PLANNED = ("SELECT", "UPDATE", "DELETE", "WITH")


@dataclass(frozen=True)
class Statement:
    """A statement as its driver gets it."""

    sql: str
    parameters: Any


@contextmanager
def asked(services: Services) -> Iterator[list[Statement]]:
    """The statements with a plan that run meanwhile, on either engine or the bare driver."""
    seen: list[Statement] = []

    def note(_connection: Any, _cursor: Any, sql: str, parameters: Any, _context: Any, many: bool) -> None:
        if sql.lstrip().startswith(_PLANNED) and "INSERT INTO" not in sql:
            seen.append(Statement(sql, parameters[0] if many else parameters))

    def note_bare(sql: str, parameters: Sequence[Any]) -> None:
        note(None, None, sql, tuple(parameters), None, many=False)

    engines = (services.database.reader.sync_engine, services.database.writer.sync_engine)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    heard = services.database.bare.heard
    heard.append(note_bare)
    try:
        yield seen
    finally:
        heard.remove(note_bare)
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def plan(connection: AsyncConnection, statement: Statement) -> str:
    """The plan as the database says it."""
    how = "(FORMAT JSON)" if connection.dialect.name == "postgresql" else "QUERY PLAN"
    rows = (await connection.exec_driver_sql(f"EXPLAIN {how} {statement.sql}", statement.parameters)).all()
    return "\n".join(str(row[-1]) if isinstance(row[-1], str) else orjson.dumps(row[-1]).decode() for row in rows)


async def faults(connection: AsyncConnection, statement: Statement) -> list[str]:
    """What is wrong with the plan: a table or an index that is read from end to end, a sort of much."""
    if connection.dialect.name == "postgresql":
        return list(_of_node(orjson.loads(await plan(connection, statement))[0]["Plan"]))
    steps = (await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)).all()
    found = [fault for step in steps if (fault := _of_step(step.detail, statement.sql))]
    for sort in (step for step in steps if step.detail == "USE TEMP B-TREE FOR ORDER BY"):
        # A list of values that is a parameter is read once, and is none of the page's rows.
        beside = [each.detail for each in steps if each.parent == sort.parent and "LIST SUBQUERY" not in each.detail]
        if "LIMIT" in statement.sql and any(re.match(rf"(SEARCH|SCAN) ({_NAMES})\b", each) for each in beside):
            found += [f"sort for a page: {each}" for each in beside if not any(few in each for few in FEW)]
    return found


def _of_node(node: dict[str, Any]) -> Iterator[str]:
    kind, below = node["Node Type"], node.get("Plans", [])
    if _is_big(node.get("Relation Name", "")) and (fault := _of_scan(node, kind)):
        yield f"{fault} of {node['Relation Name']}: {node.get('Filter', '')}"
    if kind == "Sort" and below[0]["Plan Rows"] > SORTED_MAX and not _limited(below[0]):
        yield f"sort of {below[0]['Plan Rows']} rows by {node['Sort Key']}"
    for each in below:
        yield from _of_node(each)


def _is_big(name: str) -> bool:
    # The log's partitions are called so, and then by their month.
    return name in BIG or name.startswith("events_")


def _of_scan(node: dict[str, Any], kind: str) -> str | None:
    if kind == "Seq Scan":
        return "scan"
    bounds = node.get("Index Cond", "")
    # With a bound at one end only, what is filtered out is read all the same, however much it is.
    ends = ("<" in bounds and ">" in bounds) or node["Total Cost"] < CHEAP
    if kind.startswith("Index") and "Filter" in node and not ends and not re.search(r"\w\)? = |IS NULL", bounds):
        return f"walk over {node['Index Name']} {bounds}"
    return None


def _limited(node: dict[str, Any]) -> bool:
    return node["Node Type"] == "Limit" or any(_limited(each) for each in node.get("Plans", []))


def _of_step(detail: str, sql: str) -> str | None:
    if re.match(rf"SCAN ({_NAMES}|page)\b", detail):
        return detail
    found = re.match(rf"SEARCH ({_NAMES}|page) [^(]*\((.*)\)$", detail)
    # What is bound at one end only, and by nothing else, is what was asked for.
    if found is None or re.search(r"\w=\?", found[2]) or ("<" in found[2] and ">" in found[2]):
        return None
    return f"walk: {detail}" if " AND " in sql and not any(each in detail for each in PARTIAL) else None
