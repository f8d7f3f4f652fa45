"""Changes behind the database's back, as somebody makes them who may do anything with it."""

import random
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infrastructure.services import Services
from models.events import RecordedEvent

COLUMNS = tuple(RecordedEvent.__dataclass_fields__)
TEXTS = ("type", "aggregate_type", "payload")


async def behind_the_back(services: Services, *changes: str) -> None:
    """Statements that the database would refuse."""
    async with services.database.write() as tx:
        if services.database.dialect == "postgresql":
            await tx.execute(text("SET LOCAL session_replication_role = replica"))
        else:
            for (name,) in await tx.execute(text("SELECT name FROM sqlite_master WHERE type = 'trigger'")):
                await tx.execute(text(f"DROP TRIGGER {name}"))
        for change in changes:
            await tx.connection.exec_driver_sql(change)


def changed(event: RecordedEvent, column: str, chance: random.Random) -> RecordedEvent:
    """The event with one byte of a column that is not empty made another."""
    value: Any = getattr(event, column)
    if column in TEXTS:
        place = chance.randrange(len(value))
        letter = chance.choice([letter for letter in "abcXYZ019 ,}" if letter != value[place]])
        value = value[:place] + letter + value[place + 1 :]
    elif isinstance(value, int):
        value += 1000
    elif isinstance(value, UUID):
        value = UUID(int=value.int ^ (1 << chance.randrange(128)))
    elif isinstance(value, datetime):
        value += timedelta(microseconds=1)
    else:
        flipped = bytearray(value)
        flipped[chance.randrange(len(value))] ^= 1 << chance.randrange(8)
        value = bytes(flipped)
    return replace(event, **{column: value})


def replacement(services: Services, event: RecordedEvent, other: RecordedEvent) -> str:
    """The statement that puts another event in the place of one."""
    pairs = ", ".join(f"{name} = {_literal(services, getattr(other, name))}" for name in COLUMNS)
    return f"UPDATE events SET {pairs} WHERE seq = {event.seq}"  # noqa: S608 - a test's own


def head_replacement(services: Services, link: bytes) -> str:
    """The statement that has the log end with another hash."""
    return f"UPDATE log_head SET hash = {_literal(services, link)}"  # noqa: S608 - likewise


def _literal(services: Services, value: Any) -> str:
    sqlite = services.database.dialect == "sqlite"
    match value:
        case None:
            return "NULL"
        case int():
            return str(value)
        case bytes():
            return f"x'{value.hex()}'" if sqlite else f"'\\x{value.hex()}'"
        case UUID():
            return f"'{value.hex}'" if sqlite else f"'{value}'"
        case datetime():
            return "'" + value.strftime("%Y-%m-%d %H:%M:%S.%f") + ("'" if sqlite else "+00'")
        case _:
            return "'" + str(value).replace("'", "''") + "'"
