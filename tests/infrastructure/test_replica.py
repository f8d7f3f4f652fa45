"""A real PostgreSQL, and a real one that follows it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import func, select
from structlog.testing import capture_logs

from graph.process import build_services
from infrastructure import replica
from infrastructure.replica import Replica
from infrastructure.rows import table
from infrastructure.services import Services
from infrastructure.settings import Settings
from infrastructure.statements import Row, Statement
from models.events import LogHeadRow
from models.people import ProfileChanges
from resolvers.accounts.commands import update_profile
from resolvers.accounts.queries import user_by_id
from resolvers.context import Context
from resolvers.paging import PageArgs
from resolvers.portfolios.commands import create_portfolio, update_portfolio
from resolvers.portfolios.queries import portfolio, portfolios_of
from tests.support.house import migrated, settings_for
from tests.support.market import D, Market, Trader
from tests.support.people import ADDRESS, context_of, signed_up
from tests.support.servers import PostgresServer, PostgresStandby
from tests.support.wait import until

PLACE = Statement(select(table(LogHeadRow).c.seq))


@dataclasses.dataclass(frozen=True)
class Pair:
    """A server with a copy that follows."""

    primary: PostgresServer
    standby: PostgresStandby
    settings: Settings


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    home = tmp_path_factory.mktemp("replica")
    with PostgresServer() as primary:
        url = primary.create_database("traded")
        migrated(settings_for(url, home))
        with PostgresStandby(primary) as standby:
            settings = settings_for(url, home, database_read_url=standby.url("traded"), cache=False)
            yield Pair(primary, standby, settings)


@pytest.fixture
async def services(pair: Pair) -> AsyncIterator[Services]:
    services = build_services(pair.settings)
    await services.relay.start()
    yield services
    await services.relay.stop()
    await services.database.close()


def copy_of(services: Services) -> Replica:
    assert services.database.replica is not None
    return services.database.replica


async def caught_up(services: Services) -> None:
    """The copy has come as far as the log."""
    relay = services.relay
    await relay.reached(services.database.written)
    async with asyncio.timeout(20):
        while await copy_of(services).rows(PLACE, {}, relay.epoch, relay.position) is None:  # noqa: ASYNC110 - another server's
            await asyncio.sleep(0.01)
    copy_of(services).counts = replica.ReplicaCounts()


def asking(ctx: Context) -> Context:
    return Context(ctx.services, ctx.viewer, ADDRESS, ctx.services.relay.position)


@pytest.fixture
async def ada(services: Services) -> Context:
    number = services.ids.new()
    return await context_of(services, await signed_up(services, f"{number}@example.com"))


async def test_reading_when_the_replica_has_come_far_enough_then_it_answers(services: Services, ada: Context) -> None:
    made = (await create_portfolio(ada, "Main", None, D(5))).value
    await caught_up(services)

    found = await portfolio(asking(ada), made.id)

    assert found == made
    assert vars(copy_of(services).counts) == {"served": 1, "behind": 0, "gone": 0}


async def test_reading_when_a_statement_takes_the_replica_too_long_then_it_answers_the_next(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await caught_up(services)
    monkeypatch.setattr(replica, "PATIENCE_S", 60)
    copy, epoch = copy_of(services), services.relay.epoch
    for line in copy.bare._idle:
        await line.connection.execute("SET statement_timeout = 300")

    assert await copy.rows(Statement(select(func.pg_sleep(60))), {}, epoch, 0) is None
    assert await copy.rows(PLACE, {}, epoch, 0) is not None

    assert vars(copy.counts) == {"served": 1, "behind": 0, "gone": 1}


async def test_reading_when_the_replica_is_behind_what_the_viewer_did_then_the_database_answers_and_it_is_counted(
    services: Services, ada: Context, pair: Pair
) -> None:
    made = (await create_portfolio(ada, "Main", None, D(5))).value
    await caught_up(services)
    pair.standby.pause()
    try:
        await update_portfolio(ada, made.id, "Renamed")
        for _ in range(20):
            found = await portfolio(asking(ada), made.id)
            assert found is not None
            assert found.name == "Renamed"
        counts = vars(copy_of(services).counts)
        assert counts == {"served": 0, "behind": 20, "gone": 0}
    finally:
        pair.standby.resume()
    await caught_up(services)
    page = await portfolios_of(asking(ada), ada.owner_id, PageArgs(first=5))
    assert [each.name for each in page.items] == ["Renamed"]
    assert vars(copy_of(services).counts) == {"served": 1, "behind": 0, "gone": 0}


async def test_reading_when_the_viewer_acted_in_another_process_then_this_ones_replica_has_to_have_it(
    services: Services, ada: Context, pair: Pair
) -> None:
    await caught_up(services)
    other = build_services(pair.settings)
    await other.relay.start()
    try:
        await services.relay.stop()  # it hears of nothing
        pair.standby.pause()
        changed = await update_profile(
            Context(other, ada.viewer, ADDRESS, other.relay.position), ProfileChanges(first_name="Augusta")
        )
        seen = dataclasses.replace(ada.signed_in(), seen=other.database.written)
        found = await user_by_id(Context(services, seen, ADDRESS, services.relay.position), ada.owner_id)
        assert found == changed
        assert copy_of(services).counts.behind == 1
    finally:
        pair.standby.resume()
        await other.relay.stop()
        await other.database.close()


async def test_reading_when_the_replica_has_another_log_then_it_can_not_answer(services: Services) -> None:
    await caught_up(services)
    assert await copy_of(services).rows(PLACE, {}, "another", 0) is None
    assert copy_of(services).counts.behind == 1


async def test_reading_when_the_replica_dies_then_the_database_answers_and_it_is_said_once_until_it_is_back(
    services: Services, ada: Context, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "REST_GONE_S", 0.05)
    await caught_up(services)
    with capture_logs() as logs:
        pair.standby.kill()
        for _ in range(10):
            assert await user_by_id(asking(ada), ada.owner_id) == ada.signed_in().user
            await asyncio.sleep(0.01)
        assert copy_of(services).counts.served == 0
        assert copy_of(services).counts.gone == 10
        pair.standby.start()
        await caught_up(services)
    said = [each["event"] for each in logs if "replica" in each["event"]]
    assert said == [
        "the read replica does not answer: the database itself is read",
        "the read replica is read again",
    ]
    assert await user_by_id(asking(ada), ada.owner_id) == ada.signed_in().user
    assert copy_of(services).counts.served == 1


async def test_reading_when_the_replica_is_frozen_then_one_reading_waits_for_it_and_the_others_do_not(
    services: Services, ada: Context, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "PATIENCE_S", 0.3)
    await caught_up(services)
    pair.standby.freeze()
    try:
        for _ in range(5):
            assert await user_by_id(asking(ada), ada.owner_id) == ada.signed_in().user
        assert copy_of(services).counts.gone == 5
        assert copy_of(services)._is_gone
    finally:
        pair.standby.thaw()


class Lying(Replica):
    """Says nothing, and remembers that it was asked."""

    asked = 0

    async def rows(self, *_asked: Any) -> list[Row] | None:
        self.asked += 1
        return []


async def test_commands_when_the_replica_lies_then_what_decides_money_is_none_the_worse(
    services: Services, ada: Context
) -> None:
    lying = Lying(copy_of(services).bare.driver, 1)
    await copy_of(services).close()
    services.database.replica = lying
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    trader = Trader(ada, (await create_portfolio(ada, "Main", None, D(5000))).value.id)

    await trader.trade("BUY", "10", "100")
    await trader.trade("SELL", "4", "100")

    assert [position.quantity for position in await trader.positions()] == [6]
    assert lying.asked == 0
    assert await portfolio(asking(ada), trader.portfolio_id) is None
    assert lying.asked == 1


async def test_far_behind_when_it_lasts_then_it_is_said_once(
    services: Services, ada: Context, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "FAR_BEHIND_S", 0.05)
    await caught_up(services)
    pair.standby.pause()
    try:
        with capture_logs() as logs:
            await create_portfolio(ada, "Main", None, D(5))
            copy = copy_of(services)
            await until(lambda: copy.counts.behind == 0)
            async with asyncio.timeout(20):
                while not copy._was_spoken_of:
                    await user_by_id(asking(ada), ada.owner_id)
                    await asyncio.sleep(0.01)
            for _ in range(5):
                await user_by_id(asking(ada), ada.owner_id)
        assert [each["event"] for each in logs if "replica" in each["event"]] == [
            "the read replica is far behind: the database itself is read"
        ]
    finally:
        pair.standby.resume()


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ({"database_url": "postgresql://here/one", "database_read_url": "sqlite:///one.db"}, "DATABASE_READ_URL"),
        ({"database_url": "postgresql://here/one", "database_read_url": "mysql://one"}, "has to start with"),
        ({"database_read_url": "postgresql://here/one"}, "DATABASE_READ_URL is of a copy of DATABASE_URL"),
    ],
)
def test_settings_when_the_replica_can_be_none_then_it_is_said(urls: dict[str, str], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Settings(secret="x" * 32, **urls)  # type: ignore[arg-type]
