"""What can be done with orders, a verb each."""

from resolvers.orders.commands.cancel import cancel_order, drop_order
from resolvers.orders.commands.execute import execute_order
from resolvers.orders.commands.expire import expire_due
from resolvers.orders.commands.place import place_order

__all__ = ["cancel_order", "drop_order", "execute_order", "expire_due", "place_order"]
