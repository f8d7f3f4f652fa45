"""Booking a fill: order, fill, position, cash and events in one transaction."""

from datetime import timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.broker import NOT_WAITING
from infrastructure.database import Transaction as UnitOfWork
from infrastructure.services import Services
from models import facts
from models.booking import book, events_of, fill_of
from models.enums import EventType
from models.lifecycle import cancelled, filled, is_due
from models.orders import Fill, Order
from models.portfolios import Portfolio
from resolvers.marketdata.queries import quotes_in
from resolvers.orders import store
from resolvers.portfolios import store as portfolios
from resolvers.positions import store as positions
from resolvers.positions.store import open_positions


async def execute_order(
    services: Services, order_id: UUID, version: int, quantity: Decimal, price: Decimal
) -> Order | None:
    """Book an execution of the order as it was at `version`; none, and nothing written, if it has changed since.

    Likewise if it still waits for its trigger, or its time in force has ended, also before it has been expired. What an
    IOC order leaves is cancelled in the same transaction.
    """
    async with services.database.write() as tx:
        portfolio = await portfolios.lock(tx, store.portfolio_of(order_id), None)
        before = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or before is None or before.version != version or not before.at_market:
            return None
        now, rate = services.clock.now(), services.settings.commission_rate
        if is_due(before, now):
            return None
        order = filled(before, quantity, price, rate, now)
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
