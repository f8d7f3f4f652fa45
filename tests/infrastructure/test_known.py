import asyncio
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import pytest

from infrastructure import known
from infrastructure.database import Database
from infrastructure.known import Known
from tests.support.house import an_event

ADA = UUID(int=1)


@dataclass(frozen=True)
class Who:
    """What was read of somebody, and the how manieth reading it was."""

    number: int
    user_id: UUID = ADA
    seen: int = 0


async def commit(database: Database) -> None:
    async with database.write() as transaction:
        transaction.record(an_event())


async def test_value_when_read_again_then_it_is_read_once_for_each_commit_wherever_that_can_be_told(
    database: Database,
) -> None:
    kept, numbers = Known[Who](database), count()

    async def read() -> Who:
        return Who(next(numbers))

    first = [(await kept.of("a", read)).number for _ in range(3)]
    await commit(database)
    second = [(await kept.of("a", read)).number for _ in range(3)]
    if database.dialect == "sqlite":
        assert (first, second) == ([0] * 3, [1] * 3)
    else:
        assert (first, second) == ([0, 1, 2], [3, 4, 5])


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_commit_when_another_process_makes_it_then_nothing_is_known_any_more(database: Database) -> None:
    other = await asyncio.create_subprocess_exec(
        "python3",
        "-c",
        f"import sqlite3; sqlite3.connect({database.writer.url.database!r}).executescript('CREATE TABLE other (a)')",
    )
    before = database.stamp()
    assert before == database.stamp()
    assert await other.wait() == 0
    assert database.stamp() != before


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_stamp_when_asked_for_again_in_a_turn_then_the_database_is_looked_at_once_and_in_the_next_anew(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, looked = [], database._looked

    def counted() -> int | None:
        looks.append(looked())
        return looks[-1]

    monkeypatch.setattr(database, "_looked", counted)
    assert database.stamp() == database.stamp() == looks[0]
    await asyncio.sleep(0)
    assert (database.stamp(), len(looks)) == (looks[0], 2)
    await asyncio.sleep(0)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_value_when_a_commit_comes_while_it_is_read_then_it_is_not_kept(database: Database) -> None:
    kept = Known[Who](database)

    async def old() -> Who:
        await commit(database)
        assert await kept.of("b", new) == Who(2)
        return Who(1)

    async def new() -> Who:
        return Who(2)

    assert await kept.of("a", old) == Who(1)
    assert await kept.of("a", new) == Who(2)


@pytest.mark.parametrize("backend", ["sqlite"], indirect=True)
async def test_value_when_there_are_too_many_or_reading_fails_then_it_is_not_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known, "VALUES_MAX", 2)
    kept, numbers = Known[Who](database), count()

    async def read() -> Who:
        return Who(next(numbers))

    async def broken() -> Who:
        raise ValueError("no")

    with pytest.raises(ValueError, match=r"^no$"):
        await kept.of("a", broken)
    assert [(await kept.of(key, read)).number for key in ("a", "b", "b", "c", "a")] == [0, 1, 1, 2, 3]
    assert len(kept._values) <= 2


async def test_stamp_when_the_database_is_closed_then_there_is_none(database: Database) -> None:
    assert (database.stamp() is not None) == (database.dialect == "sqlite")
    await database.close()
    assert database.stamp() is None
