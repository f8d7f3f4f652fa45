"""Volume to measure with: users who have traded for a year, with books and a log as whole as anybody's."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import select

from infrastructure.bulk import BulkLoad
from infrastructure.database import Transaction
from infrastructure.ids import new_secret
from infrastructure.services import Services
from models.enums import ErrorCode
from models.errors import Fault, refuse_if
from models.portfolios import Portfolio
from models.positions import day_of
from resolvers.accounts.commands.users import USERS
from resolvers.marketdata.commands import seed_catalogue
from resolvers.orders.inputs import rules_of
from resolvers.portfolios import store as portfolios_store
from resolvers.seed.batch import Batch
from resolvers.seed.clock import Then
from resolvers.seed.people import email_of, join
from resolvers.seed.trading import Trading

A_YEAR = timedelta(days=365)
BATCH = 1_000
"""Orders, or users, that are written together."""
THERE = Fault(ErrorCode.CONFLICT, "The database has volume already: use an empty one.")


@dataclass(frozen=True, slots=True)
class Volume:
    """How much. The same `seed` makes the same on the same day.

    All users have one `password`; without one nobody can sign in as them.
    """

    users: int
    orders: int
    seed: int = 1
    password: str | None = None


async def seed_volume(services: Services, volume: Volume, progress: Callable[[int], None] = lambda _done: None) -> int:
    """Write it all, or nothing, and answer with the number of events; `progress` is told how many orders there are.

    A year of trading that ends with the day before this one. Raises `Refused` where there is volume already.
    """
    await seed_catalogue(services)
    password_hash = await services.passwords.hash(volume.password or new_secret())
    end = day_of(services.clock.now())
    then, source = Then(end - A_YEAR), random.Random(volume.seed)  # noqa: S311 - reason: repeatable on purpose
    async with services.database.write(unhurried=True) as tx:
        await _nobody_there(tx)
        load = BulkLoad(tx)
        await load.begin()
        portfolios = await _sign_up(load, volume.users, then, source, password_hash)
        trading = Trading(portfolios, then, source, rules_of(services.settings), services.settings.market_seed)
        for done, batch in trading.orders(end - A_YEAR, end, volume.orders, BATCH):
            await _write(load, batch)
            progress(done)
        for portfolio in trading.portfolios:
            await portfolios_store.save(tx, portfolio)
        return await load.end()


async def _nobody_there(tx: Transaction) -> None:
    found = await tx.execute(select(USERS.c.id).where(USERS.c.email == email_of(1)))
    refuse_if([] if found.first() is None else [THERE])


async def _sign_up(
    load: BulkLoad, users: int, then: Then, source: random.Random, password_hash: str
) -> list[Portfolio]:
    portfolios: list[Portfolio] = []
    for first in range(1, users + 1, BATCH):
        batch = Batch()
        for number in range(first, min(first + BATCH, users + 1)):
            portfolios += join(batch, number, then, source, password_hash)
        await _write(load, batch)
    return portfolios


async def _write(load: BulkLoad, batch: Batch) -> None:
    for table, rows in batch.rows.items():
        await load.add(table, rows)
    await load.append(batch.events)
