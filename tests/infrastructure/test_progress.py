"""How the handlers are can be seen: up to where each has come, what waits for it, what it gave up, who has it."""

from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import insert

from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS, LEASE, Bus, Handler
from infrastructure.leases import SharedLeases
from infrastructure.progress import Standing, standings
from infrastructure.rows import values
from infrastructure.services import Services
from models.enums import EventType
from models.handling import Checkpoint, DeadLetter
from tests.support.clock import START, ManualClock
from tests.support.house import an_event

CASH = Handler("cash", frozenset({EventType.CASH_MOVED, EventType.PORTFOLIO_UPDATED}), lambda *_: None)
ORDERS = Handler("orders", frozenset({EventType.ORDER_PLACED}), lambda *_: None)


async def found(services: Services) -> list[Standing]:
    async with services.database.read() as connection:
        return await standings(connection, [ORDERS, CASH], services.clock.now())


@pytest.fixture
async def behind(services: Services) -> None:
    """Three events; one handler has come to the first, and a third one, that is no more, has left a dead letter."""
    async with services.database.write() as tx:
        tx.record(*(an_event(occurred_at=START + timedelta(seconds=number)) for number in range(3)))
        rows = [values(Checkpoint("cash", 1, 2)), values(Checkpoint("gone", 1, 0)), values(Checkpoint("orders", 0, 0))]
        await tx.execute(insert(CHECKPOINTS), rows)
        letters = [values(DeadLetter(name, 1, 8, "KeyError", START)) for name in ("cash", "gone")]
        await tx.execute(insert(DEAD_LETTERS), [*letters])
        dropped = values(DeadLetter("cash", 2, 8, "KeyError", START)) | {"dropped_at": START}
        await tx.execute(insert(DEAD_LETTERS), dropped)


@pytest.mark.usefixtures("behind")
async def test_standings_when_a_handler_is_behind_then_what_waits_is_counted_and_dated(
    services: Services, clock: ManualClock
) -> None:
    leases = SharedLeases(services.database, LEASE, "this one", 60, clock)
    await leases.share(["cash"])
    orders, cash, gone = await found(services)
    assert orders == Standing("orders", 0, 0, 0, None, 0, None)
    assert cash == Standing("cash", 1, 2, 2, START + timedelta(seconds=1), 1, "this one")
    assert gone == Standing("gone", 1, 0, 0, None, 1, None)
    clock.advance(seconds=61)
    assert [each.lag_s(clock.now()) for each in (orders, cash)] == [0, 60]
    assert [each.holder for each in await found(services)] == [None, None, None]


async def test_standings_when_nothing_was_registered_then_nothing_waits(services: Services) -> None:
    async with services.database.write() as tx:
        tx.record(an_event(1, uuid4()))
    assert await found(services) == [Standing(name, 0, 0, 0, None, 0, None) for name in ("orders", "cash")]


def test_handlers_when_subscribed_then_the_metrics_say_how_many_react_to_a_type(services: Services) -> None:
    bus = Bus(services)
    for handler in (CASH, ORDERS, Handler("more", frozenset({EventType.ORDER_PLACED}), lambda *_: None)):
        bus.subscribe(handler)
    lines = services.metrics.exposition().decode().splitlines()
    assert {line for line in lines if line.startswith("tradegraph_handlers{")} == {
        'tradegraph_handlers{type="CASH_MOVED"} 1.0',
        'tradegraph_handlers{type="PORTFOLIO_UPDATED"} 1.0',
        'tradegraph_handlers{type="ORDER_PLACED"} 2.0',
    }
