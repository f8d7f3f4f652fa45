"""Handlers deal with each event of theirs once, in order, each at its own pace."""

import asyncio
import dataclasses
from collections.abc import Iterable
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from infrastructure.bus import (
    IDLE_MAX,
    Bus,
    Handler,
    Overtaken,
    Reaction,
    Runner,
    checkpoint,
    dead_letters,
    deal_again,
    move,
)
from infrastructure.database import Database, DatabaseUnavailable, Transaction
from infrastructure.services import Services
from models.enums import EventType
from models.events import Event, RecordedEvent
from models.handling import Checkpoint, DeadLetter
from tests.support.clock import START
from tests.support.handlers import drain, from_the_beginning
from tests.support.house import an_event
from tests.support.log_race import whole_log
from tests.support.market import statements
from tests.support.processes import another_process
from tests.support.wait import until

CASH, PLACED = frozenset({EventType.CASH_MOVED}), frozenset({EventType.ORDER_PLACED})
ANSWER = EventType.PORTFOLIO_UPDATED


def answered(event: RecordedEvent) -> Event:
    """An effect that can't be there twice: version 1 of an aggregate of the event's own."""
    return an_event(1, UUID(int=event.seq), kind=ANSWER, to=event.seq)


async def answer(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
    tx.record(answered(event))


async def append(services: Services, count: int, kind: EventType = EventType.CASH_MOVED) -> None:
    async with services.database.write() as tx:
        tx.record(*(an_event(1, uuid4(), kind=kind, number=number) for number in range(count)))


async def answers(services: Services) -> list[int]:
    """The events that were answered, in the order of the answers."""
    return [event.data["to"] for event in await whole_log(services.database) if event.type is ANSWER]


def quick(services: Services, **more: object) -> Services:
    """With pauses that a test can wait for."""
    settings = services.settings.model_copy(update={"handler_pause_ms": 1, "handler_attempts": 3, **more})
    return dataclasses.replace(services, settings=settings)


async def test_handlers_when_subscribed_then_they_are_counted_by_type(services: Services) -> None:
    bus = Bus(services)
    bus.subscribe(Handler("one", CASH, answer))
    bus.subscribe(Handler("two", CASH | PLACED, answer))
    assert [bus.subscribers(kind) for kind in (EventType.CASH_MOVED, EventType.ORDER_PLACED, ANSWER)] == [2, 1, 0]
    with pytest.raises(ValueError, match="two handlers one"):
        bus.subscribe(Handler("one", PLACED, answer))


async def test_handler_when_events_came_then_it_deals_with_its_own_in_order_and_once(services: Services) -> None:
    handlers = [Handler("answer", CASH, answer, batch=2)]
    await from_the_beginning(services, handlers)
    await append(services, 3)
    await append(services, 1, EventType.ORDER_PLACED)
    await append(services, 2)
    await drain(services, handlers)
    assert await answers(services) == [1, 2, 3, 5, 6]
    await drain(services, handlers)
    assert await answers(services) == [1, 2, 3, 5, 6]
    assert await checkpoint(services, "answer") == Checkpoint("answer", 6, 0)


async def test_handler_when_it_is_a_plain_function_then_it_reacts_too(services: Services) -> None:
    def plainly(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
        tx.record(answered(event))

    handlers = [Handler("plain", CASH, plainly)]
    await from_the_beginning(services, handlers)
    await append(services, 2)
    await drain(services, handlers)
    assert await answers(services) == [1, 2]


async def test_handler_when_it_is_new_then_what_is_older_is_none_of_its_business(services: Services) -> None:
    await append(services, 2)
    bus = Bus(services)
    bus.subscribe(handler := Handler("answer", CASH, answer))
    await bus.register()
    await append(services, 1)
    await bus.register()
    await drain(services, [handler])
    assert await answers(services) == [3]


async def test_handler_when_events_are_not_its_own_then_it_opens_no_transaction(services: Services) -> None:
    handler = Handler("answer", PLACED, answer)
    await from_the_beginning(services, [handler])
    await append(services, 20)
    await services.relay.reached(20)
    at, runner = await checkpoint(services, "answer"), Runner(services, handler)
    with statements(services) as seen:
        while at.seq < 20 and not seen:
            at, place = await runner.go_on(at, 0)
            if place == 20:
                break
    assert seen == []
    assert await checkpoint(services, "answer") == Checkpoint("answer", 0, 0)


async def test_handler_when_very_many_are_not_its_own_then_it_notes_how_far_it_has_come(services: Services) -> None:
    handlers = [Handler("answer", PLACED, answer)]
    await from_the_beginning(services, handlers)
    await append(services, IDLE_MAX)
    await drain(services, handlers)
    assert await checkpoint(services, "answer") == Checkpoint("answer", IDLE_MAX, 0)


# ---------------------------------------------------------------- failures


async def failing_at(*seqs: int) -> tuple[Handler, list[int]]:
    """Answers, and then fails at these places; what it was given."""
    given: list[int] = []

    async def react(services: Services, tx: Transaction, event: RecordedEvent) -> None:
        given.append(event.seq)
        await answer(services, tx, event)
        if event.seq in seqs:
            raise RuntimeError(f"not {event.seq}")

    return Handler("failing", CASH, react), given


async def test_handler_when_one_event_of_a_batch_fails_then_the_others_are_done_and_it_is_a_dead_letter(
    services: Services,
) -> None:
    services = quick(services)
    handler, given = await failing_at(2)
    await from_the_beginning(services, [handler])
    await append(services, 4)
    await drain(services, [handler])
    assert await answers(services) == [1, 3, 4]
    assert await dead_letters(services) == [DeadLetter("failing", 2, 3, "RuntimeError: not 2", START)]
    assert await dead_letters(services, "another") == []
    # All four together, then each apart; the second its three times.
    assert given == [1, 2, 1, 2, 2, 2, 3, 4]
    assert await checkpoint(services, "failing") == Checkpoint("failing", 4, 0)


async def test_handler_when_it_fails_once_then_it_is_tried_again_and_done_once(services: Services) -> None:
    services = quick(services)
    failures = [RuntimeError("a hiccup")]

    async def react(services: Services, tx: Transaction, event: RecordedEvent) -> None:
        await answer(services, tx, event)
        if failures:
            raise failures.pop()

    handlers = [Handler("answer", CASH, react)]
    await from_the_beginning(services, handlers)
    await append(services, 1)
    await drain(services, handlers)
    assert await answers(services) == [1]
    assert await dead_letters(services) == []


async def test_handler_when_it_failed_before_a_restart_then_that_is_counted(services: Services) -> None:
    services = quick(services)
    handler, given = await failing_at(1)
    await from_the_beginning(services, [handler])
    await append(services, 1)
    async with services.database.write() as tx:
        await move(tx, await checkpoint(services, "failing"), 0, attempts=2)
    await drain(services, [handler])
    assert given == [1]
    assert [letter.attempts for letter in await dead_letters(services)] == [3]


async def hang(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
    tx.record(answered(event))
    await asyncio.Event().wait()


async def unanswered(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
    tx.record(answered(event))
    raise ConnectionRefusedError("nobody there")


@pytest.mark.parametrize(
    ("react", "error"),
    [
        (hang, "HandlerFailed: it took longer than 0.05 s"),
        (unanswered, "HandlerFailed: ConnectionRefusedError: nobody there"),
    ],
)
async def test_handler_when_it_hangs_or_is_not_answered_outside_the_database_then_that_is_its_failure(
    services: Services, react: Reaction, error: str
) -> None:
    services = quick(services, handler_timeout_ms=50)
    handler = Handler("failing", CASH, react)
    await from_the_beginning(services, [handler])
    await append(services, 2)
    await drain(services, [handler])
    assert await dead_letters(services) == [DeadLetter("failing", seq, 3, error, START) for seq in (1, 2)]
    assert await answers(services) == []
    assert await checkpoint(services, "failing") == Checkpoint("failing", 2, 0)
    assert [each.error for each in await dealt_with_again(services, handler)] == [error] * 2


async def dealt_with_again(services: Services, handler: Handler) -> list[DeadLetter]:
    """The dead letters after each was tried once more."""
    for event in (await whole_log(services.database))[:2]:
        assert await deal_again(services, handler, event) is not None
    return await dead_letters(services)


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_handler_when_a_statement_of_its_own_takes_too_long_then_that_is_its_failure(
    services: Services,
) -> None:
    services = quick(services, statement_timeout_ms=1000, lock_timeout_ms=500, handler_attempts=2)
    hasty = dataclasses.replace(services, database=Database(services.settings))
    ways = {1: "SELECT pg_sleep(60)", 2: "LOCK TABLE portfolios", 3: "SELECT 1"}

    async def react(services: Services, tx: Transaction, event: RecordedEvent) -> None:
        await tx.execute(text(ways[event.seq]))
        await answer(services, tx, event)

    handler = Handler("slow", CASH, react)
    await from_the_beginning(services, [handler])
    await append(services, 3)
    async with services.database.write() as tx:
        await tx.execute(text("LOCK TABLE portfolios"))
        await drain(hasty, [handler])
    await hasty.database.close()
    assert [(letter.seq, letter.attempts) for letter in await dead_letters(services)] == [(1, 2), (2, 2)]
    assert ["statement timeout" in letter.error for letter in await dead_letters(services)] == [True, False]
    assert ["lock timeout" in letter.error for letter in await dead_letters(services)] == [False, True]
    assert await answers(services) == [3]


async def test_handler_when_the_database_is_gone_then_it_waits_and_nothing_is_counted(services: Services) -> None:
    async def react(_services: Services, _tx: Transaction, _event: RecordedEvent) -> None:
        raise DatabaseUnavailable("gone")

    handler = Handler("failing", CASH, react)
    await from_the_beginning(services, [handler])
    await append(services, 1)
    with pytest.raises(DatabaseUnavailable, match="gone"):
        await drain(services, [handler])
    assert await checkpoint(services, "failing") == Checkpoint("failing", 0, 0)
    assert await dead_letters(services) == []


async def test_bus_when_one_handler_fails_for_long_then_the_others_go_on(services: Services) -> None:
    services = quick(services, handler_attempts=1000)
    failing, given = await failing_at(1)
    bus = bus_of(services, [failing, Handler("answer", PLACED, answer)])
    await bus.start()
    try:
        await append(services, 1)
        await until(lambda: len(given) > 2)
        await append(services, 3, EventType.ORDER_PLACED)
        await until_answered(services, [2, 3, 4])
        assert await checkpoint(services, "failing") != Checkpoint("failing", 1, 0)
    finally:
        await bus.stop()


# ---------------------------------------------------------------- several processes


def bus_of(services: Services, handlers: Iterable[Handler]) -> Bus:
    bus = Bus(services)
    for handler in handlers:
        bus.subscribe(handler)
    return bus


async def until_answered(services: Services, seqs: list[int]) -> None:
    async with asyncio.timeout(30):
        while await answers(services) != seqs:
            await services.relay.reached(services.relay.position)


async def test_checkpoint_when_another_process_has_moved_it_then_nothing_is_done_again(services: Services) -> None:
    handler = Handler("answer", CASH, answer)
    await from_the_beginning(services, [handler])
    await append(services, 2)
    await services.relay.reached(2)
    stale = await checkpoint(services, "answer")
    await drain(services, [handler])
    with pytest.raises(Overtaken):
        await Runner(services, handler).go_on(stale, 0)
    assert await answers(services) == [1, 2]


async def test_handler_when_two_processes_have_it_at_once_then_each_event_is_dealt_with_once(
    services: Services,
) -> None:
    handler = Handler("answer", CASH, answer, batch=3)
    await from_the_beginning(services, [handler])
    async with another_process(services, 2) as other:
        runners = [asyncio.create_task(until_stopped(each, handler)) for each in (services, other, services)]
        for _ in range(10):
            await append(services, 4)
        await until_count(services, 40)
        for runner in runners:
            runner.cancel()
        await asyncio.gather(*runners, return_exceptions=True)
    cash = [event.seq for event in await whole_log(services.database) if event.type is EventType.CASH_MOVED]
    assert await answers(services) == cash
    assert len(cash) == 40


async def until_stopped(services: Services, handler: Handler) -> None:
    while True:
        await Runner(services, handler).run()


async def until_count(services: Services, count: int) -> None:
    async with asyncio.timeout(30):
        while len(await answers(services)) < count:
            await services.relay.reached(services.relay.position)


async def test_bus_when_two_processes_have_it_then_they_share_the_handlers_and_one_takes_over(
    services: Services,
) -> None:
    services = quick(services, lease_s=0.1)
    handlers = [Handler(f"handler {number}", CASH, count_in(number)) for number in range(4)]
    one = bus_of(services, handlers)
    async with another_process(services, 2) as other:
        two = bus_of(other, handlers)
        await one.start()
        await until(lambda: len(one.running) == 4)
        await two.start()
        await until(lambda: len(one.running) == len(two.running) == 2)
        assert one.running | two.running == {handler.name for handler in handlers}
        await append(services, 1)
        await until_count(services, 4)
        await two.stop()
        await until(lambda: len(one.running) == 4)
        await append(services, 1)
        await until_count(services, 8)
        await one.stop()
    assert len(await answers(services)) == 8


def count_in(number: int) -> Reaction:
    async def react(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
        tx.record(an_event(1, UUID(int=event.seq * 10 + number), kind=ANSWER, to=event.seq))

    return react


async def test_bus_when_the_settings_say_so_then_it_registers_handlers_and_runs_none(services: Services) -> None:
    services = quick(services, handlers=False)
    bus = bus_of(services, [Handler("answer", CASH, answer)])
    await bus.start()
    assert bus.running == frozenset()
    assert await checkpoint(services, "answer") == Checkpoint("answer", 0, 0)
    await bus.stop()
