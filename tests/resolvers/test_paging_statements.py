"""A list's statements are compiled once for all that is asked for alike, whatever the words are."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest

import infrastructure.statements
from infrastructure.services import Services
from models.catalogue import CATALOGUE
from models.enums import EventType, OrderSide, OrderStatus, Role, TransactionKind
from models.events import EventFilter
from models.facts import OrderAsOf
from models.marketdata import Instrument, InstrumentRow
from models.orders import Order
from resolvers import paging
from resolvers.accounts.commands import grant_role
from resolvers.context import Context
from resolvers.events.queries import events
from resolvers.marketdata.commands import seed_catalogue
from resolvers.marketdata.queries import InstrumentChoice, instruments
from resolvers.orders.queries import OrderChoice, fills_of_order, orders_of_portfolio
from resolvers.paging import Listing, Page, PageArgs
from resolvers.portfolios.queries import TransactionChoice, transactions_of
from resolvers.positions.queries import PositionChoice, positions_of
from tests.support.market import Market, Trader
from tests.support.people import ADDRESS, anonymous, context_of, signed_up

SYMBOLS = sorted(listing.symbol for listing in CATALOGUE)
FEW = PageArgs(first=2)


@contextmanager
def compilations() -> Iterator[list[Any]]:
    """What is compiled meanwhile."""
    compiled: list[Any] = []
    compile_ = infrastructure.statements._compile

    def heard(select: Any, dialect: Any) -> Any:
        compiled.append(select)
        return compile_(select, dialect)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("infrastructure.statements._compile", heard)
        yield compiled


@pytest.fixture
async def ada(services: Services) -> Trader:
    """Has bought twice and sold once."""
    market = await Market.open(services)
    for symbol in ("AAPL", "MSFT"):
        await market.quote(symbol, "99.99", "100.00", last="100")
    ada = await Trader.with_cash(services)
    for symbol in ("AAPL", "MSFT"):
        await ada.trade("BUY", "10", "100", symbol)
    await ada.trade("SELL", "10", "100", "MSFT")
    return ada


Ask = Callable[[Context, int], Awaitable[Page[Any]]]
STATUSES = list(OrderStatus)
KINDS = list(TransactionKind)
TYPES = list(EventType)


def lists(ada: Trader, order: Order) -> dict[str, Ask]:
    """Each way to choose of a list by what may be anything, with another choice for each number from 2 on."""
    mine, now = ada.portfolio_id, ada.ctx.now
    as_of = {name: getattr(order, name) for name in Order.__dataclass_fields__}
    return {
        "text": lambda ctx, n: instruments(ctx, FEW, InstrumentChoice(search=SYMBOLS[n][1:])),
        "symbols": lambda ctx, n: instruments(ctx, FEW, InstrumentChoice(symbols=tuple(SYMBOLS[:n]))),
        "symbol": lambda ctx, n: orders_of_portfolio(ctx, mine, FEW, OrderChoice(symbol=SYMBOLS[n - 2])),
        "statuses": lambda ctx, n: orders_of_portfolio(
            ctx, mine, FEW, OrderChoice(statuses=(OrderStatus.FILLED, *STATUSES[:n]), side=OrderSide.BUY)
        ),
        "times": lambda ctx, n: orders_of_portfolio(
            ctx, mine, FEW, OrderChoice(placed_from=now - timedelta(n), placed_to=now + timedelta(n))
        ),
        "positions": lambda ctx, n: positions_of(ctx, mine, FEW, PositionChoice(symbols=tuple(SYMBOLS[n - 2 :]))),
        "ledger": lambda ctx, n: transactions_of(ctx, mine, FEW, TransactionChoice(kinds=tuple(KINDS[: 2 + n % 3]))),
        "fills": lambda ctx, n: fills_of_order(ctx, OrderAsOf(**as_of | {"version": n}), FEW),
        "events": lambda ctx, n: events(ctx, FEW, EventFilter(types=frozenset(TYPES[:n]))),
    }


async def test_list_when_it_is_asked_for_by_ever_other_words_then_its_statement_is_compiled_once(
    services: Services, ada: Trader
) -> None:
    order = await ada.trade("BUY", "1", "100")
    await services.relay.stop()  # it reads on its own account
    for name, ask in lists(ada, order).items():
        sizes = set()
        with compilations() as compiled:
            for number in range(2, 9):
                ctx = Context(services, ada.ctx.viewer, ADDRESS, services.relay.position)
                sizes.add(len((await ask(ctx, number)).items))
        # None where a test before has asked for it.
        assert (name, len(compiled) <= 1) == (name, True)
        assert max(sizes) > 0, name


async def test_orders_when_the_same_statuses_are_said_otherwise_then_they_are_the_same_page(
    services: Services, ada: Trader
) -> None:
    ctx = Context(services, ada.ctx.viewer, ADDRESS, services.relay.position)
    said: list[tuple[OrderStatus, ...]] = [
        (OrderStatus.FILLED, OrderStatus.OPEN),
        (OrderStatus.OPEN, OrderStatus.FILLED, OrderStatus.OPEN),
    ]

    first, second = [orders_of_portfolio(ctx, ada.portfolio_id, FEW, OrderChoice(statuses=each)) for each in said]

    assert await first is await second
    assert len((await first).items) == 2


async def test_events_when_an_admin_chooses_types_then_those_of_everybody_are_found(
    services: Services, ada: Trader
) -> None:
    signed_in = await signed_up(services, "root@example.com")
    await grant_role(services, "root@example.com", Role.ADMIN)
    root = await context_of(services, signed_in)

    page = await events(
        root, PageArgs(first=50), EventFilter(types=frozenset({EventType.ORDER_EXECUTED, EventType.POSITION_CLOSED}))
    )

    assert [each.type for each in page.items] == [*[EventType.ORDER_EXECUTED] * 3, EventType.POSITION_CLOSED]
    assert {each.owner_id for each in page.items} == {ada.ctx.owner_id}


async def test_list_when_too_many_of_its_statements_are_kept_then_the_one_that_was_used_longest_ago_goes(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seed_catalogue(services)
    await services.relay.stop()  # likewise
    monkeypatch.setattr(paging, "STATEMENTS_MAX", 2)
    catalogue = Listing(InstrumentRow, Instrument, ("symbol",), owned=False)
    forwards, behind, backwards = PageArgs(first=1), PageArgs(first=1, after=paging.encode(["AAPL"])), PageArgs(last=1)

    async def compiled(args: PageArgs) -> int:
        with compilations() as seen:
            await catalogue.page(anonymous(services), args)
        return len(seen)

    assert [await compiled(args) for args in (forwards, behind, forwards, backwards)] == [1, 1, 0, 1]
    assert [await compiled(args) for args in (forwards, backwards, behind)] == [0, 0, 1]
    assert [await compiled(args) for args in (backwards, behind, forwards)] == [0, 0, 1]
