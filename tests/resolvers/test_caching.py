"""What is shown through the cache is what the database has: after each command, for each caller, in each process."""

import asyncio
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text, update

import resolvers
from infrastructure.cache import Cache, Load
from infrastructure.services import Services
from models.enums import Role, TradingState
from models.errors import Refused
from resolvers.accounts.commands import grant_role
from resolvers.accounts.queries import user_by_id
from resolvers.changes import tags_of
from resolvers.context import Context, Viewer
from resolvers.marketdata.queries import InstrumentChoice, instrument, instruments
from resolvers.orders.queries import (
    OrderChoice,
    fills_of_order,
    fills_of_portfolio,
    order,
    orders_of_owner,
    orders_of_portfolio,
)
from resolvers.paging import Page, PageArgs
from resolvers.portfolios.allocations import target_allocations
from resolvers.portfolios.commands import create_portfolio
from resolvers.portfolios.queries import (
    TransactionChoice,
    market_status,
    portfolio,
    portfolios_of,
    trading_status,
    transactions_of,
    worth,
)
from resolvers.portfolios.store import PORTFOLIOS
from resolvers.positions.queries import PositionChoice, positions_of
from resolvers.registry import HANDLERS, bus_of
from resolvers.risk.commands import pause_trading
from resolvers.risk.queries import risk_limits, working_counts
from tests.support.day import QUIET, Day
from tests.support.kept import BY_HAND, each_change_is_named, every_kept, everything_kept, writers, writers_in_the_code
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, statements
from tests.support.people import ADDRESS, context_of, signed_up
from tests.support.processes import another_process

ALL = PageArgs(first=50)
RELAYED = "FROM events", "FROM archives"
"""What the relay reads meanwhile, too."""


def asking(services: Services, viewer: Viewer | None) -> Context:
    """A request of its own."""
    return Context(services, viewer, ADDRESS, services.relay.position)


def uncached(services: Services) -> Services:
    """The same process, without a cache."""
    off = Cache(services.settings.model_copy(update={"cache": False}), None, tags_of)
    return dataclasses.replace(services, cache=off)


async def everything(ctx: Context, trader: Trader) -> dict[str, Any]:
    """All that the caller is shown of a trader."""
    user_id, portfolio_id = trader.ctx.owner_id, trader.portfolio_id
    orders = await orders_of_portfolio(ctx, portfolio_id, ALL, OrderChoice())
    found = await portfolio(ctx, portfolio_id)
    pages: dict[str, Page[Any]] = {
        "portfolios": await portfolios_of(ctx, user_id, ALL),
        "orders": orders,
        "orders of the owner": await orders_of_owner(ctx, user_id, ALL, OrderChoice()),
        "fills": await fills_of_portfolio(ctx, portfolio_id, ALL),
        "ledger": await transactions_of(ctx, portfolio_id, ALL, TransactionChoice()),
        "open positions": await positions_of(ctx, portfolio_id, ALL, PositionChoice()),
        "closed positions": await positions_of(ctx, portfolio_id, ALL, PositionChoice(open=False)),
    }
    for each in orders.items:
        pages[f"fills of {each.id}"] = await fills_of_order(ctx, each, ALL)
    held = await worth(ctx, portfolio_id)
    return {
        **{name: await _shown(page) for name, page in pages.items()},
        "user": await user_by_id(ctx, user_id),
        "portfolio": found,
        "trading status": found and await trading_status(ctx, found),
        "holdings": held and (held.portfolio, list(held.holdings)),
        "order": [await order(ctx, each.id) for each in orders.items],
        "limits": await risk_limits(ctx, portfolio_id),
        "targets": await target_allocations(ctx, portfolio_id),
        "working": await ctx.load(working_counts, portfolio_id),
    }


async def _shown(page: Page[Any]) -> tuple[Any, ...]:
    return page.items, page.cursors, page.has_next_page, page.has_previous_page, await page.count()


@pytest.fixture
async def market(services: Services) -> Market:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    return market


@pytest.fixture
async def ada(services: Services, market: Market) -> Trader:
    """With some cash, and every handler registered."""
    await bus_of(services).register()
    return await Trader.with_cash(market.services)


def test_kinds_when_they_are_kept_then_each_has_its_own_name_and_what_no_event_changes_is_kept_for_a_minute() -> None:
    kinds = list({id(kept.kind): kept.kind for kept in every_kept()}.values())
    names = [kind.name for kind in kinds]
    assert sorted(names) == sorted({*names})
    decorated = sum(
        path.read_text().count("@cached(") + path.read_text().count(" = mine_by_id(")
        for path in Path(resolvers.__path__[0]).rglob("*.py")
        if path.name != "loading.py"
    )
    assert len([name for name in names if " by " not in name or name.endswith((" by id", " by symbol"))]) == decorated
    assert set(BY_HAND) <= set(names)
    for kind in kinds:
        unchanging = kind.name.removeprefix("count of ").startswith("instruments ")
        assert (kind.ttl_s <= 60) is unchanging, kind.name


async def test_everything_when_anything_is_done_then_an_event_names_it_and_it_is_shown_at_once_as_the_database_has_it(
    services: Services, market: Market, ada: Trader
) -> None:
    viewer, bare = ada.ctx.viewer, uncached(services)
    before, unchanged = await everything_kept(asking(services, viewer)), set[str]()

    with each_change_is_named(services) as unnamed:
        async for step in Day(services, market, ada).steps():
            shown = await everything_kept(asking(services, viewer))
            assert (step, unnamed) == (step, [])
            assert shown == await everything_kept(asking(bare, viewer)), step
            unchanged |= {step} if shown == before else set()
            before = shown

    assert unchanged == QUIET
    assert await everything(asking(services, viewer), ada) == await everything(asking(bare, viewer), ada)
    counts = services.cache.counts
    assert {kept.kind.name for kept in every_kept() if not counts[kept.kind.name].memory} == set()


@pytest.mark.usefixtures("ada")
async def test_change_when_no_event_names_it_then_the_watch_over_the_day_says_of_what(services: Services) -> None:
    with each_change_is_named(services) as unnamed:
        async with services.database.write() as tx:
            await tx.execute(update(PORTFOLIOS).values(name="Unsaid"))

    by_owner = "portfolios by owner_id, ascending created_at"
    assert {*unnamed} == {
        f"{each} by portfolios"
        for each in ("holdings of a portfolio", "portfolios by id", by_owner, f"count of {by_owner}")
    }


async def test_everything_when_nothing_changes_then_it_is_read_once(
    services: Services, market: Market, ada: Trader
) -> None:
    async for _step in Day(services, market, ada).steps():
        pass
    await services.relay.reached(await _head(services))
    first = await everything(asking(services, ada.ctx.viewer), ada)

    with statements(services) as seen:
        assert await everything(asking(services, ada.ctx.viewer), ada) == first

    assert [each for each in seen if not any(table in each for table in RELAYED)] == []


async def test_page_when_processes_have_other_default_sizes_then_each_has_its_own_page_of_the_same_cache(
    services: Services, market: Market
) -> None:
    ada = await Trader.with_cash(market.services)
    for name in ("A", "B", "C"):
        await create_portfolio(ada.ctx, name, None, D(1))
    await services.relay.reached(await _head(services))

    async def found(default: int, args: PageArgs) -> tuple[int, bool]:
        settings = services.settings.model_copy(update={"page_size": default})
        of_its_own = dataclasses.replace(services, settings=settings)
        page = await portfolios_of(asking(of_its_own, ada.ctx.viewer), ada.ctx.owner_id, args)
        return len(page.items), page.has_next_page

    assert await found(2, PageArgs()) == (2, True)
    assert await found(3, PageArgs()) == (3, True)
    assert await found(1, PageArgs(first=50)) == (4, False)
    with statements(services) as seen:
        assert await found(50, PageArgs()) == (4, False)
        assert await found(9, PageArgs(first=2)) == (2, True)
    assert [each for each in seen if not any(table in each for table in RELAYED)] == []


async def _head(services: Services) -> int:
    async with services.database.read() as connection:
        return int((await connection.exec_driver_sql("SELECT seq FROM log_head")).scalar_one())


async def test_everything_when_another_asks_for_the_same_ids_then_nothing_of_it_is_shown(
    services: Services, market: Market
) -> None:
    ada = await Trader.with_cash(market.services)
    await ada.trade("BUY", "10", "100")
    bob = await context_of(services, await signed_up(services, "bob@example.com"))
    await everything(asking(services, ada.ctx.viewer), ada)

    shown = await everything(asking(services, bob.viewer), ada)

    nothing: Any = ([], [], False, False, 0)
    assert shown == dict.fromkeys(shown, nothing) | {
        "user": None,
        "portfolio": None,
        "trading status": None,
        "holdings": None,
        "order": [],
        "limits": (),
        "targets": (),
        "working": 0,
    }


async def test_everything_when_another_process_wrote_and_no_word_of_it_came_then_its_author_is_shown_it(
    services: Services, market: Market
) -> None:
    ada = await Trader.with_cash(market.services)
    async with another_process(services, 1) as other:
        await other.relay.stop()  # it hears of nothing, and polls no more
        signed_in = await signed_up(services, "eve@example.com")
        eve = Trader(await context_of(services, signed_in), None)
        eve.portfolio_id = (await create_portfolio(eve.ctx, "Main", None, D(1000))).value.id
        for who in (ada.ctx.viewer, (await context_of(other, signed_in)).viewer):
            await everything(asking(other, who), eve)

        await eve.trade("BUY", "5", "100")

        shown = await everything(await context_of(other, signed_in), eve)
        assert shown == await everything(asking(uncached(other), eve.ctx.viewer), eve)
        assert [each.quantity for each in shown["open positions"][0]] == [5]


async def test_market_when_an_admin_pauses_it_elsewhere_and_no_word_of_it_came_then_they_are_shown_it(
    services: Services, market: Market
) -> None:
    signed_in = await signed_up(market.services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    async with another_process(services, 1) as other:
        await other.relay.stop()
        before = await market_status(await context_of(other, signed_in))
        await pause_trading(await context_of(services, signed_in), None, "halt", None, reduce_only=False)

        after = await market_status(await context_of(other, signed_in))

    assert (before.state, after.state) == (TradingState.ACTIVE, TradingState.PAUSED)


class Poisoned(Cache):
    """Lies about whatever it is asked."""

    async def many(self, kind: Any, owner: Any, keys: Sequence[Any], load: Load[Any, Any], least: Any = 0) -> list[Any]:  # noqa: ARG002 - reason: it does not look
        raise AssertionError(f"{kind.name} was looked up in the cache")


NEVER_IN_A_DAY = {
    "resolvers/events/archive.py _seal": "nothing kept is made of events",
    "resolvers/events/archive.py restore_events": "likewise",
    "resolvers/events/operators.py new_epoch": "likewise",
    "resolvers/events/replaying.py drop_dead_letters": "nothing kept is made of dead letters",
    "resolvers/events/snapshots.py keep": "nothing kept is made of snapshots",
    "resolvers/marketdata/commands.py seed_catalogue": "the catalogue is kept for a minute",
    "resolvers/marketdata/imports/candles.py import_candles": "no candle is kept",
    "resolvers/marketdata/imports/instruments.py import_instruments": "the catalogue is kept for a minute",
    "resolvers/marketdata/imports/quotes.py import_quotes": "no quote is kept",
    "resolvers/seed/volume.py seed_volume": "into an empty database alone",
}
"""What writes, and is no command or what follows from one."""


async def test_commands_when_the_cache_lies_then_what_decides_money_and_risk_is_none_the_worse(
    services: Services, market: Market, ada: Trader
) -> None:
    """All of them, and every handler: a new one has to have its step in the day."""
    poisoned = dataclasses.replace(services, cache=Poisoned(services.settings, None, tags_of))
    with writers() as seen:
        async for _step in Day(poisoned, market, ada).steps():
            pass

    assert writers_in_the_code() - seen == set(NEVER_IN_A_DAY)
    happened = {event.type for event in await whole_log(services.database)}
    assert [handler.name for handler in HANDLERS if not handler.types <= happened] == []


async def test_order_when_the_cache_lies_about_the_funds_then_it_is_refused_all_the_same(
    services: Services, market: Market
) -> None:
    ada = await Trader.with_cash(market.services, "5000")
    ada.ctx.services = dataclasses.replace(services, cache=Poisoned(services.settings, None, tags_of))

    with pytest.raises(Refused, match="buying power"):
        await ada.place("BUY", "100", limit="100")


async def test_portfolio_when_it_is_changed_behind_the_logs_back_then_the_kept_one_is_shown(services: Services) -> None:
    """That the others do go through the cache: this one shows what it must not show if there were an event."""
    ada = await Trader.with_cash(services)
    await services.relay.reached(await _head(services))
    before = await portfolio(asking(services, ada.ctx.viewer), ada.portfolio_id)
    async with services.database.write() as tx:
        await tx.execute(update(PORTFOLIOS).values(name="Unsaid"))

    assert await portfolio(asking(services, ada.ctx.viewer), ada.portfolio_id) == before


@pytest.mark.parametrize("backend", ["postgresql"], indirect=True)
async def test_catalogue_when_the_database_does_not_answer_then_it_is_shown_as_it_was_and_read_once_it_does(
    services: Services, market: Market
) -> None:
    ada = await Trader.with_cash(market.services)

    async def shown() -> tuple[Any, ...]:
        ctx = asking(services, ada.ctx.viewer)
        page = await instruments(ctx, PageArgs(first=3), InstrumentChoice())
        return await instrument(ctx, "AAPL"), page.items, await page.count()

    before, memory = await shown(), services.cache.memory
    for name, entry in list(memory._cache.items()):
        memory._cache[name] = dataclasses.replace(entry, expires_at=0)
    async with services.database.write() as tx:
        await tx.execute(text("LOCK TABLE instruments IN ACCESS EXCLUSIVE MODE"))
        assert await asyncio.gather(*(shown() for _ in range(10))) == [before] * 10
        assert await shown() == before
    assert services.cache.counts["instruments by symbol"].stale == 11

    assert await shown() == before
    loaded = {name: counts.loaded for name, counts in services.cache.counts.items()}
    assert await shown() == before
    assert loaded == {name: counts.loaded for name, counts in services.cache.counts.items()}
