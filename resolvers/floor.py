"""The trading floor: the market, the broker and the chores of one process, put together."""

import asyncio

from infrastructure.background import Background
from infrastructure.broker import Desk, PaperBroker
from infrastructure.candles import CandleKeeper
from infrastructure.feed import Feed, FeedRunner, SimulatedFeed
from infrastructure.replay import ReplayFeed
from infrastructure.services import Services
from models.catalogue import CATALOGUE
from models.orders import Order
from resolvers.marketdata.imports import replayed_quotes
from resolvers.orders.commands import drop_order, execute_order, expire_due
from resolvers.orders.queries import every_working_order
from resolvers.risk.commands import resume_due

CHORES_S = 1.0


class TradingFloor:
    """The market (simulated or replayed), the paper broker on it, and what falls due: expiries and resumptions.

    Every process has one; the one that holds the feed's lease works, the others stand by.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        settings = services.settings
        self._replay = None if settings.replay is None else ReplayFeed(settings.replay_speed)
        feed: Feed = self._replay or SimulatedFeed(settings.market_seed, CATALOGUE)
        self.feed = FeedRunner(services, feed)
        self.candles = CandleKeeper(services, feed, lambda: self.feed.holding)
        self.broker = PaperBroker(
            services.relay, services.quotes, _desk(services), lambda: self.feed.holding, services.clock.now
        )
        self.feed.listeners += [self.broker.on_quotes, self.candles.on_quotes]
        self._chores = Background("chores", self._keep_house)

    async def start(self) -> None:
        """Open: there are quotes when it returns. Raises `ImportRefused` for a replay that can't be played."""
        if self._replay is not None and self._services.settings.replay is not None:
            self._replay.play(await replayed_quotes(self._services, self._services.settings.replay))
        await self.feed.start()
        await self.broker.start()
        await self.candles.start()
        self._chores.start()

    async def stop(self) -> None:
        """Close; working orders stay as they are."""
        await self._chores.stop()
        await self.candles.stop()
        await self.broker.stop()
        await self.feed.stop()

    async def _keep_house(self) -> None:
        while True:
            if self.feed.holding:
                await expire_due(self._services)
                await resume_due(self._services)
            await asyncio.sleep(CHORES_S)


def _desk(services: Services) -> Desk:
    async def working() -> list[Order]:
        return await every_working_order(services)

    return Desk(
        working=working,
        execute=lambda order_id, version, quantity, price: execute_order(services, order_id, version, quantity, price),
        drop=lambda order_id, reason: drop_order(services, order_id, reason),
    )
