"""No question and no command reads a table from end to end: the plans of the very statements that they run.

On analysed data of 4,000 orders by 1,000 users, and of what gathers around them, on both databases.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from decimal import Decimal
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from infrastructure.bus import dead_letters
from infrastructure.ids import Ids
from infrastructure.log import read_after
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.enums import (
    AggregateType,
    ApiScope,
    CandleInterval,
    EventType,
    MarketAlertKind,
    OrderDirection,
    OrderOrderField,
    OrderSide,
    OrderStatus,
    Role,
    TransactionKind,
)
from models.events import EventFilter
from models.orders import WORKING, Order
from resolvers.accounts.commands import (
    create_api_key,
    login,
    logout,
    logout_everywhere,
    refresh_token,
    revoke_api_key,
)
from resolvers.accounts.keys import api_keys, keys_by_id
from resolvers.accounts.queries import authenticate, user_by_id
from resolvers.alerts import market_alerts
from resolvers.alerts.commands import mark_notifications_read
from resolvers.alerts.handlers import tell_of_alert, work_into_signal
from resolvers.alerts.queries import NotificationChoice, notification, notifications_of
from resolvers.context import Context
from resolvers.events.history import history
from resolvers.events.queries import events, events_by_seq, events_of_order
from resolvers.marketdata.queries import CandleChoice, candles
from resolvers.marketdata.sentiment import record_sentiment, sentiment
from resolvers.orders import queries as orders
from resolvers.orders.commands import cancel_order, execute_order, expire_due, place_order
from resolvers.orders.queries import OrderChoice, OrderSorting
from resolvers.paging import Page, PageArgs
from resolvers.portfolios import queries as portfolios
from resolvers.portfolios.allocations import set_target_allocations, target_allocations
from resolvers.portfolios.commands import deposit_cash, withdraw_cash
from resolvers.portfolios.queries import TransactionChoice
from resolvers.positions.handlers import summarize_trade
from resolvers.positions.queries import PositionChoice, position, positions_of, trade_summary
from resolvers.risk import queries as risk
from resolvers.risk.commands import acknowledge_risk_alert, resume_due
from resolvers.risk.handlers import check_limits
from resolvers.risk.queries import working_counts
from resolvers.seed import Volume, email_of
from tests.conftest import BACKENDS
from tests.support.clock import START, ManualClock
from tests.support.crowd import HANDLERS_GIVEN_UP, SYMBOLS, filled
from tests.support.house import settings_for
from tests.support.market import Market, Trader
from tests.support.people import anonymous, context_of
from tests.support.plans import Statement, asked, faults, plan

PASSWORD = "made-up-password"
VOLUME = Volume(users=1_000, orders=4_000, password=PASSWORD)
FIRST = PageArgs(first=10)


@pytest.fixture(scope="module", params=BACKENDS)
def volume(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A database full of trading."""
    home, postgres = tmp_path_factory.mktemp("volume"), None
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_template"), home / "tradegraph.db")
        settings = settings_for(f"sqlite:///{home / 'tradegraph.db'}", home)
    else:
        postgres = request.getfixturevalue("postgres")
        url = postgres.create_database("volume", template=request.getfixturevalue("postgres_template"))
        settings = settings_for(url, home)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, filled(settings, VOLUME)).result()
    yield settings
    if postgres is not None:
        postgres.drop_database("volume")


@pytest.fixture
def settings(volume: Settings) -> Settings:
    """Of the one database that all tests here look at; what they write is theirs."""
    return volume


@pytest.fixture
def ids(clock: ManualClock) -> Ids:
    """Others in each test."""
    return Ids(clock)


@dataclass(frozen=True)
class World:
    """A user with two portfolios, and some of what is in them; `admin` runs the place."""

    ctx: Context
    admin: Context
    ids: list[UUID]
    orders: list[Order]


@pytest.fixture
async def world(services: Services) -> World:
    """Of the user who traded the most of those with two portfolios."""
    ctx = await context_of(services, await login(anonymous(services), email_of(4), PASSWORD))
    viewer = ctx.signed_in()
    admin = Context(services, replace(viewer, user=replace(viewer.user, role=Role.ADMIN)), ctx.address, ctx.position)
    owned = (await portfolios.portfolios_of(ctx, ctx.owner_id, FIRST)).items
    newest = await orders.orders_of_owner(ctx, ctx.owner_id, PageArgs(first=20), OrderChoice())
    assert (len(owned), len(newest.items)) == (2, 20)
    return World(ctx, admin, [each.id for each in owned], newest.items)


Asking = Callable[[Context, PageArgs], Awaitable[Page[Any]]]


async def paged(ctx: Context, ask: Asking) -> None:
    """Every way to page: the first, the next, the last, the ones before."""
    page = await ask(ctx, FIRST)
    if not ctx.signed_in().is_admin:  # who counts the whole log reads it
        await page.count()
    await ask(ctx, PageArgs(last=10))
    if page.cursors:
        await ask(ctx, PageArgs(first=10, after=page.cursors[-1]))
        await ask(ctx, PageArgs(last=10, before=page.cursors[-1]))


async def refused(services: Services, statements: list[Statement]) -> list[str]:
    """What is wrong with their plans, each with its statement."""
    async with services.database.write() as tx:
        different = {each.sql: each for each in statements}
        found = [(fault, each.sql) for each in different.values() for fault in await faults(tx.connection, each)]
    return [f"{fault}\n{sql}" for fault, sql in found]


A_WEEK_AGO, YESTERDAY = START - timedelta(days=7), START - timedelta(days=1)
ENDED = (OrderStatus.FILLED, OrderStatus.CANCELLED)


async def test_orders_that_work_when_asked_for_then_their_own_index_has_them_in_order(
    services: Services, world: World
) -> None:
    with asked(services) as seen:
        await orders.orders_of_owner(world.ctx, world.ctx.owner_id, FIRST, OrderChoice(statuses=WORKING))
    async with services.database.read() as connection:
        used = await plan(connection, seen[0])
    assert "orders_working_by_owner" in used
    assert "Sort" not in used
    assert "TEMP B-TREE" not in used


def order_choices(portfolio_id: UUID) -> list[OrderChoice]:
    """Each filter alone, and all together."""
    return [
        OrderChoice(),
        OrderChoice(portfolio_id=portfolio_id),
        OrderChoice(symbol="AAPL"),
        OrderChoice(statuses=(OrderStatus.OPEN,)),
        OrderChoice(statuses=(OrderStatus.EXPIRED,)),
        OrderChoice(statuses=WORKING),
        OrderChoice(statuses=ENDED),
        OrderChoice(side=OrderSide.SELL),
        OrderChoice(placed_from=A_WEEK_AGO),
        OrderChoice(placed_to=A_WEEK_AGO),
        OrderChoice(portfolio_id, "AAPL", ENDED, OrderSide.BUY, A_WEEK_AGO, YESTERDAY),
    ]


async def test_orders_when_asked_for_in_any_way_then_no_table_is_scanned(services: Services, world: World) -> None:
    sortings = [OrderSorting(by, way) for by, way in product(OrderOrderField, OrderDirection)]
    with asked(services) as seen:
        for chosen, sorting in product(order_choices(world.ids[0]), sortings):
            await paged(
                world.ctx,
                lambda ctx, args: orders.orders_of_owner(ctx, ctx.owner_id, args, chosen, sorting),  # noqa: B023
            )
            await paged(
                world.ctx,
                lambda ctx, args: orders.orders_of_portfolio(ctx, world.ids[0], args, chosen, sorting),  # noqa: B023
            )
    assert len({each.sql for each in seen}) > 100
    assert await refused(services, seen) == []


async def test_what_belongs_to_a_portfolio_when_asked_for_then_no_table_is_scanned(
    services: Services, world: World
) -> None:
    ctx, (first, second) = world.ctx, world.ids
    held = PositionChoice(), PositionChoice(symbols=("AAPL",)), PositionChoice(open=False)
    moved = TransactionChoice(), TransactionChoice((TransactionKind.DEPOSIT,), A_WEEK_AGO, YESTERDAY)
    with asked(services) as seen:
        await paged(ctx, lambda ctx, args: portfolios.portfolios_of(ctx, ctx.owner_id, args))
        for chosen in held:
            await paged(ctx, lambda ctx, args: positions_of(ctx, first, args, chosen))  # noqa: B023
        for ledger in moved:
            await paged(ctx, lambda ctx, args: portfolios.transactions_of(ctx, first, args, ledger))  # noqa: B023
        await paged(ctx, lambda ctx, args: orders.fills_of_portfolio(ctx, first, args))
        await paged(ctx, lambda ctx, args: orders.fills_of_order(ctx, world.orders[0], args))
        await asyncio.gather(*(portfolios.worth(ctx, each) for each in (first, second)))
        await asyncio.gather(*(portfolios.portfolio(ctx, each) for each in (first, second)))
        await asyncio.gather(*(ctx.load(working_counts, each) for each in (first, second)))
    assert await refused(services, seen) == []


async def test_pages_of_many_when_asked_for_at_once_then_no_table_is_scanned(services: Services, world: World) -> None:
    ctx, many = world.ctx, PageArgs(first=5)
    with asked(services) as seen:
        await asyncio.gather(*(orders.orders_of_portfolio(ctx, each, many, OrderChoice()) for each in world.ids))
        await asyncio.gather(*(orders.fills_of_portfolio(ctx, each, many) for each in world.ids))
        await asyncio.gather(*(positions_of(ctx, each, many, PositionChoice()) for each in world.ids))
        await asyncio.gather(*(portfolios.transactions_of(ctx, each, many, TransactionChoice()) for each in world.ids))
        await asyncio.gather(*(orders.fills_of_order(ctx, each, many) for each in world.orders))
        await asyncio.gather(*(events_of_order(ctx, each, many) for each in world.orders))
    assert len(seen) >= 6
    assert await refused(services, seen) == []


def event_choices(world: World) -> list[EventFilter]:
    """Each filter alone, and some together."""
    one, more = frozenset({EventType.API_KEY_CREATED}), frozenset({EventType.ORDER_PLACED, EventType.SESSION_ENDED})
    return [
        EventFilter(),
        EventFilter(types=one),
        EventFilter(types=more),
        EventFilter(aggregate_type=AggregateType.ORDER, aggregate_id=world.orders[0].id),
        EventFilter(aggregate_type=AggregateType.PORTFOLIO, aggregate_id=world.ids[0]),
        EventFilter(portfolio_id=world.ids[0]),
        EventFilter(portfolio_id=world.ids[0], types=more, since=A_WEEK_AGO, until=YESTERDAY),
        EventFilter(types=more, since=A_WEEK_AGO, until=YESTERDAY),
    ]


async def test_events_when_asked_for_in_any_way_then_the_log_is_not_scanned(services: Services, world: World) -> None:
    with asked(services) as seen:
        for ctx, chosen in product((world.ctx, world.admin), event_choices(world)):
            await paged(ctx, lambda ctx, args: events(ctx, args, chosen))  # noqa: B023
        for chosen in (EventFilter(since=A_WEEK_AGO), EventFilter(aggregate_type=AggregateType.ORDER)):
            await paged(world.ctx, lambda ctx, args: events(ctx, args, chosen))  # noqa: B023
        await paged(world.ctx, lambda ctx, args: events_of_order(ctx, world.orders[0], args))
        await asyncio.gather(*(world.ctx.load(events_by_seq, seq) for seq in (3, 5)))
    # An ADMIN who wants everything gets the log itself, in its order. For a type that is no rare one PostgreSQL looks
    # through it too, as it finds enough of them on the way.
    whole = [each for each in seen if "WHERE" not in each.sql]
    found = await refused(services, [each for each in seen if each not in whole])
    assert [fault for fault in found if not fault.startswith("walk over events_") or "(type = " not in fault] == []


async def test_things_when_asked_for_by_id_then_no_table_is_scanned(services: Services, world: World) -> None:
    ctx = world.ctx
    held = (await positions_of(ctx, world.ids[0], FIRST, PositionChoice())).items
    rows = (await portfolios.transactions_of(ctx, world.ids[0], FIRST, TransactionChoice())).items
    fills = (await orders.fills_of_portfolio(ctx, world.ids[0], FIRST)).items
    with asked(services) as seen:
        await asyncio.gather(*(orders.order(ctx, each.id) for each in world.orders))
        await asyncio.gather(*(position(ctx, each.id) for each in held))
        await asyncio.gather(*(portfolios.transaction(ctx, each.id) for each in rows))
        await asyncio.gather(*(ctx.load(orders.fills_by_id, each.id) for each in fills))
        await user_by_id(ctx, ctx.owner_id)
        await api_keys(ctx, ctx.owner_id)
        await ctx.load(keys_by_id, world.ids[0])
        await candles(ctx, "AAPL", CandleChoice(CandleInterval.ONE_MINUTE, START - timedelta(hours=2), START))
        await candles(ctx, "AAPL", CandleChoice(CandleInterval.ONE_MINUTE))
    assert await refused(services, seen) == []


async def test_trading_when_it_goes_on_then_no_table_is_scanned(services: Services, world: World) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "99.90", "100.10")
    trader = Trader(world.ctx, world.ids[0])
    with asked(services) as seen:
        order = (await trader.place("BUY", "2", limit="100.10", key="once")).value
        await place_order(world.ctx, trader.request("BUY", "2", limit="100.10", key="once"))
        part = await execute_order(services, order.id, order.version, Decimal(1), Decimal(100))
        assert part is not None
        await cancel_order(world.ctx, order.id)
        await orders.every_working_order(services)
        await expire_due(services)
        await resume_due(services)
        await deposit_cash(world.ctx, world.ids[0], Decimal(5), "k")
        await withdraw_cash(world.ctx, world.ids[0], Decimal(5), "l")
    # The broker wants every order that works, once, when it begins.
    everybodys = [each for each in seen if "closed_at IS NULL ORDER BY" in " ".join(each.sql.split())]
    assert await refused(services, [each for each in seen if each not in everybodys]) == []
    assert not [fault for fault in await refused(services, everybodys) if fault.startswith("scan")]


async def test_sign_ins_when_they_come_and_go_then_no_table_is_scanned(services: Services) -> None:
    with asked(services) as seen:
        signed_in = await login(anonymous(services), email_of(9), PASSWORD)
        fresh = await refresh_token(anonymous(services), signed_in.refresh_token)
        ctx = await context_of(services, fresh)
        key = await create_api_key(ctx, "A key", [ApiScope.READ])
        await authenticate(services, key.secret)
        await revoke_api_key(ctx, key.key.id)
        await logout(anonymous(services), fresh.refresh_token)
        await logout_everywhere(ctx)
    assert await refused(services, seen) == []


async def test_notifications_and_alerts_when_asked_for_then_no_table_is_scanned(
    services: Services, world: World
) -> None:
    ctx, many = world.ctx, PageArgs(first=5)
    told = (await notifications_of(ctx, ctx.owner_id, many, NotificationChoice())).items
    raised = (await risk.alerts_of(ctx, world.ids[0], many, risk.AlertChoice())).items
    watched = await market_alerts.market_alerts_of(ctx, ctx.owner_id)
    ctx = await context_of(services, await login(anonymous(services), email_of(4), PASSWORD))
    with asked(services) as seen:
        for only in (False, True):
            noted, breached = NotificationChoice(only), risk.AlertChoice(only)
            await paged(ctx, lambda ctx, args: notifications_of(ctx, ctx.owner_id, args, noted))  # noqa: B023
            await paged(ctx, lambda ctx, args: risk.alerts_of(ctx, world.ids[0], args, breached))  # noqa: B023
            await asyncio.gather(*(risk.alerts_of(ctx, each, many, breached) for each in world.ids))
        await asyncio.gather(*(notification(ctx, each.id) for each in told))
        await asyncio.gather(*(risk.risk_alert(ctx, each.id) for each in raised))
        await asyncio.gather(*(market_alerts.market_alert(ctx, each.id) for each in watched))
        await ctx.load(market_alerts.alerts_by_owner, ctx.owner_id)
        await mark_notifications_read(ctx, [each.id for each in told])
        await acknowledge_risk_alert(ctx, next(each.id for each in raised if each.acknowledged_at is None))
        await market_alerts.delete_market_alert(ctx, watched[0].id)
    assert len(seen) > 20
    assert await refused(services, seen) == []


async def test_what_portfolios_and_instruments_come_with_when_asked_for_then_no_table_is_scanned(
    services: Services, world: World
) -> None:
    ctx = world.ctx
    closed = (await positions_of(ctx, world.ids[0], FIRST, PositionChoice(open=False))).items
    owned = [each for each in await asyncio.gather(*(portfolios.portfolio(ctx, each) for each in world.ids)) if each]
    assert closed
    with asked(services) as seen:
        await asyncio.gather(*(trade_summary(ctx, each) for each in closed))
        await asyncio.gather(*(sentiment(ctx, symbol) for symbol in SYMBOLS))
        await asyncio.gather(*(target_allocations(ctx, each) for each in world.ids))
        await asyncio.gather(*(risk.risk_limits(ctx, each) for each in world.ids))
        await asyncio.gather(*(history(ctx, each, START - timedelta(days=1)) for each in owned))
        await set_target_allocations(ctx, world.ids[0], [("AAPL", Decimal("0.5"))])
        await dead_letters(services, HANDLERS_GIVEN_UP[0])
        services.key_uses.note(world.ids[0], None, START)
        await services.key_uses.write()
    assert await refused(services, seen) == []


async def test_alerts_when_they_go_off_then_only_whom_they_concern_is_looked_up(
    services: Services, world: World
) -> None:
    ctx, analyst = world.ctx, world.admin
    async with services.database.read() as connection:
        rare = "SELECT symbol FROM positions WHERE closed_at IS NULL GROUP BY symbol ORDER BY count(*) LIMIT 1"
        symbol = (await connection.exec_driver_sql(rare)).scalar_one()
    made = (await market_alerts.create_market_alert(ctx, symbol, MarketAlertKind.PRICE_ABOVE, Decimal(1))).value
    with asked(services) as seen:
        assert await market_alerts.trigger_market_alert(services, made.id, Decimal(2))
        assert await market_alerts.arm_market_alert(services, made.id)
        await record_sentiment(analyst, symbol, Decimal("0.9"), Decimal(1), "A desk")
        for kind, handle in (
            (EventType.MARKET_ALERT_TRIGGERED, tell_of_alert),
            (EventType.SENTIMENT_ANALYSIS_COMPLETED, work_into_signal),
            (EventType.POSITION_CLOSED, summarize_trade),
            (EventType.ORDER_EXECUTED, check_limits),
        ):
            async with services.database.write() as tx:
                event = (await read_after(tx.connection, 0, EventFilter(types=frozenset({kind})), 1))[0]
                await handle(services, tx, event)
    # The log is looked through for these events by the test alone.
    handled = [each for each in seen if " events.type IN " not in each.sql]
    # Every twentieth user holds it: so few users PostgreSQL rather reads from end to end.
    found = await refused(services, handled)
    assert [fault for fault in found if not fault.startswith("scan of users")] == []
