"""A market that the test moves, the paper broker on it, and a trader: orders from their placing to their end."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from infrastructure.broker import PaperBroker
from infrastructure.services import Services
from models.enums import OrderSide, OrderType, TimeInForce
from models.marketdata import Quote
from models.orders import Order, OrderRow
from resolvers.floor import desk
from resolvers.orders.commands import place_order
from resolvers.orders.inputs import PlaceOrder
from tests.support.market import Market, Trader, stored

D = Decimal


class Floor:
    """A market in AAPL, a broker that knows what is stored, and a trader with 100,000."""

    def __init__(self, market: Market, trader: Trader) -> None:
        self.market, self.trader, self.services = market, trader, market.services
        self.broker = self.another()

    def another(self, term: Callable[[], int] = lambda: 1) -> PaperBroker:
        """A broker with no memory."""
        services = self.services
        return PaperBroker(services.relay, services.quotes, desk(services), term, services.clock.now)

    @classmethod
    async def open(cls, services: Services) -> "Floor":
        """At a last price of 100."""
        floor = cls(await Market.open(services), await Trader.with_cash(services))
        await floor.quote("100.00")
        return floor

    async def quote(self, last: str, size: str = "1000") -> None:
        """The last price, a cent wide on both sides; the broker is told."""
        await self.broker.load()
        await self.broker.on_quotes([await self.unheard(last, size)])

    async def unheard(self, last: str, size: str = "1000") -> Quote:
        """The same, and the broker is not told."""
        price = D(last)
        return await self.market.quote("AAPL", str(price - D("0.01")), str(price + D("0.01")), last=last, size=size)

    def request(self, side: str, kind: OrderType, quantity: str = "10", **more: Any) -> PlaceOrder:
        """Of AAPL, GTC if not said otherwise; prices as text."""
        prices: dict[str, Any] = {
            key: D(value) if type(value) is str and key.split("_")[0] in ("limit", "stop", "trail") else value
            for key, value in more.items()
        }
        return PlaceOrder(
            portfolio_id=self.trader.portfolio_id,
            symbol="AAPL",
            side=OrderSide(side),
            type=kind,
            quantity=D(quantity),
            **({"time_in_force": TimeInForce.GTC} | prices),
        )

    async def place(self, side: str, kind: OrderType, quantity: str = "10", **more: Any) -> Order:
        """Place such a request."""
        return (await place_order(self.trader.ctx, self.request(side, kind, quantity, **more))).value

    async def now(self, order: Order) -> Order:
        """The order as it is stored."""
        [found] = [each for each in await stored(self.services, OrderRow, Order) if each.id == order.id]
        assert isinstance(found, Order)
        return found
