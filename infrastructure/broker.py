"""The broker: what takes orders to a market and brings their executions back."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID

import structlog

from infrastructure.background import Background, stop_all
from infrastructure.database import DatabaseUnavailable, OutcomeUnknown
from infrastructure.quotes import QuoteBoard
from infrastructure.relay import Relay
from models.enums import AggregateType, TimeInForce
from models.events import EventFilter
from models.facts import order_of
from models.marketdata import Instrument, Quote
from models.matching import Touch, match, priority
from models.orders import Order
from models.triggers import reached, trailed

NOT_WAITING = {
    TimeInForce.IOC: "Immediate or cancel: nothing at its price",
    TimeInForce.FOK: "Fill or kill: not all of it could be filled at once",
}
"""What does not wait for another quote, and why it is cancelled."""
TRAILED_MAX = 2
"""How often stops are moved for one quote: again where somebody else has changed an order meanwhile."""

logger = structlog.get_logger(__name__)


class Broker(Protocol):
    """Takes working orders to a market."""

    async def start(self) -> None:
        """Begin with every order that is working."""
        ...

    async def stop(self) -> None:
        """Stop; working orders stay as they are."""
        ...


@dataclass(frozen=True, slots=True)
class Desk:
    """What the broker is given at composition: the use cases that it reports to."""

    working: Callable[[], Awaitable[list[Order]]]
    execute: Callable[[UUID, int, Decimal, Decimal], Awaitable[Order | None]]
    """Book an execution of the order as it was at that version; none if it has changed since, or its time is over."""
    trigger: Callable[[UUID, int], Awaitable[Order | None]]
    """Take the waiting order as it was at that version to the market; none if it has changed since."""
    move_stops: Callable[[list[Order]], Awaitable[bool]]
    """Keep where trailing stops stand now; whether that is so of all of them. One that has changed is left as it is."""
    drop: Callable[[UUID, int, str], Awaitable[Order | None]]
    """Cancel the order as it was at that version; none if it has changed since."""
    instrument: Callable[[str], Awaitable[Instrument]]
    is_open: Callable[[Instrument], bool]
    """Whether the instrument can be traded at this hour."""


class PaperBroker:
    """Fills orders against the market's quotes: at the touch, for no more than its size, by price and then by time.

    It learns of orders from the log, so that it misses none and needs no memory of its own over a restart. Only the
    process that leads matches, and in a new `term` it reads the orders anew; the others, whose term is 0, stand by.
    While an instrument's market is closed its quotes move nothing.
    """

    def __init__(
        self, relay: Relay, quotes: QuoteBoard, desk: Desk, term: Callable[[], int], now: Callable[[], datetime]
    ) -> None:
        self._relay, self._quotes, self._desk, self._term, self._now = relay, quotes, desk, term, now
        self._orders: dict[str, dict[UUID, Order]] = defaultdict(dict)
        self._told: dict[str, Quote] = {}
        self._touches: dict[str, Touch] = {}
        self._read_in = 0
        """The term in which the orders were read: where trailing stops are is in the table, not in the log."""
        self._one_at_a_time = asyncio.Lock()
        self._fresh: dict[str, Quote] = {}
        self._news = asyncio.Event()
        self._tasks = [Background("paper broker", self._follow), Background("paper broker's market", self._watch)]

    async def start(self) -> None:
        """Begin with every order that is working."""
        for task in self._tasks:
            task.start()

    async def stop(self) -> None:
        """Stop; working orders stay as they are."""
        await stop_all(self._tasks)

    async def note(self, quotes: Sequence[Quote]) -> None:
        """The market moved: to be dealt with soon, without keeping the feed waiting. The latest of a symbol wins."""
        self._fresh.update((quote.symbol, quote) for quote in quotes)
        self._news.set()

    async def _watch(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            quotes, self._fresh = list(self._fresh.values()), {}
            await self.on_quotes(quotes)

    async def on_quotes(self, quotes: Sequence[Quote]) -> None:
        """The market moved: stops follow it and trigger, and the whole size is there again."""
        async with self._one_at_a_time:
            await self._take_over()
            await self._trail(
                [quote for quote in quotes if self._orders[quote.symbol] and await self._open(quote.symbol)]
            )
            for quote in quotes:
                self._told[quote.symbol] = quote
                self._touches.pop(quote.symbol, None)
                await self._match(quote.symbol)

    async def _take_over(self) -> None:
        """Read all anew where this process leads, and others may have done so since it has."""
        term = self._term()
        if term and term != self._read_in:
            await self.load()
        self._read_in = term

    @property
    def _leads(self) -> bool:
        """Whether this process leads, and knows the orders as they are."""
        term = self._term()
        return term != 0 and term == self._read_in

    async def _trail(self, quotes: Sequence[Quote]) -> None:
        for _ in range(TRAILED_MAX):
            moved = await self._moved(quotes) if self._leads else []
            if not moved:
                return
            if await self._desk.move_stops(moved):
                for order in moved:
                    self._orders[order.symbol][order.id] = order
                return
            await self.load()

    async def _moved(self, quotes: Sequence[Quote]) -> list[Order]:
        """The orders whose stops follow these quotes, as they are then."""
        moved: list[Order] = []
        for quote in quotes:
            tick = (await self._desk.instrument(quote.symbol)).tick_size
            for order in self._orders[quote.symbol].values():
                after = trailed(order, quote, tick)
                if after is not order:
                    moved.append(after)
        return moved

    async def load(self) -> None:
        """Take every order that is working, as it is now."""
        self._orders.clear()
        for order in await self._desk.working():
            self._orders[order.symbol][order.id] = order

    async def _follow(self) -> None:
        place = self._relay.position
        async with self._one_at_a_time:
            term = self._term()
            await self.load()
            self._read_in = term
            for symbol in list(self._orders):
                await self._deal_with(symbol)
        orders = self._relay.follow(place, EventFilter(aggregate_type=AggregateType.ORDER))
        async with contextlib.aclosing(orders) as events:
            async for event in events:
                order = order_of(event)
                async with self._one_at_a_time:
                    if self._take(order):
                        await self._take_over()
                        await self._deal_with(order.symbol)

    def _take(self, order: Order) -> bool:
        """Keep what is newest of an order; whether there is something to match anew."""
        known = self._orders[order.symbol].get(order.id)
        if known is not None and known.version >= order.version:
            return False
        if order.working:
            self._orders[order.symbol][order.id] = order
            return True
        self._orders[order.symbol].pop(order.id, None)
        return False

    async def _deal_with(self, symbol: str) -> None:
        """Match what came from elsewhere than from a quote; its stop may not have seen the latest one."""
        touch = await self._touch(symbol)
        if touch is not None:
            await self._trail([touch.quote])
        await self._match(symbol)

    async def _match(self, symbol: str) -> None:
        orders = self._orders[symbol]
        if not self._leads or not orders:
            return
        touch = await self._touch(symbol)
        if touch is not None:
            for order in sorted([each for each in orders.values() if reached(each, touch.quote)], key=priority):
                self._keep(order, await self._reported(order, self._desk.trigger(order.id, order.version)))
            while not await self._book(orders, touch):
                pass  # some size came back: others may have it
        for order in [each for each in orders.values() if each.at_market and each.time_in_force in NOT_WAITING]:
            await self._reported(order, self._desk.drop(order.id, order.version, NOT_WAITING[order.time_in_force]))
            orders.pop(order.id, None)

    async def _book(self, orders: dict[UUID, Order], touch: Touch) -> bool:
        """Have every match booked; false if an order did not take its part of the touch, which is free again."""
        executions = match(orders.values(), touch)
        for place, execution in enumerate(executions):
            order = execution.order
            booking = self._desk.execute(order.id, order.version, execution.quantity, execution.price)
            after = await self._reported(order, booking)
            self._keep(order, after)
            if after is None or after.filled_quantity == order.filled_quantity:
                # Those behind it are matched anew, as if it had not been there.
                touch.give_back(executions[place:])
                return False
        return True

    async def _reported(self, order: Order, report: Awaitable[Order | None]) -> Order | None:
        """What came of a report. An order that can't be dealt with is left aside: it must not stop the others."""
        try:
            return await report
        except (DatabaseUnavailable, OutcomeUnknown):
            raise
        except Exception:
            logger.exception("an order can't be dealt with and is left aside", order_id=str(order.id))
            return None

    def _keep(self, before: Order, after: Order | None) -> None:
        """What came of an order; one that had changed meanwhile is brought back by the log as it is now."""
        if after is not None and after.working:
            self._orders[after.symbol][after.id] = after
        else:
            self._orders[before.symbol].pop(before.id, None)

    async def _touch(self, symbol: str) -> Touch | None:
        """What is left at the touch, in whole lots; none while there is no fresh quote or the market is closed.

        It is of the quote that the feed told of last; only before the first one is memory asked.
        """
        touch, quote = self._touches.get(symbol), self._told.get(symbol) or self._quotes.get(symbol)
        if touch is None and quote is not None:
            lot = (await self._desk.instrument(symbol)).lot_size
            touch = self._touches[symbol] = Touch.of(quote, lot)
        if touch is None or self._quotes.stale(touch.quote, self._now()) or not await self._open(symbol):
            return None
        return touch

    async def _open(self, symbol: str) -> bool:
        return self._desk.is_open(await self._desk.instrument(symbol))
