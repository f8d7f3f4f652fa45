"""What handlers have to have done once the log stands still."""

from collections import Counter

from sqlalchemy import func, select

from infrastructure import log
from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS
from infrastructure.database import Database
from models.enums import EventType
from resolvers.alerts.store import NOTIFICATIONS
from resolvers.registry import HANDLERS
from tests.support.log_race import whole_log

TELLS = {
    "order-placed": EventType.ORDER_PLACED,
    "order-executed": EventType.ORDER_EXECUTED,
    "position-closed": EventType.POSITION_CLOSED,
    "trading-paused": EventType.TRADING_PAUSED,
}
"""Handlers that tell each event's owner, all of whose preferences say yes."""


async def dealt_with(database: Database) -> bool:
    """Whether every handler has dealt with every event of its own."""
    newest = select(log.EVENTS.c.type, func.max(log.EVENTS.c.seq).label("seq")).group_by(log.EVENTS.c.type)
    async with database.read() as connection:
        last = {row.type: row.seq for row in await connection.execute(newest)}
        places = {row.handler: row.seq for row in await connection.execute(select(CHECKPOINTS))}
    return all(places[each.name] >= max(last.get(kind, 0) for kind in each.types) for each in HANDLERS)


async def check_told(database: Database) -> None:
    """Of each event its handlers have told the owner, once, and there is an event of that, once."""
    events = await whole_log(database)
    async with database.read() as connection:
        rows = (await connection.execute(select(NOTIFICATIONS))).all()
        dead = (await connection.execute(select(DEAD_LETTERS))).all()
    told = Counter((row.handler, row.event_seq) for row in rows)
    due = Counter((name, event.seq) for name, kind in TELLS.items() for event in events if event.type is kind)
    assert told == due
    sent = [event.aggregate_id for event in events if event.type is EventType.NOTIFICATION_SENT]
    assert sorted(sent) == sorted(row.id for row in rows)
    assert dead == []
