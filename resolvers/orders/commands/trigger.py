"""Triggering a stop: it goes to the market, or is rejected if what it would cost is not there any more."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import ColumnElement, Numeric, cast, literal, update

from infrastructure.services import Services
from models import facts
from models.book import Book, Proposal, Rules, shortfall, worst_price
from models.columns import Exact
from models.enums import EventType, OrderSide, OrderStatus
from models.lifecycle import is_due, rejected, triggered
from models.money import text
from models.orders import Order
from resolvers.orders import store
from resolvers.orders.inputs import rules_of
from resolvers.portfolios.store import lock


async def trigger_order(services: Services, order_id: UUID, version: int) -> Order | None:
    """Trigger a waiting order as it was at `version`; none, and nothing written, if it has changed since.

    Likewise if its time in force has ended, also before it has been expired.
    """
    async with services.database.write() as tx:
        portfolio = await lock(tx, store.portfolio_of(order_id), None)
        before = await store.get(tx, order_id) if portfolio else None
        if portfolio is None or before is None or before.version != version or before.status is not OrderStatus.PENDING:
            return None
        rules, now = rules_of(services.settings), services.clock.now()
        if is_due(before, now):
            return None
        book = await store.book(tx, portfolio, [before.symbol])
        price = _reserve_price(book, before, rules)
        lacking = None if price is None else shortfall(book, before, price, rules)
        if lacking is None:
            after = triggered(before, price, rules.commission_rate, now)
            tx.record(facts.of_order(EventType.ORDER_TRIGGERED, after, None))
        else:
            needed, there = text(lacking.required), text(lacking.available)
            after = rejected(before, f"Triggered without funds: it needs {needed} of {there} buying power.", now)
            tx.record(facts.of_order(EventType.ORDER_REJECTED, after, None))
        await store.change(tx, portfolio, before, after)
    return after


def _reserve_price(book: Book, order: Order, rules: Rules) -> Decimal | None:
    if order.side is OrderSide.SELL:
        return None
    proposal = Proposal(order.symbol, order.side, order.type, order.remaining_quantity, order.limit_price)
    return worst_price(proposal, book.quotes.get(order.symbol), rules) or order.reserve_price


async def move_stops(services: Services, orders: list[Order]) -> bool:
    """Keep the marks and stops of trailing orders that still wait. Ticks are not events, and neither is this.

    False if some of them are not as they were given, or their marks stood better already: those are left as they are,
    so that whoever moves them with what they knew, no stop ever moves against its owner.
    """
    moved = 0
    async with services.database.write() as tx:
        for order in orders:
            found = await tx.execute(
                update(store.ORDERS)
                .where(
                    store.ORDERS.c.id == order.id,
                    store.ORDERS.c.version == order.version,
                    store.ORDERS.c.status == OrderStatus.PENDING,
                    _better(order),
                )
                .values(high_water_mark=order.high_water_mark, stop_price=order.stop_price)
            )
            moved += found.rowcount
    return moved == len(orders)


def _better(order: Order) -> ColumnElement[bool]:
    """Whether the order's mark is better for its owner than the stored one (as numbers: SQLite has them as text)."""
    stored, mark = cast(store.ORDERS.c.high_water_mark, Numeric), cast(literal(order.high_water_mark, Exact()), Numeric)
    return mark < stored if order.side is OrderSide.BUY else mark > stored
