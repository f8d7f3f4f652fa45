"""Watches the market for the alerts that users have made."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from infrastructure.background import Background, each_apart
from infrastructure.services import Services
from models.candles import opening
from models.enums import CandleInterval, EventType, MarketAlertKind
from models.events import EventFilter, RecordedEvent
from models.facts import market_alert_of
from models.market_alerts import MINUTES, MarketAlert, left, reached, watched
from models.marketdata import Quote
from resolvers.alerts.market_alerts import (
    arm_market_alert,
    every_market_alert,
    stored_market_alert,
    trigger_market_alert,
)
from resolvers.marketdata.loaders import CandleKey, candles_in

CHANGED = EventFilter(types=frozenset({EventType.MARKET_ALERT_CREATED, EventType.MARKET_ALERT_DELETED}))
MINUTE = CandleInterval.ONE_MINUTE
LATE = timedelta(seconds=5)
"""How long after its end a minute may not be stored yet."""


class AlertWatch:
    """Holds quotes against market alerts, in the process that runs the feed; the others, whose `term` is 0, stand by.

    It knows the alerts by the table when a term begins, and by the log from then on.
    """

    def __init__(self, services: Services, term: Callable[[], int]) -> None:
        self._services, self._term = services, term
        self._alerts: dict[str, dict[UUID, MarketAlert]] = defaultdict(dict)
        self._read_in = 0
        """The term in which the alerts were read."""
        self._missed = False
        self._fresh: dict[str, Quote] = {}
        self._news = asyncio.Event()
        self._volumes: dict[str, list[Decimal]] = {}
        self._minute: datetime | None = None
        self._deaf: Callable[[], None] | None = None
        self._watching = Background("market alerts", self._watch)

    async def start(self) -> None:
        """Begin."""
        self._deaf = self._services.relay.listen(CHANGED, self._hear, self._forget)
        self._watching.start()

    async def stop(self) -> None:
        """End."""
        if self._deaf is not None:
            self._deaf()
        await self._watching.stop()

    async def note(self, quotes: Sequence[Quote]) -> None:
        """A listener of the feed: to be looked at soon, without keeping it waiting. The latest of a symbol wins."""
        self._fresh.update((quote.symbol, quote) for quote in quotes)
        self._news.set()

    def _hear(self, event: RecordedEvent) -> None:
        alert, _ = market_alert_of(event)
        if event.type is EventType.MARKET_ALERT_CREATED:
            # One that the table has told of may have gone off since it was made.
            self._alerts[alert.symbol].setdefault(alert.id, alert)
        else:
            self._alerts[alert.symbol].pop(alert.id, None)

    async def _forget(self) -> None:
        """Alerts may have been made or deleted that it was not told of."""
        self._missed = True

    async def _watch(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            quotes, self._fresh = list(self._fresh.values()), {}
            await self.on_quotes(quotes)

    async def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """The market moved: alerts that are reached go off, and those that are left may do so again."""
        term = self._term()
        if not term:
            return
        if self._missed or term != self._read_in:
            # What is missed while they are read has them read once more; and so has a database that does not answer.
            self._read_in, self._missed = 0, False
            self._alerts.clear()
            for alert in await every_market_alert(self._services):
                self._alerts[alert.symbol][alert.id] = alert
            self._read_in = term
        watched_now = [quote for quote in quotes if self._alerts[quote.symbol]]
        await self._read_volumes([quote.symbol for quote in watched_now])
        seen = [(alert, quote) for quote in watched_now for alert in self._alerts[quote.symbol].values()]
        await each_apart("hold the market against an alert", seen, self._look)

    async def _look(self, seen: tuple[MarketAlert, Quote]) -> bool:
        alert, quote = seen
        value = watched(alert.kind, quote, self._volumes.get(alert.symbol, []))
        if value is None:
            return False
        if alert.armed and reached(alert.kind, alert.threshold, value):
            # It may have gone off elsewhere: then it has to be left before it can do so again.
            after = await trigger_market_alert(self._services, alert.id, value) or await stored_market_alert(
                self._services, alert.id
            )
        elif not alert.armed and left(alert.kind, alert.threshold, value):
            after = await arm_market_alert(self._services, alert.id)
        else:
            return False
        if after is None:
            self._alerts[alert.symbol].pop(alert.id, None)
        elif alert.id in self._alerts[alert.symbol]:  # it may have been deleted meanwhile
            self._alerts[alert.symbol][alert.id] = after
        return True

    async def _read_volumes(self, symbols: Sequence[str]) -> None:
        """Those of the last whole minutes, of instruments that are watched for them; once a minute."""
        minute = opening(MINUTE, self._services.clock.now() - LATE)
        if minute != self._minute:
            self._volumes, self._minute = {}, minute
        spikes = [symbol for symbol in symbols if symbol not in self._volumes and self._spikes(symbol)]
        if not spikes:
            return
        keys = [CandleKey(symbol, MINUTE, None, minute, MINUTES + 1) for symbol in spikes]
        for symbol, candles in zip(spikes, await candles_in(self._services.database, keys), strict=True):
            self._volumes[symbol] = [candle.volume for candle in candles]

    def _spikes(self, symbol: str) -> bool:
        return any(alert.kind is MarketAlertKind.VOLUME_SPIKE for alert in self._alerts[symbol].values())
