"""Who is asking, on PostgreSQL with a Redis: known without a statement, and never for longer than it is so."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

import infrastructure.database
from graph.process import build_services
from infrastructure.database import COMMITS, Commits, OutcomeUnknown
from infrastructure.passwords import Passwords
from infrastructure.services import Services
from infrastructure.settings import Settings
from infrastructure.statements import Row, Statement
from models import facts
from models.enums import ApiScope, EventType, Role, Severity, TradingState
from models.errors import Unauthenticated
from models.notifications import Notification
from models.people import ProfileChanges
from resolvers.accounts.commands import create_api_key, grant_role, logout, revoke_api_key, update_profile
from resolvers.accounts.queries import authenticate
from resolvers.portfolios.commands import create_portfolio, update_portfolio
from resolvers.portfolios.queries import market_status, portfolio
from resolvers.risk.commands import pause_trading
from tests.support.market import statements
from tests.support.people import context_of, signed_up
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
NEVER_MS = 3_600_000


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@asynccontextmanager
async def a_process(settings: Settings, server: RedisServer | None, poll_ms: int = NEVER_MS) -> AsyncIterator[Services]:
    """One that hears nothing of the others but by notes in Redis, unless it polls."""
    changed = {"redis_url": "" if server is None else server.url, "relay_poll_ms": poll_ms, "redis_timeout_ms": 5000}
    services = build_services(settings.model_copy(update=changed), passwords=Passwords(memory_kib=8, time_cost=1))
    await services.relay.start()
    try:
        yield services
    finally:
        await services.relay.stop()
        if services.redis is not None:
            await services.redis.close()
        await services.database.close()


async def asked(services: Services, token: str) -> int:
    """The statements that it takes to know the caller."""
    with statements(services) as seen:
        await authenticate(services, token)
    return len([each for each in seen if "FROM users" in each])


async def test_caller_when_nothing_of_theirs_happened_then_no_statement_is_needed_to_know_them(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here, a_process(settings, server) as there:
        ada = await signed_up(here)
        bob = await signed_up(here, "bob@example.com")
        assert [await asked(there, ada.access_token) for _ in range(3)] == [1, 0, 0]
        assert await asked(there, bob.access_token) == 1

        await update_profile(await context_of(here, bob), ProfileChanges(first_name="Bobby"))

        assert [await asked(there, ada.access_token), await asked(there, bob.access_token)] == [0, 1]
        viewer = await authenticate(there, bob.access_token)
        assert (viewer.user.first_name, viewer.seen) == ("Bobby", here.database.written)


async def test_caller_when_the_sign_in_ended_elsewhere_then_they_are_refused_at_once(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here, a_process(settings, server) as there:
        ada = await signed_up(here)
        assert [await asked(there, ada.access_token) for _ in range(2)] == [1, 0]

        await logout(await context_of(here, ada), ada.refresh_token)

        with pytest.raises(Unauthenticated) as refused:
            await authenticate(there, ada.access_token)
        assert refused.value.reason == "REVOKED"


async def test_key_when_it_is_revoked_or_the_role_changes_elsewhere_then_that_is_known_at_once(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here, a_process(settings, server) as there:
        ctx = await context_of(here, await signed_up(here))
        key = await create_api_key(ctx, "bot", [ApiScope.READ])
        assert [await asked(there, key.secret) for _ in range(2)] == [1, 0]

        await grant_role(here, "ada@example.com", Role.ANALYST)
        assert (await authenticate(there, key.secret)).user.role is Role.ANALYST

        assert await asked(there, key.secret) == 0
        await revoke_api_key(ctx, key.key.id)
        with pytest.raises(Unauthenticated):
            await authenticate(there, key.secret)


async def test_admin_when_they_pause_everybodys_trading_elsewhere_then_they_alone_are_known_anew_and_shown_it(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here:
        ada, root = await signed_up(here), await signed_up(here, "root@example.com")
        await grant_role(here, "root@example.com", Role.ADMIN)
        async with a_process(settings, server) as there:
            for each in (ada, root):
                await authenticate(there, each.access_token)
            assert (await market_status(await context_of(there, root))).state is TradingState.ACTIVE

            await pause_trading(await context_of(here, root), None, "halt", None, reduce_only=False)

            assert (await market_status(await context_of(there, root))).state is TradingState.PAUSED
            assert [await asked(there, ada.access_token), await asked(there, root.access_token)] == [0, 0]


async def test_callers_when_they_are_told_in_one_transaction_then_each_is_read_once_and_known_again(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server, poll_ms=20) as here, a_process(settings, server) as there:
        ada, bob, eve = [await signed_up(here, f"{name}@example.com") for name in ("ada", "bob", "eve")]
        now = here.clock.now()
        told = [
            Notification(here.ids.new(), each.user.id, Severity.INFO, "t", "b", None, None, now, None, 1)
            for each in (ada, bob, ada)
        ]
        for each in (ada, bob, eve):
            assert [await asked(there, each.access_token) for _ in range(2)] == [1, 0]

        async with here.database.write() as tx:
            tx.record(*(facts.of_notification(EventType.NOTIFICATION_SENT, each, None, now) for each in told))

        for process, of_eve in ((there, [0, 0]), (here, [1, 0])):
            assert [await asked(process, ada.access_token) for _ in range(3)] == [1, 0, 0]
            assert [await asked(process, bob.access_token) for _ in range(3)] == [1, 0, 0]
            assert [await asked(process, eve.access_token) for _ in range(2)] == of_eve
        seen = [(await authenticate(there, each.access_token)).seen for each in (ada, bob)]
        assert seen == [tx.position, tx.position - 1]


async def test_caller_when_the_command_line_changes_them_then_that_is_known_at_once_too(
    settings: Settings, server: RedisServer
) -> None:
    """It follows no log."""
    async with a_process(settings, server) as here:
        ada = await signed_up(here)
        assert [await asked(here, ada.access_token) for _ in range(2)] == [1, 0]
        line = build_services(settings.model_copy(update={"redis_url": server.url}))
        await grant_role(line, "ada@example.com", Role.ADMIN)
        assert line.redis is not None
        await line.redis.close()
        await line.database.close()

        assert (await authenticate(here, ada.access_token)).user.role is Role.ADMIN


async def test_caller_when_redis_forgot_or_is_gone_then_the_database_says_who_they_are(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here:
        assert here.redis is not None
        ada = await signed_up(here)
        assert [await asked(here, ada.access_token) for _ in range(2)] == [1, 0]

        await here.redis.ask(lambda client: client.flushdb())
        assert [await asked(here, ada.access_token) for _ in range(3)] == [1, 0, 0]

        server.kill()
        try:
            assert [await asked(here, ada.access_token) for _ in range(5)] == [1] * 5
        finally:
            server.start()


async def test_caller_when_who_changed_them_had_no_redis_then_they_are_known_anew_with_the_log(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server, poll_ms=20) as here, a_process(settings, None) as there:
        ada = await signed_up(here)
        assert [await asked(here, ada.access_token) for _ in range(2)] == [1, 0]
        ctx = await context_of(there, ada)
        await logout(ctx, ada.refresh_token)
        async with asyncio.timeout(30):
            await here.relay.reached(there.database.written)

        with pytest.raises(Unauthenticated):
            await authenticate(here, ada.access_token)


async def test_caller_when_they_do_something_while_they_are_looked_up_then_what_was_found_is_not_kept(
    settings: Settings, server: RedisServer
) -> None:
    async with a_process(settings, server) as here:
        ada = await signed_up(here)
        ctx = await context_of(here, ada)
        read = here.database.rows

        async def slow(statement: Statement, **values: Any) -> list[Row]:
            found = await read(statement, **values)
            here.database.rows = read  # type: ignore[method-assign]
            await update_profile(ctx, ProfileChanges(first_name="Augusta"))
            return found

        here.known._clear()
        here.database.rows = slow  # type: ignore[method-assign]
        assert (await authenticate(here, ada.access_token)).user.first_name == "Ada"
        assert (await authenticate(here, ada.access_token)).user.first_name == "Augusta"


async def cancelled_once_committed(work: Awaitable[object]) -> None:
    """As a mutation is that has passed its deadline while it commits."""
    commits = Commits()

    async def watched() -> None:
        COMMITS.set(commits)
        await work

    task = asyncio.ensure_future(watched())
    commits.ended = task.cancel
    await asyncio.wait([task])
    assert task.cancelled()


async def with_its_answer_lost(work: Awaitable[object]) -> None:
    """It is committed, and nobody can say so."""
    commit = infrastructure.database._commit

    async def unheard(connection: AsyncConnection) -> None:
        await commit(connection)
        raise OutcomeUnknown

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infrastructure.database._commit", unheard)
        with pytest.raises(OutcomeUnknown):
            await work


@pytest.mark.parametrize("ended", [cancelled_once_committed, with_its_answer_lost])
async def test_logout_when_nobody_could_be_answered_then_the_session_is_over_in_every_process_all_the_same(
    settings: Settings, server: RedisServer, ended: Callable[[Awaitable[object]], Awaitable[None]]
) -> None:
    async with a_process(settings, server) as here, a_process(settings, server) as there:
        ada = await signed_up(here)
        assert [await asked(there, ada.access_token) for _ in range(2)] == [1, 0]
        await ended(logout(await context_of(here, ada), ada.refresh_token))
        for process in (here, there):
            with pytest.raises(Unauthenticated):
                await authenticate(process, ada.access_token)


@pytest.mark.parametrize("ended", [cancelled_once_committed, with_its_answer_lost])
async def test_portfolio_when_its_change_could_not_be_answered_then_who_looks_again_sees_it_in_every_process(
    settings: Settings, server: RedisServer, ended: Callable[[Awaitable[object]], Awaitable[None]]
) -> None:
    async with a_process(settings, server) as here, a_process(settings, server) as there:
        ada = await signed_up(here)
        ctx = await context_of(here, ada)
        created = (await create_portfolio(ctx, "Main", None, None)).value

        async def shown(process: Services) -> str:
            again = await context_of(process, ada)
            found = await portfolio(again, created.id)
            assert found is not None
            return found.name

        assert [await shown(process) for process in (here, there)] == ["Main", "Main"]
        await ended(update_portfolio(ctx, created.id, "Renamed"))
        assert [await shown(process) for process in (here, there)] == ["Renamed", "Renamed"]
