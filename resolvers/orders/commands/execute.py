"""Booking a fill: order, fill, position, cash and events in one transaction."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.broker import NOT_WAITING
from infrastructure.database import Transaction as UnitOfWork
from infrastructure.services import Services
from models import facts, ledger
from models.enums import EventType
from models.lifecycle import cancelled, commission, filled, is_due
from models.money import exact
from models.orders import Fill, Order
from models.portfolios import Portfolio
from models.positions import Netting, Position, net
from models.valuation import mark, value
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
        fill = _fill(services, order, quantity, price, rate, now)
        tx.record(facts.of_order(EventType.ORDER_EXECUTED, order, None, fill))
        if order.working and order.time_in_force in NOT_WAITING:
            order = cancelled(order, NOT_WAITING[order.time_in_force], now)
            tx.record(facts.of_order(EventType.ORDER_CANCELLED, order, None))
        await store.save(tx, order)
        await store.add_fill(tx, fill)
        portfolio = store.reserved(portfolio, before, order)
        await _book_cash_and_position(tx, services, portfolio, fill, now)
    return order


@exact
def _fill(services: Services, order: Order, quantity: Decimal, price: Decimal, rate: Decimal, now: datetime) -> Fill:
    return Fill(
        id=services.ids.new(),
        order_id=order.id,
        portfolio_id=order.portfolio_id,
        owner_id=order.owner_id,
        symbol=order.symbol,
        side=order.side,
        quantity=quantity,
        price=price,
        commission=commission(quantity * price, rate),
        order_version=order.version,
        executed_at=now,
    )


async def _book_cash_and_position(
    tx: UnitOfWork, services: Services, portfolio: Portfolio, fill: Fill, now: datetime
) -> None:
    held = {position.symbol: position for position in await open_positions(tx, portfolio.id)}
    netting = net(held.get(fill.symbol), fill, services.ids.new())
    ids = (services.ids.new(), services.ids.new())
    moved, booked = ledger.post(_with_profit(portfolio, netting), ledger.of_fill(fill, ids), now)
    await portfolios.save(tx, moved)
    await portfolios.book(tx, booked)
    if netting.touched:
        await positions.save(tx, netting.touched)
    if netting.opened:
        await positions.open_one(tx, netting.opened)
    changed = [position for position in (netting.touched, netting.opened) if position]
    await _record_positions(tx, services, moved, {**held, **{each.symbol: each for each in changed}}, changed, fill)
    tx.record(facts.of_cash(moved, booked, None, now))


@exact
def _with_profit(portfolio: Portfolio, netting: Netting) -> Portfolio:
    return replace(portfolio, realized_pnl=portfolio.realized_pnl + netting.realized_pnl, version=portfolio.version + 1)


async def _record_positions(
    tx: UnitOfWork,
    services: Services,
    portfolio: Portfolio,
    held: dict[str, Position],
    changed: list[Position],
    fill: Fill,
) -> None:
    """Each position's event shows what it was worth just then: read years later, it means the same."""
    quotes = await quotes_in(tx.connection, sorted(held))
    stale_after = timedelta(milliseconds=services.settings.quote_stale_after_ms)
    worth = value(portfolio, held.values(), quotes, fill.executed_at, stale_after)
    for position in changed:
        seen = mark(position, quotes.get(position.symbol), fill.executed_at, worth.total_value)
        tx.record(facts.of_position(position, seen, fill))
