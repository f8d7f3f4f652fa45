"""Volume: consistent books and a whole log, the same from the same seed, all of it or nothing."""

import random
from collections import Counter
from datetime import timedelta

import pytest
from sqlalchemy import func, select

from infrastructure.log import VERSIONS
from infrastructure.services import Services
from models.enums import OrderStatus, OrderType, TimeInForce
from models.errors import Refused
from models.orders import Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow
from models.positions import Position, PositionRow
from resolvers.accounts.commands import login
from resolvers.orders.commands import cancel_order, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.seed import Volume, email_of, seed_volume
from resolvers.seed.batch import Batch
from resolvers.seed.clock import Then
from resolvers.seed.people import join
from resolvers.seed.trading import Trading
from tests.support.checks import RULES
from tests.support.clock import START
from tests.support.market import row_counts, stored
from tests.support.people import anonymous, context_of, counts
from tests.support.rebuild import verify

SMALL = Volume(users=5, orders=400, password="made-up-password")


def story(seed: int) -> list[bytes]:
    """What happens to two users in fifty orders."""
    then, source, batch = Then(START), random.Random(seed), Batch()  # noqa: S311 - repeatable on purpose
    portfolios = [each for number in (1, 2) for each in join(batch, number, then, source, "hash")]
    made = Trading(portfolios, then, source, RULES, seed=1).orders(START, START + timedelta(days=30), 50, 20)
    batches = [batch, *(each for _, each in made)]
    return [event.digest for each in batches for event in each.events]


async def test_volume_when_seeded_then_the_log_and_the_tables_say_the_same(services: Services) -> None:
    told: list[int] = []
    events = await seed_volume(services, SMALL, told.append)
    await verify(services.database)
    rows = await row_counts(services)
    users, sessions, tokens = await counts(services)
    assert (users, sessions, tokens, rows["orders"], rows["events"], told) == (5, 5, 15, 400, events, [400])
    async with services.database.read() as connection:
        kept = await connection.execute(select(func.count()).select_from(VERSIONS))
    assert kept.scalar_one() == events


async def test_volume_when_seeded_then_orders_met_every_fate_and_nobody_is_in_debt(services: Services) -> None:
    await seed_volume(services, SMALL)
    orders: list[Order] = await stored(services, OrderRow, Order)
    kinds = Counter(order.status for order in orders)
    assert all(kinds[each] for each in OrderStatus if each not in (OrderStatus.REJECTED, OrderStatus.PARTIALLY_FILLED))
    assert {order.type for order in orders} == {OrderType.MARKET, OrderType.LIMIT, OrderType.STOP}
    assert {order.time_in_force for order in orders} == {TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD}
    portfolios: list[Portfolio] = await stored(services, PortfolioRow, Portfolio)
    assert len(portfolios) == 6
    assert min(portfolio.cash - portfolio.reserved_cash for portfolio in portfolios) > 0
    positions: list[Position] = await stored(services, PositionRow, Position)
    assert {position.closed_at is None for position in positions} == {True, False}


async def test_volume_when_seeded_then_its_users_sign_in_and_trade_like_anybody(services: Services) -> None:
    await seed_volume(services, SMALL)
    ctx = await context_of(services, await login(anonymous(services), email_of(1), "made-up-password"))
    orders: list[Order] = await stored(services, OrderRow, Order)
    order = next(each for each in orders if each.owner_id == ctx.owner_id and each.status is OrderStatus.OPEN)
    asked = {name: getattr(order, name) for name in PlaceOrder.__dataclass_fields__}
    # A GTD order's request says when it ends; of a DAY order that is the broker's to say.
    if order.time_in_force is not TimeInForce.GTD:
        asked["expire_at"] = None
    assert (await place_order(ctx, PlaceOrder(**asked))).value == order
    assert (await cancel_order(ctx, order.id)).value.status is OrderStatus.CANCELLED
    await verify(services.database)


def test_volume_when_made_up_from_the_same_seed_then_it_is_the_same() -> None:
    assert story(7) == story(7)
    assert not set(story(7)) & set(story(8))


def test_volume_when_one_portfolio_trades_for_ever_then_its_cash_lasts() -> None:
    then, source, batch = Then(START), random.Random(1), Batch()  # noqa: S311 - repeatable on purpose
    trading = Trading(join(batch, 1, then, source, "hash"), then, source, RULES, seed=1)
    spare = []
    for _ in trading.orders(START, START + timedelta(days=30), 4_000, 50):
        [portfolio] = trading.portfolios
        spare.append(portfolio.cash - portfolio.reserved_cash)
    assert min(spare) > 0


async def test_volume_when_it_is_there_already_then_it_is_refused_and_nothing_is_written(services: Services) -> None:
    await seed_volume(services, SMALL)
    before = await row_counts(services)
    with pytest.raises(Refused, match="has volume already"):
        await seed_volume(services, Volume(users=1, orders=1))
    assert await row_counts(services) == before


async def test_volume_when_it_is_broken_off_then_nothing_is_there(services: Services) -> None:
    before = await row_counts(services)

    def stop(_done: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await seed_volume(services, SMALL, stop)
    assert await row_counts(services) == before
    assert await counts(services) == [0, 0, 0]
    await verify(services.database)
