"""A market whose prices a test sets, and a trader on it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import event, func, select

from infrastructure.feed import store_quotes
from infrastructure.rows import columns, read_all, table
from infrastructure.services import Services
from models.enums import OrderSide, OrderType, TimeInForce
from models.marketdata import Quote
from models.orders import FillRow, Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow, Transaction, TransactionRow
from models.positions import Position, PositionRow
from resolvers.context import Context
from resolvers.marketdata.commands import seed_catalogue
from resolvers.orders.commands import execute_order, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.portfolios.commands import create_portfolio
from resolvers.requests import Done
from tests.support.people import context_of, signed_up

D = Decimal


@dataclass
class Market:
    """Quotes by hand, in the table and in memory."""

    services: Services

    @classmethod
    async def open(cls, services: Services) -> "Market":
        """With the catalogue; no prices yet."""
        await seed_catalogue(services)
        return cls(services)

    async def quote(
        self,
        symbol: str,
        bid: str,
        ask: str,
        *,
        last: str | None = None,
        size: str = "1000",
        previous: str | None = None,
    ) -> Quote:
        """Set a price."""
        quote = Quote(
            symbol=symbol,
            bid=D(bid),
            bid_size=D(size),
            ask=D(ask),
            ask_size=D(size),
            last=D(last or bid),
            open=None,
            high=None,
            low=None,
            previous_close=None if previous is None else D(previous),
            volume=D(0),
            as_of=self.services.clock.now(),
        )
        known = self.services.quotes.get(symbol)
        if known is not None and known.as_of >= quote.as_of:
            # The table only takes what is newer.
            quote = replace(quote, as_of=known.as_of.replace(microsecond=known.as_of.microsecond + 1))
        await store_quotes(self.services.database, [quote])
        self.services.quotes.put([quote])
        return quote


@dataclass
class Trader:
    """A signed-in user with a portfolio."""

    ctx: Context
    portfolio_id: Any

    @classmethod
    async def with_cash(cls, services: Services, cash: str = "100000", email: str = "ada@example.com") -> "Trader":
        """A new one."""
        ctx = await context_of(services, await signed_up(services, email))
        portfolio = (await create_portfolio(ctx, "Main", None, D(cash))).value
        return cls(ctx, portfolio.id)

    async def place(
        self,
        side: str,
        quantity: str,
        symbol: str = "AAPL",
        limit: str | None = None,
        *,
        key: str | None = None,
        tif: TimeInForce = TimeInForce.GTC,
    ) -> Done[Order]:
        """Place an order: at the market, or at a limit."""
        return await place_order(self.ctx, self.request(side, quantity, symbol, limit, key=key, tif=tif))

    def request(
        self,
        side: str,
        quantity: str,
        symbol: str = "AAPL",
        limit: str | None = None,
        *,
        key: str | None = None,
        tif: TimeInForce = TimeInForce.GTC,
    ) -> PlaceOrder:
        """The request of such an order."""
        return PlaceOrder(
            portfolio_id=self.portfolio_id,
            symbol=symbol,
            side=OrderSide(side),
            type=OrderType.MARKET if limit is None else OrderType.LIMIT,
            quantity=D(quantity),
            limit_price=None if limit is None else D(limit),
            time_in_force=tif,
            client_order_id=key,
        )

    async def trade(self, side: str, quantity: str, price: str, symbol: str = "AAPL") -> Order:
        """Place a limit order and have it filled whole, at its limit."""
        order = (await self.place(side, quantity, symbol, price)).value
        return await self.fill(order, quantity, price)

    async def fill(self, order: Order, quantity: str, price: str) -> Order:
        """An execution of the order as it stands."""
        done = await execute_order(self.ctx.services, order.id, order.version, D(quantity), D(price))
        assert done is not None
        return done

    async def portfolio(self) -> Portfolio:
        """As it is stored."""
        found: Portfolio
        [found] = [
            each for each in await stored(self.ctx.services, PortfolioRow, Portfolio) if each.id == self.portfolio_id
        ]
        return found

    async def positions(self) -> list[Position]:
        """As they are stored, in the order of their opening."""
        found = await stored(self.ctx.services, PositionRow, Position)
        return sorted(
            (each for each in found if each.portfolio_id == self.portfolio_id), key=lambda each: each.opened_at
        )

    async def ledger(self) -> list[Transaction]:
        """As it is stored, in its order."""
        found = await stored(self.ctx.services, TransactionRow, Transaction)
        return sorted((each for each in found if each.portfolio_id == self.portfolio_id), key=lambda each: each.number)


async def stored(services: Services, row: Any, kind: Any) -> list[Any]:
    """Everything in a table."""
    async with services.database.read() as connection:
        return await read_all(connection, kind, select(*columns(row, kind)))


async def row_counts(services: Services) -> dict[str, int]:
    """How many orders, fills, positions and ledger rows there are, and where the log stands."""
    found = {}
    async with services.database.read() as connection:
        for each in (OrderRow, FillRow, PositionRow, TransactionRow):
            count = await connection.execute(select(func.count()).select_from(table(each)))
            found[table(each).name] = count.scalar_one()
        found["events"] = (await connection.exec_driver_sql("SELECT seq FROM log_head")).scalar_one()
    return found


@contextmanager
def statements(services: Services, *, writer: bool = True) -> Iterator[list[str]]:
    """The SQL that runs meanwhile, on either engine (or the reading one alone) or the bare driver."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        seen.append(statement)

    def note_bare(statement: str, _given: Any) -> None:
        seen.append(statement)

    used = [services.database.reader, *([services.database.writer] if writer else [])]
    engines = [each.sync_engine for each in used]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    heard = services.database.bare.heard
    heard.append(note_bare)
    try:
        yield seen
    finally:
        heard.remove(note_bare)
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
