"""Someone else's ids answer as those of what there is not, in every query and every loader."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import pytest

from infrastructure.services import Services
from models.enums import RiskLimitKind
from models.errors import Unauthenticated
from models.events import EventFilter
from models.orders import Fill, FillRow, Order
from models.portfolios import Transaction
from models.positions import Position
from models.risk import RiskLimit
from resolvers.accounts.loaders import users_by_id
from resolvers.accounts.queries import user_by_id
from resolvers.context import Context
from resolvers.events.queries import event, events, events_by_seq, events_of_order
from resolvers.orders.queries import (
    OrderChoice,
    fills_by_id,
    fills_of_order,
    fills_of_portfolio,
    order,
    orders_by_id,
    orders_of_owner,
    orders_of_portfolio,
)
from resolvers.paging import PageArgs
from resolvers.portfolios.loaders import (
    portfolios_by_id,
    transactions_by_id,
    worth_by_portfolio,
)
from resolvers.portfolios.queries import (
    TransactionChoice,
    portfolio,
    portfolios_of,
    transaction,
    transactions_of,
    worth,
)
from resolvers.positions.queries import PositionChoice, position, positions_by_id, positions_of
from resolvers.risk.commands import set_risk_limit
from resolvers.risk.loaders import limits_by_id, limits_by_portfolio
from resolvers.risk.queries import current, risk_limit, risk_limits, working_counts
from tests.support.log_race import whole_log
from tests.support.market import D, Market, Trader, stored
from tests.support.people import anonymous

ALL = PageArgs(first=100)


@dataclass
class Belongings:
    """One of everything that a trader has."""

    trader: Trader
    user_id: UUID
    portfolio_id: UUID
    order: Order
    fill: Fill
    position: Position
    transaction: Transaction
    limit: RiskLimit
    seq: int


async def owned(services: Services, email: str) -> Belongings:
    trader = await Trader.with_cash(services, email=email)
    done = await trader.trade("BUY", "1", "100")
    await trader.place("BUY", "1", limit="1")
    limit = (await set_risk_limit(trader.ctx, trader.portfolio_id, RiskLimitKind.MAX_OPEN_ORDERS, D(5))).value
    [fill] = [each for each in await stored(services, FillRow, Fill) if each.order_id == done.id]
    [held] = await trader.positions()
    seq = max(each.seq for each in await whole_log(services.database) if each.owner_id == trader.ctx.owner_id)
    row = (await trader.ledger())[0]
    return Belongings(trader, trader.ctx.owner_id, trader.portfolio_id, done, fill, held, row, limit, seq)


Ask = Callable[[Context, Belongings], Awaitable[Any]]

PAGES: dict[str, Ask] = {
    "portfolios_of": lambda ctx, its: portfolios_of(ctx, its.user_id, ALL),
    "transactions_of": lambda ctx, its: transactions_of(ctx, its.portfolio_id, ALL, TransactionChoice()),
    "orders_of_owner": lambda ctx, its: orders_of_owner(ctx, its.user_id, ALL, OrderChoice()),
    "orders_of_portfolio": lambda ctx, its: orders_of_portfolio(ctx, its.portfolio_id, ALL, OrderChoice()),
    "orders by portfolio": lambda ctx, its: orders_of_owner(
        ctx, ctx.owner_id, ALL, OrderChoice(portfolio_id=its.portfolio_id)
    ),
    "fills_of_order": lambda ctx, its: fills_of_order(ctx, its.order, ALL),
    "fills_of_portfolio": lambda ctx, its: fills_of_portfolio(ctx, its.portfolio_id, ALL),
    "positions_of": lambda ctx, its: positions_of(ctx, its.portfolio_id, ALL, PositionChoice()),
    "events_of_order": lambda ctx, its: events_of_order(ctx, its.order, ALL),
    "events by portfolio": lambda ctx, its: events(ctx, ALL, EventFilter(portfolio_id=its.portfolio_id)),
    "events by aggregate": lambda ctx, its: events(ctx, ALL, EventFilter(aggregate_id=its.position.id)),
    "events by owner": lambda ctx, its: events(ctx, ALL, EventFilter(owner_id=its.user_id)),
}
ONES: dict[str, Ask] = {
    "user_by_id": lambda ctx, its: user_by_id(ctx, its.user_id),
    "portfolio": lambda ctx, its: portfolio(ctx, its.portfolio_id),
    "transaction": lambda ctx, its: transaction(ctx, its.transaction.id),
    "order": lambda ctx, its: order(ctx, its.order.id),
    "position": lambda ctx, its: position(ctx, its.position.id),
    "risk_limit": lambda ctx, its: risk_limit(ctx, its.limit.id),
    "event": lambda ctx, its: event(ctx, its.seq),
}
LOADED: dict[str, tuple[Ask, object]] = {
    "users_by_id": (lambda ctx, its: ctx.load(users_by_id, its.user_id), None),
    "portfolios_by_id": (lambda ctx, its: ctx.load(portfolios_by_id, its.portfolio_id), None),
    "transactions_by_id": (lambda ctx, its: ctx.load(transactions_by_id, its.transaction.id), None),
    "orders_by_id": (lambda ctx, its: ctx.load(orders_by_id, its.order.id), None),
    "fills_by_id": (lambda ctx, its: ctx.load(fills_by_id, its.fill.id), None),
    "positions_by_id": (lambda ctx, its: ctx.load(positions_by_id, its.position.id), None),
    "limits_by_id": (lambda ctx, its: ctx.load(limits_by_id, its.limit.id), None),
    "events_by_seq": (lambda ctx, its: ctx.load(events_by_seq, its.seq), None),
    "worth_by_portfolio": (lambda ctx, its: ctx.load(worth_by_portfolio, its.portfolio_id), None),
    "limits_by_portfolio": (lambda ctx, its: ctx.load(limits_by_portfolio, its.portfolio_id), ()),
    "working_counts": (lambda ctx, its: ctx.load(working_counts, its.portfolio_id), 0),
    "worth": (lambda ctx, its: worth(ctx, its.portfolio_id), None),
    "risk_limits": (lambda ctx, its: risk_limits(ctx, its.portfolio_id), ()),
}


async def two(services: Services) -> tuple[Belongings, Belongings]:
    await Market.open(services)
    return await owned(services, "ada@example.com"), await owned(services, "bob@example.com")


async def test_pages_when_asked_with_someone_elses_ids_then_they_are_empty_and_the_owners_are_not(
    services: Services,
) -> None:
    ada, bob = await two(services)
    for name, ask in PAGES.items():
        mine = await ask(ada.trader.ctx, ada)
        assert mine.items, name
        theirs = await ask(bob.trader.ctx, ada)
        seen = (theirs.items, theirs.cursors, theirs.has_next_page, theirs.has_previous_page, await theirs.count())
        assert seen == ([], [], False, False, 0), name


async def test_objects_when_asked_with_someone_elses_ids_then_there_are_none_and_the_owner_has_them(
    services: Services,
) -> None:
    ada, bob = await two(services)
    for name, ask in ONES.items():
        assert await ask(ada.trader.ctx, ada) is not None, name
        assert await ask(bob.trader.ctx, ada) is None, name


async def test_loaders_when_asked_with_someone_elses_ids_then_they_load_what_they_do_for_a_missing_one(
    services: Services,
) -> None:
    ada, bob = await two(services)
    for name, (ask, nothing) in LOADED.items():
        assert await ask(ada.trader.ctx, ada) != nothing, name
        assert await ask(bob.trader.ctx, ada) == nothing, name


async def test_loaders_when_asked_for_mine_and_theirs_together_then_only_mine_are_there(services: Services) -> None:
    ada, bob = await two(services)
    for mine, theirs in ((ada, bob), (bob, ada)):
        found = await mine.trader.ctx.load_many(orders_by_id, [theirs.order.id, mine.order.id])
        assert found == [None, mine.order]
        found_positions = await mine.trader.ctx.load_many(positions_by_id, [theirs.position.id, mine.position.id])
        assert found_positions == [None, mine.position]


async def test_measures_when_the_limit_is_someone_elses_then_nothing_of_theirs_shows(services: Services) -> None:
    ada, bob = await two(services)
    assert await current(ada.trader.ctx, ada.limit) == D(1)
    assert await current(bob.trader.ctx, ada.limit) == D(0)


@pytest.mark.parametrize("asked", ["pages", "ones", "loaded"])
async def test_queries_when_nobody_is_signed_in_then_they_answer_none_or_unauthenticated(
    services: Services, asked: str
) -> None:
    ada, _ = await two(services)
    asks = {"pages": PAGES, "ones": ONES, "loaded": {name: ask for name, (ask, _) in LOADED.items()}}[asked]
    for name, ask in asks.items():
        try:
            found = await ask(anonymous(services), ada)
        except Unauthenticated:
            assert asked != "ones", name
        else:
            assert found is None, name
