"""The trading floor: the market, the broker and the chores of one process, put together."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from infrastructure.background import Background
from infrastructure.broker import Desk, PaperBroker
from infrastructure.candles import CandleKeeper
from infrastructure.feed import Feed, FeedRunner, SimulatedFeed
from infrastructure.replay import ReplayFeed
from infrastructure.services import Services
from models.catalogue import CATALOGUE
from models.marketdata import Instrument
from resolvers.alerts.watch import AlertWatch
from resolvers.marketdata.imports import replayed_quotes
from resolvers.marketdata.queries import clock_of, instruments_in
from resolvers.orders.commands import drop_order, execute_order, expire_due, move_stops, trigger_order
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
        self.candles = CandleKeeper(services, feed, lambda: self.feed.term)
        self.broker = PaperBroker(
            services.relay, services.quotes, desk(services), lambda: self.feed.term, services.clock.now
        )
        self.alerts = AlertWatch(services, lambda: self.feed.term)
        self.feed.listeners += [self.broker.note, self.candles.on_quotes, self.alerts.note]
        self._chores = Background("chores", self._keep_house)

    async def start(self) -> None:
        """Open: there are quotes when it returns. Raises `ImportRefused` for a replay that can't be played."""
        if self._replay is not None and self._services.settings.replay is not None:
            self._replay.play(await replayed_quotes(self._services, self._services.settings.replay))
        await self.feed.start()
        await self.broker.start()
        await self.candles.start()
        await self.alerts.start()
        self._chores.start()

    async def stop(self) -> None:
        """Close; working orders stay as they are."""
        await asyncio.gather(self._chores.stop(), self.alerts.stop(), self.candles.stop(), self.broker.stop())
        await self.feed.stop()

    async def _keep_house(self) -> None:
        while True:
            if self.feed.holding:
                await expire_due(self._services)
                await resume_due(self._services)
            await asyncio.sleep(CHORES_S)


def desk(services: Services) -> Desk:
    """What a broker reports to."""
    return Desk(
        working=partial(every_working_order, services),
        execute=partial(execute_order, services),
        trigger=partial(trigger_order, services),
        move_stops=partial(move_stops, services),
        drop=partial(drop_order, services),
        instrument=_instruments(services),
        is_open=lambda instrument: clock_of(services, instrument.asset_class).open,
    )


def _instruments(services: Services) -> Callable[[str], Awaitable[Instrument]]:
    known: dict[str, Instrument] = {}

    async def instrument(symbol: str) -> Instrument:
        if symbol not in known:
            async with services.database.read() as connection:
                known[symbol] = (await instruments_in(connection, [symbol]))[symbol]
        return known[symbol]

    return instrument
