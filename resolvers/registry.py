"""Who reacts to what: every handler of events there is, on one screen."""

from infrastructure.bus import Bus, Handler
from infrastructure.services import Services
from models.enums import EventType as On
from resolvers.orders import handlers as orders
from resolvers.positions import handlers as positions

HANDLERS = (
    Handler("order-audit", frozenset({On.ORDER_PLACED}), orders.audit_order),
    Handler(orders.ORDER_PLACED, frozenset({On.ORDER_PLACED}), orders.tell_of_order),
    Handler(orders.ORDER_EXECUTED, frozenset({On.ORDER_EXECUTED}), orders.confirm_execution),
    Handler(positions.POSITION_CLOSED, frozenset({On.POSITION_CLOSED}), positions.summarize_trade),
)


def bus_of(services: Services) -> Bus:
    """The bus of a process, with every handler."""
    bus = Bus(services)
    for handler in HANDLERS:
        bus.subscribe(handler)
    return bus
