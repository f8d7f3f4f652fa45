"""Handlers in a test: registered, and run to the log's end."""

from collections.abc import Iterable

from sqlalchemy import update

from infrastructure import log
from infrastructure.bus import CHECKPOINTS, Bus, Handler, Runner, checkpoint, move
from infrastructure.services import Services
from models.notifications import Notification, NotificationRow
from resolvers.registry import HANDLERS
from tests.support.market import stored


async def head(services: Services) -> int:
    """Where the log stands."""
    async with services.database.read() as connection:
        return (await log.head(connection)).seq


async def from_the_beginning(services: Services, handlers: Iterable[Handler] = HANDLERS) -> None:
    """Register handlers that have all of the log before them."""
    bus = Bus(services)
    for handler in handlers:
        bus.subscribe(handler)
    await bus.register()
    for handler in handlers:
        at = await checkpoint(services, handler.name)
        async with services.database.write() as tx:
            await move(tx, at, 0)
            await tx.execute(update(CHECKPOINTS).where(CHECKPOINTS.c.handler == handler.name).values(begun=0))


async def drain(services: Services, handlers: Iterable[Handler] = HANDLERS) -> None:
    """Have them deal with everything, also with what they record themselves."""
    end = -1
    while end < (end := await head(services)):
        await services.relay.reached(end)
        for handler in handlers:
            at = await checkpoint(services, handler.name)
            seen, runner = at.seq, Runner(services, handler)
            while seen < services.relay.position:
                at, seen = await runner.go_on(at, seen)


async def told(services: Services, **of: object) -> list[Notification]:
    """The notifications, by time, of those that have these values."""
    found: list[Notification] = await stored(services, NotificationRow, Notification)
    chosen = [each for each in found if all(getattr(each, name) == value for name, value in of.items())]
    return sorted(chosen, key=lambda each: (each.created_at, each.id))
