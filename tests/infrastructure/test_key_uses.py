import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from infrastructure import key_uses
from infrastructure.database import DatabaseUnavailable
from infrastructure.key_uses import KEYS, KeyUses
from infrastructure.services import Services
from models.enums import ApiScope
from resolvers.accounts.commands import create_api_key
from tests.support.clock import START
from tests.support.people import context_of, signed_up


async def some_key(services: Services) -> UUID:
    ctx = await context_of(services, await signed_up(services))
    return (await create_api_key(ctx, "Robot", [ApiScope.READ])).key.id


async def stored(services: Services, key_id: UUID) -> datetime | None:
    async with services.database.read() as connection:
        found: datetime | None = await connection.scalar(select(KEYS.c.last_used_at).where(KEYS.c.id == key_id))
        return found


async def test_uses_when_written_then_the_last_of_each_key_is_stored_and_no_sooner_than_a_minute_later_the_next(
    services: Services,
) -> None:
    key_id, uses = await some_key(services), services.key_uses
    seen = []
    for after_s in (0, 30, 59, 60, 119, 120):
        uses.note(key_id, await stored(services, key_id), START + timedelta(seconds=after_s))
        await uses.write()
        seen.append((await stored(services, key_id) or START) - START)
    assert [each.total_seconds() for each in seen] == [0, 0, 0, 60, 60, 120]


async def test_uses_when_another_process_has_written_meanwhile_then_time_does_not_go_back(services: Services) -> None:
    key_id = await some_key(services)
    mine, other = services.key_uses, KeyUses(services.database)
    mine.note(key_id, None, START)
    other.note(key_id, None, START + timedelta(seconds=90))
    await other.write()
    await mine.write()
    assert await stored(services, key_id) == START + timedelta(seconds=90)


async def test_uses_when_nothing_was_noted_then_nothing_is_written(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.database, "write", None)
    await services.key_uses.write()


async def test_uses_when_started_then_they_are_written_beside_the_requests_and_the_rest_at_the_stop(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_uses, "GATHER_S", 3600)
    key_id, uses = await some_key(services), services.key_uses
    await uses.start()
    uses.note(key_id, None, START)
    async with asyncio.timeout(10):
        while await stored(services, key_id) is None:
            pass
    uses.note(key_id, START, START + timedelta(minutes=5))
    await uses.stop()
    assert await stored(services, key_id) == START + timedelta(minutes=5)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_uses_when_the_database_is_gone_at_the_stop_then_the_stop_does_not_fail(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone() -> None:
        raise DatabaseUnavailable

    services.key_uses.note(await some_key(services), None, START)
    monkeypatch.setattr(services.database, "write", gone)
    await services.key_uses.stop()
