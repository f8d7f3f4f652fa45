"""Booking a fill: order, fill, position, cash and events in one transaction."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.broker import NOT_WAITING
from infrastructure.database import Transaction as UnitOfWork
from infrastructure.services import Services
from models import facts
from models.book import shortfall
from models.booking import book, events_of, fill_of
from models.enums import EventType
from models.lifecycle import cancelled, filled, is_due
from models.orders import Fill, Order
from models.portfolios import Portfolio
from resolvers.marketdata.queries import quotes_in
from resolvers.orders import store
from resolvers.orders.inputs import rules_of
from resolvers.portfolios import store as portfolios
from resolvers.positions import store as positions
from resolvers.positions.store import open_positions

TOO_DEAR = "The price rose above what was held back, and the buying power does not cover it"


async def execute_order(
    services: Services, order_id: UUID, version: int, quantity: Decimal, price: Decimal
) -> Order | None:
    """Book an execution of the order as it was at `version`; none, and nothing written, if it has changed since.

    Likewise if it still waits for its trigger, or its time in force has ended, also before it has been expired. What an
    IOC order leaves is cancelled in the same transaction. A buy at more than it holds back is cancelled instead where
    the buying power does not cover the rest of it at that price.
    """
    async with services.database.write() as tx:
        portfolio = await portfolios.lock(tx, store.portfolio_of(order_id), None)
        before = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or before is None or before.version != version or not before.at_market:
            return None
        now, rate = services.clock.now(), services.settings.commission_rate
        if is_due(before, now):
            return None
        held_back = before.reserve_price
        if held_back is not None and price > held_back:
            held_back = price  # by what is left, too
            if await _too_dear(tx, services, portfolio, before, price):
                return await _dropped(tx, portfolio, before, TOO_DEAR, now)
        order = filled(replace(before, reserve_price=held_back), quantity, price, rate, now)
        fill = fill_of(order, quantity, price, rate, services.ids.new())
        tx.record(facts.of_order(EventType.ORDER_EXECUTED, order, None, fill))
        if order.working and order.time_in_force in NOT_WAITING:
            order = cancelled(order, NOT_WAITING[order.time_in_force], now)
            tx.record(facts.of_order(EventType.ORDER_CANCELLED, order, None))
        await store.save(tx, order)
        await store.add_fill(tx, fill)
        portfolio = store.reserved(portfolio, before, order)
        await _book_cash_and_position(tx, services, portfolio, fill)
    return order


async def _too_dear(tx: UnitOfWork, services: Services, portfolio: Portfolio, order: Order, price: Decimal) -> bool:
    """Whether what is left of a buy would cost more than it holds back, and more than there is besides."""
    book_now = await store.book(tx, portfolio, [order.symbol])
    return shortfall(book_now, order, price, rules_of(services.settings)) is not None


async def _dropped(tx: UnitOfWork, portfolio: Portfolio, before: Order, reason: str, now: datetime) -> Order:
    after = cancelled(before, reason, now)
    tx.record(facts.of_order(EventType.ORDER_CANCELLED, after, None))
    await store.change(tx, portfolio, before, after)
    return after


async def _book_cash_and_position(tx: UnitOfWork, services: Services, portfolio: Portfolio, fill: Fill) -> None:
    held = {position.symbol: position for position in await open_positions(tx, portfolio.id)}
    new = services.ids.new
    booked = book(portfolio, held, fill, (new(), new(), new()))
    await portfolios.save(tx, booked.portfolio)
    await portfolios.book(tx, booked.rows)
    if booked.touched:
        await positions.save(tx, booked.touched)
    if booked.opened:
        await positions.open_one(tx, booked.opened)
    # Each position's event shows what it was worth just then: read years later, it means the same.
    quotes = await quotes_in(tx.connection, sorted(booked.held))
    stale_after = timedelta(milliseconds=services.settings.quote_stale_after_ms)
    tx.record(*events_of(booked, fill, quotes, stale_after))
