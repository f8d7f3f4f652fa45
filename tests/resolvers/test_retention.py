"""What may leave the log: nothing that a handler has still to deal with, and all else."""

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from infrastructure.bus import CHECKPOINTS, DEAD_LETTERS, Bus, Handler, checkpoint, move
from infrastructure.database import Transaction
from infrastructure.rows import values
from infrastructure.services import Services
from models.enums import EventType as On
from models.errors import Refused
from models.events import RecordedEvent
from models.handling import Checkpoint, DeadLetter
from resolvers.events.archive import archive_events, restore_events
from resolvers.events.books import SNAPSHOTS
from resolvers.events.history import history
from resolvers.events.replaying import drop_dead_letters
from resolvers.events.retention import Limit, limit_of
from resolvers.events.snapshots import take_snapshots
from resolvers.events.verify import verify
from resolvers.registry import HANDLERS, bus_of
from resolvers.risk.commands import pause_trading
from tests.support.clock import START, ManualClock
from tests.support.handlers import drain, head
from tests.support.log_race import whole_log
from tests.support.market import Market, Trader
from tests.support.wait import until


def passive(name: str, *types: On) -> Handler:
    return Handler(name, frozenset(types), lambda _services, _tx, _event: None)


@pytest.fixture
async def trader(services: Services, clock: ManualClock) -> Trader:
    """Has bought twice, long ago, and everybody has dealt with it."""
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1", previous="100")
    await bus_of(services).register()
    trader = await Trader.with_cash(services)
    for _ in range(2):
        await trader.trade("BUY", "1", "100")
    await drain(services)
    clock.advance(days=1)
    return trader


async def place_of(services: Services, kind: On) -> int:
    """The number of the first event of that type."""
    return next(event.seq for event in await whole_log(services.database) if event.type is kind)


async def limit(services: Services, clock: ManualClock, *handlers: Handler) -> Limit:
    async with services.database.read() as connection:
        return await limit_of(connection, handlers, clock.now())


async def keep(services: Services, kept: Checkpoint | DeadLetter) -> None:
    async with services.database.write() as tx:
        await tx.execute(insert(CHECKPOINTS if isinstance(kept, Checkpoint) else DEAD_LETTERS), values(kept))


@pytest.mark.usefixtures("trader")
async def test_limit_when_a_handler_has_still_to_deal_with_an_event_then_it_stays_and_it_is_said(
    services: Services, clock: ManualClock
) -> None:
    seq = await place_of(services, On.ORDER_EXECUTED)
    await keep(services, Checkpoint("late", 0, 0))
    waits = f"event {seq}, ORDER_EXECUTED, waits for the handler late"
    assert await limit(services, clock, passive("late", On.ORDER_EXECUTED)) == Limit(seq - 1, waits)


@pytest.mark.usefixtures("trader")
async def test_limit_when_nothing_of_its_own_waits_for_a_handler_then_it_holds_nothing_back(
    services: Services, clock: ManualClock
) -> None:
    everything = Limit(await head(services))
    await keep(services, Checkpoint("idle", 0, 0))
    assert await limit(services, clock, passive("idle", On.TRADING_PAUSED), passive("new", *On)) == everything


@pytest.mark.usefixtures("trader")
async def test_limit_when_the_handler_is_no_more_then_it_holds_nothing_back(
    services: Services, clock: ManualClock
) -> None:
    everything = Limit(await head(services))
    await keep(services, Checkpoint("renamed", 0, 0))
    await keep(services, DeadLetter("renamed", 3, 8, "KeyError", START))
    assert await limit(services, clock, *HANDLERS) == everything


@pytest.mark.usefixtures("trader")
async def test_limit_when_an_event_was_given_up_then_it_stays_until_it_is_dropped(
    services: Services, clock: ManualClock
) -> None:
    everything = Limit(await head(services))
    seq = await place_of(services, On.ORDER_EXECUTED)
    await keep(services, DeadLetter("order-executed", seq, 8, "KeyError", START))
    held = Limit(seq - 1, f"event {seq} is a dead letter of the handler order-executed")
    assert await limit(services, clock, *HANDLERS) == held

    with pytest.raises(Refused, match=f"The handler order-executed has no dead letter {seq + 1}"):
        await drop_dead_letters(services, "order-executed", [seq, seq + 1])
    assert await limit(services, clock, *HANDLERS) == held
    assert await drop_dead_letters(services, "order-executed", [seq]) == 1
    assert await drop_dead_letters(services, "order-executed", None) == 0
    assert await limit(services, clock, *HANDLERS) == everything


async def test_verify_when_an_event_was_given_up_and_dropped_then_nothing_is_owed_of_it(
    services: Services, clock: ManualClock, trader: Trader, tmp_path: Path
) -> None:
    await trader.trade("BUY", "1", "100")
    await drain(services, [each for each in HANDLERS if each.name != "order-executed"])
    seq = (await head(services)) - 1
    executed = [event.seq for event in await whole_log(services.database) if event.type is On.ORDER_EXECUTED][-1]
    async with services.database.write() as tx:
        await move(tx, await checkpoint(services, "order-executed"), seq)
    [flaw] = (await verify(services.database)).flaws
    assert str(flaw) == f"event {executed}: the handler order-executed has dealt with it, and its owner was not told"
    await keep(services, DeadLetter("order-executed", executed, 8, "KeyError", START))
    await drop_dead_letters(services, "order-executed", None)
    assert (await verify(services.database)).flaws == []
    clock.advance(days=1)
    [segment] = await archive_events(services, HANDLERS, clock.now(), tmp_path)
    assert segment.last_seq >= executed
    assert (await verify(services.database, folder=tmp_path)).flaws == []


async def test_handler_when_the_log_is_archived_beyond_its_checkpoint_then_it_goes_on_behind_the_archive(
    services: Services, clock: ManualClock, trader: Trader, tmp_path: Path
) -> None:
    given: list[int] = []

    def react(_services: Services, _tx: Transaction, event: RecordedEvent) -> None:
        given.append(event.seq)

    idle = Handler("idle", frozenset({On.TRADING_PAUSED}), react)
    end = await head(services)
    await keep(services, Checkpoint("idle", 1, 0))
    [segment] = await archive_events(services, [*HANDLERS, idle], clock.now(), tmp_path)
    assert segment.last_seq == end
    # As in a process that has nothing of the log in memory.
    services.relay._ring.clear()
    bus = Bus(services)
    bus.subscribe(idle)
    await bus.start()
    try:
        await pause_trading(trader.ctx, trader.portfolio_id, "Lunch", None, reduce_only=False)
        await until(lambda: given == [end + 1])
    finally:
        await bus.stop()
    assert (await checkpoint(services, "idle")).seq == end + 1


async def test_archive_when_snapshots_lie_within_it_then_they_go_and_history_is_right_also_when_it_comes_back(
    services: Services, clock: ManualClock, tmp_path: Path
) -> None:
    services = replace(services, settings=services.settings.model_copy(update={"snapshot_every": 2}))
    market = await Market.open(services)
    await market.quote("AAPL", "100", "100.1", previous="100")
    trader = await Trader.with_cash(services)
    moments = []
    for _ in range(6):
        await trader.trade("BUY", "1", "100")
        moments.append(clock.now())
        clock.advance(hours=1)
    await take_snapshots(services, trader.portfolio_id)
    before = await cash_at(trader, moments)
    size = (await head(services)) // 3 + 1
    assert len(await snapshots(services)) > 3

    sealed = await archive_events(services, HANDLERS, clock.now(), tmp_path, size=size)

    assert await snapshots(services) == [each.last_seq for each in sealed]
    assert len(sealed) == 3
    await restore_events(services, tmp_path, every=False)
    assert (await cash_at(trader, moments[-2:])) == before[-2:]
    await restore_events(services, tmp_path, every=True)
    assert await cash_at(trader, moments) == before


async def cash_at(trader: Trader, moments: list[datetime]) -> list[Decimal]:
    trader.ctx.renew()
    return [(await history(trader.ctx, await trader.portfolio(), moment)).cash for moment in moments]


async def snapshots(services: Services) -> list[int]:
    async with services.database.read() as connection:
        return list(await connection.scalars(select(SNAPSHOTS.c.seq).order_by(SNAPSHOTS.c.seq)))
