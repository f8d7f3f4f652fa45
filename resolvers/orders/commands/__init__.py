"""What can be done with orders, a verb each."""

from resolvers.orders.commands.cancel import cancel_all_orders, cancel_order, drop_order
from resolvers.orders.commands.close import close_position
from resolvers.orders.commands.execute import execute_order
from resolvers.orders.commands.expire import expire_due
from resolvers.orders.commands.place import place_order
from resolvers.orders.commands.replace import ReplaceOrder, replace_order
from resolvers.orders.commands.trigger import move_stops, trigger_order

__all__ = [
    "ReplaceOrder",
    "cancel_all_orders",
    "cancel_order",
    "close_position",
    "drop_order",
    "execute_order",
    "expire_due",
    "move_stops",
    "place_order",
    "replace_order",
    "trigger_order",
]
