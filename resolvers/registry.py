"""Who reacts to what: every handler of events there is, on one screen."""

from infrastructure.bus import Bus, Handler
from infrastructure.services import Services
from models.enums import EventType as On
from resolvers.alerts import handlers as alerts
from resolvers.orders import handlers as orders
from resolvers.positions import handlers as positions
from resolvers.risk import handlers as risk

HANDLERS = (
    Handler("order-audit", frozenset({On.ORDER_PLACED}), orders.audit_order),
    Handler(orders.ORDER_PLACED, frozenset({On.ORDER_PLACED}), orders.tell_of_order),
    Handler(orders.ORDER_EXECUTED, frozenset({On.ORDER_EXECUTED}), orders.confirm_execution),
    Handler(positions.POSITION_CLOSED, frozenset({On.POSITION_CLOSED}), positions.summarize_trade),
    Handler("limits-checked", frozenset({On.ORDER_EXECUTED, On.RISK_LIMIT_CHANGED}), risk.check_limits, batch=1),
    Handler(risk.RISK_LIMIT_BREACHED, frozenset({On.RISK_LIMIT_BREACHED}), risk.raise_alert, batch=1),
    Handler(risk.TRADING_PAUSED, frozenset({On.TRADING_PAUSED}), risk.tell_of_pause),
    Handler(alerts.MARKET_ALERT, frozenset({On.MARKET_ALERT_TRIGGERED}), alerts.tell_of_alert),
    Handler(alerts.SENTIMENT, frozenset({On.SENTIMENT_ANALYSIS_COMPLETED}), alerts.work_into_signal),
)


def bus_of(services: Services) -> Bus:
    """The bus of a process, with every handler."""
    bus = Bus(services)
    for handler in HANDLERS:
        bus.subscribe(handler)
    return bus
