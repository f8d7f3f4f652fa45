import asyncio
import sqlite3
from decimal import Decimal
from typing import Any

import asyncpg
import pytest
from sqlalchemy import bindparam, select

from infrastructure.database import Database
from infrastructure.rows import columns, read_all, table, values
from infrastructure.services import Services
from infrastructure.statements import Among, Statement
from models.accounts import Session, SessionRow, User, UserRow
from models.enums import OrderStatus, OrderType
from models.events import EventRow, RecordedEvent
from models.marketdata import Instrument, InstrumentRow, Quote, QuoteRow
from models.orders import Fill, FillRow, Order, OrderRow
from models.portfolios import Portfolio, PortfolioRow, Transaction, TransactionRow
from models.positions import Position, PositionRow
from tests.support.market import Market, Trader

ORDERS, INSTRUMENTS = table(OrderRow), table(InstrumentRow)
KINDS: list[tuple[Any, Any]] = [
    (UserRow, User),
    (SessionRow, Session),
    (InstrumentRow, Instrument),
    (QuoteRow, Quote),
    (PortfolioRow, Portfolio),
    (TransactionRow, Transaction),
    (OrderRow, Order),
    (FillRow, Fill),
    (PositionRow, Position),
    (EventRow, RecordedEvent),
]


async def test_rows_when_read_on_the_bare_driver_then_they_are_what_sqlalchemy_reads_to_the_type(
    services: Services,
) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    ada = await Trader.with_cash(services)
    await ada.trade("BUY", "10", "100.00")
    await ada.place("BUY", "3", limit="90")
    for row, kind in KINDS:
        statement = select(*columns(row, kind)).order_by(*table(row).primary_key)
        async with services.database.read() as connection:
            expected = await read_all(connection, kind, statement)
        found = [kind(*each) for each in await services.database.rows(Statement(statement))]
        assert found == expected
        assert found
        assert [_types(each) for each in found] == [_types(each) for each in expected]


def _types(item: Any) -> list[type]:
    return [type(value) for value in values(item).values()]


async def test_statement_when_it_is_asked_with_many_keys_and_with_none_then_its_text_stays_the_same(
    services: Services,
) -> None:
    await Market.open(services)
    heard: list[str] = []
    services.database.bare.heard.append(lambda sql, _given: heard.append(sql))
    symbols = Statement(select(INSTRUMENTS.c.symbol).where(Among(INSTRUMENTS.c.symbol, "symbols")).order_by("symbol"))

    found = [
        await services.database.rows(symbols, symbols=given) for given in ([], ["AAPL"], ["TSLA", "AAPL", "'", "NOPE"])
    ]

    assert found == [[], [("AAPL",)], [("AAPL",), ("TSLA",)]]
    assert len({sql for sql in heard if "instruments" in sql}) == 1  # the relay reads meanwhile, too


async def test_statement_when_part_of_it_is_always_the_same_then_only_the_rest_is_given(services: Services) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    ada, bob = await Trader.with_cash(services), await Trader.with_cash(services, email="bob@example.com")
    for each in (ada, bob):
        await each.trade("BUY", "10", "100.00")
        await each.place("BUY", "3", limit="90")
    working = Statement(
        select(ORDERS.c.status, ORDERS.c.quantity, ORDERS.c.owner_id)
        .where(
            ORDERS.c.status.in_([OrderStatus.OPEN, OrderStatus.PENDING]),
            ORDERS.c.type == OrderType.LIMIT,
            Among(ORDERS.c.owner_id, "owners"),
        )
        .order_by(ORDERS.c.owner_id)
        .limit(bindparam("size"))
    )
    owners = sorted([ada.ctx.owner_id, bob.ctx.owner_id])

    found = [await services.database.rows(working, owners=owners, size=size) for size in (2, 1)]

    assert found[0] == [(OrderStatus.OPEN, Decimal(3), owner) for owner in owners]
    assert found[1] == found[0][:1]
    with pytest.raises(KeyError, match="size"):
        await services.database.rows(working, owners=owners)


async def test_among_when_the_values_are_of_any_type_then_each_is_bound_as_its_column_is(services: Services) -> None:
    market = await Market.open(services)
    await market.quote("AAPL", "99.99", "100.00", last="100")
    ada = await Trader.with_cash(services)
    order = await ada.trade("BUY", "10", "100.00")
    for name in ("id", "status", "quantity", "placed_at", "version", "symbol"):
        statement = Statement(select(ORDERS.c.id).where(Among(ORDERS.c[name], "given")))
        assert await services.database.rows(statement, given=[getattr(order, name)] * 2) == [(order.id,)]


async def test_rows_when_there_are_more_readers_than_connections_then_all_are_answered(services: Services) -> None:
    await Market.open(services)
    symbol = Statement(select(INSTRUMENTS.c.symbol).where(INSTRUMENTS.c.symbol == bindparam("symbol")))

    asked = [services.database.rows(symbol, symbol="AAPL") for _ in range(50)]

    assert await asyncio.gather(*asked) == [[("AAPL",)]] * 50
    assert len(services.database.bare._idle) <= services.settings.reader_pool
    assert services.database.used["bare"] == 0


async def test_rows_when_a_statement_writes_then_the_database_refuses_it(database: Database) -> None:
    with pytest.raises((asyncpg.PostgresError, sqlite3.Error), match=r"(?i)read-?only"):
        await database.bare.fetch("DELETE FROM users", [])
