"""What follows when an order was placed or executed."""

from datetime import tzinfo
from functools import partial

import structlog

from infrastructure.database import Transaction
from infrastructure.services import Services
from models import notices
from models.accounts import User
from models.events import RecordedEvent
from models.facts import fill_of, order_of
from models.money import CURRENCY, text
from models.notifications import Notice
from resolvers.alerts.store import tell_owner

ORDER_PLACED, ORDER_EXECUTED = "order-placed", "order-executed"

audit = structlog.get_logger("audit")


def audit_order(_services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """A line in the process's log for whoever watches that: who placed what, and where it stands in the event log.

    Written when it is committed that the event is dealt with, so that there is never a second one.
    """
    if tx.replays:
        return
    order = order_of(event)
    line = partial(
        audit.info,
        "order placed",
        seq=event.seq,
        order=str(order.id),
        portfolio=str(order.portfolio_id),
        actor=None if event.actor_id is None else str(event.actor_id),
        side=order.side,
        quantity=text(order.quantity),
        symbol=order.symbol,
    )
    tx.afterwards.append(line)


async def tell_of_order(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Tell its owner that the order was accepted."""
    order = order_of(event)

    def words(zone: tzinfo, user: User) -> Notice | None:
        return notices.order_placed(order, zone) if user.notify_on_fill else None

    await tell_owner(services, tx, event, ORDER_PLACED, words)


async def confirm_execution(services: Services, tx: Transaction, event: RecordedEvent) -> None:
    """Send the order's owner the confirmation of its execution."""
    order, fill = order_of(event), fill_of(event)
    if fill is None:
        raise ValueError(f"event {event.seq} tells of an execution without its fill")

    def words(zone: tzinfo, user: User) -> Notice | None:
        return notices.order_executed(order, fill, CURRENCY, zone) if user.notify_on_fill else None

    await tell_owner(services, tx, event, ORDER_EXECUTED, words)
