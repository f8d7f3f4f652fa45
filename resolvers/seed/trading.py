"""A year of made-up trading: orders of every fate, booked by the same rules as anybody's."""

import heapq
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import count
from uuid import UUID

from infrastructure.ids import Ids
from infrastructure.rows import values
from models import facts
from models.book import Rules
from models.booking import book, events_of, fill_of
from models.catalogue import CATALOGUE, Listing
from models.enums import EventType, OrderSide, OrderStatus, OrderType, TimeInForce
from models.lifecycle import cancelled, expired, filled, is_due, reserve, triggered
from models.marketdata import Quote
from models.money import ZERO, to_step, whole_steps
from models.orders import Order
from models.portfolios import Portfolio
from models.positions import Position, day_of
from models.triggers import TRIGGERED_TYPES, reached
from resolvers.orders.commands.cancel import BY_CALLER
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.store import FILLS, ORDERS, reserved
from resolvers.portfolios.store import TRANSACTIONS
from resolvers.positions.store import POSITIONS
from resolvers.seed.batch import Batch
from resolvers.seed.clock import Then
from resolvers.seed.parts import parts
from resolvers.seed.people import ledger_rows
from resolvers.seed.prices import DailyPrices

BUY, SELL = OrderSide.BUY, OrderSide.SELL
FAVOURITES = 8
"""Instruments that one portfolio trades."""
WORKING_MAX = 40
"""Orders that wait in one portfolio."""
STALE_AFTER = timedelta(days=1)
INSTANT = timedelta(milliseconds=20)
"""Between an order and its fills."""
SIZES = (200, 500, 1_000, 2_000, 5_000)
"""What an order is worth, about."""
KEPT_FREE = 4
"""How many times what it costs has to be there for a buy."""
WAITS, SELLS, STOPS, LIMITED, WHOLE, CROSSES = 0.35, 0.45, 0.5, 0.8, 0.8, 0.03
"""How often an order waits, sells what is held, stops; of a filled one: has a limit, is whole, crosses zero."""
PARTS = 3
AWAY = [Decimal(percent) / 100 for percent in range(4, 26)]
"""How far from the market an order waits."""
WAITED_MINUTES = (5, 60 * 24 * 60)
GOOD_TILL = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTC, TimeInForce.GTD)


@dataclass(slots=True)
class _Account:
    """A portfolio as it stands, and what it trades."""

    portfolio: Portfolio
    listings: list[Listing]
    held: dict[str, Position] = field(default_factory=dict)
    working: int = 0


class Trading:
    """Trading in some portfolios, repeatable from `source`. An order's row comes when it has ended, or at the end."""

    def __init__(self, portfolios: list[Portfolio], then: Then, source: random.Random, rules: Rules, seed: int) -> None:
        self._then, self._source, self._rules = then, source, rules
        self._ids, self._prices = Ids(then, source), DailyPrices(seed)
        self._accounts = [_Account(each, source.sample(CATALOGUE, FAVOURITES)) for each in portfolios]
        self._waiting: list[tuple[datetime, int, _Account, Order, str]] = []
        self._numbers = count(1)
        self._batch = Batch()

    def orders(self, start: datetime, end: datetime, orders: int, size: int) -> Iterator[tuple[int, Batch]]:
        """So many orders at equal distances, in batches of `size`; with each how many there were until then."""
        step = (end - start) / max(orders, 1)
        for number in range(orders):
            self._until(start + number * step)
            self._one()
            if (number + 1) % size == 0:
                yield number + 1, self._taken()
        self._until(end)
        for _, _, _, order, request_hash in self._waiting:
            self._ended(order, request_hash)
        for account in self._accounts:
            self._batch.rows[POSITIONS] += [values(position) for position in account.held.values()]
        yield orders, self._taken()

    @property
    def portfolios(self) -> list[Portfolio]:
        """As they stand."""
        return [account.portfolio for account in self._accounts]

    def _taken(self) -> Batch:
        batch, self._batch = self._batch, Batch()
        return batch

    def _until(self, moment: datetime) -> None:
        """What falls due before then: an order that waits is triggered, cancelled, or expires."""
        while self._waiting and self._waiting[0][0] <= moment:
            due, _, account, order, request_hash = heapq.heappop(self._waiting)
            self._then.moment, account.working = due, account.working - 1
            quote = self._quote(_LISTINGS[order.symbol])
            if is_due(order, due):
                order = self._changed(account, order, expired(order, due), EventType.ORDER_EXPIRED)
            elif reached(order, quote) and order.side is SELL and self._holds(account, order):
                order = self._changed(
                    account, order, triggered(order, None, self._rules.commission_rate, due), EventType.ORDER_TRIGGERED
                )
                order = self._execute(account, order, order.quantity, quote.bid)
            else:
                order = self._changed(
                    account, order, cancelled(order, BY_CALLER, due), EventType.ORDER_CANCELLED, order.owner_id
                )
            self._ended(order, request_hash)
        self._then.moment = moment

    def _one(self) -> None:
        """An order by somebody, more often by the first than by the last."""
        account = self._accounts[int(len(self._accounts) * self._source.random() ** 2)]
        listing = self._source.choice(account.listings)
        quote = self._quote(listing)
        quantity = whole_steps(self._source.choice(SIZES) / quote.last, listing.lot_size) or listing.lot_size
        free = account.portfolio.cash - account.portfolio.reserved_cash
        can_buy = free > KEPT_FREE * quantity * quote.ask
        long = [symbol for symbol, position in account.held.items() if position.quantity > 0]
        if not can_buy and long:
            listing = _LISTINGS[self._source.choice(long)]
            quantity = account.held[listing.symbol].quantity
        if self._maybe(WAITS) and can_buy and account.working < WORKING_MAX:
            self._rest(account, listing, quantity)
        else:
            self._trade(account, listing, quantity, can_buy=can_buy)

    def _trade(self, account: _Account, listing: Listing, quantity: Decimal, *, can_buy: bool) -> None:
        """An order that is filled at once, whole or in parts."""
        held = account.held.get(listing.symbol)
        side = SELL if held and held.quantity > 0 and (self._maybe(SELLS) or not can_buy) else BUY
        if held and held.quantity * (-1 if side is BUY else 1) > 0 and not self._maybe(CROSSES):
            quantity = min(quantity, abs(held.quantity))
        price = self._quote(listing).touch(side)
        kind = OrderType.LIMIT if self._maybe(LIMITED) else OrderType.MARKET
        limit = price if kind is OrderType.LIMIT else None
        request = PlaceOrder(account.portfolio.id, listing.symbol, side, kind, quantity, limit)
        order = self._place(account, request, limit or price * (1 + self._rules.market_order_margin))
        for part in parts(quantity, 1 if self._maybe(WHOLE) else PARTS, listing.lot_size):
            self._then.moment += INSTANT
            order = self._execute(account, order, part, price)
        self._ended(order, request.hash)

    def _rest(self, account: _Account, listing: Listing, quantity: Decimal) -> None:
        """An order that waits, for hours or weeks."""
        held, now = account.held.get(listing.symbol), self._then.moment
        side, kind, away = BUY, OrderType.LIMIT, -self._source.choice(AWAY)
        if held and held.quantity > 0 and self._maybe(SELLS):
            side, quantity = SELL, min(quantity, held.quantity)
            kind, away = (OrderType.STOP, away) if self._maybe(STOPS) else (kind, -away)
        price = to_step(self._quote(listing).last * (1 + away), listing.tick_size)
        waits = timedelta(minutes=self._source.randint(*WAITED_MINUTES))
        good_till = self._source.choice(GOOD_TILL)
        request = PlaceOrder(
            account.portfolio.id,
            listing.symbol,
            side,
            kind,
            quantity,
            price if kind is OrderType.LIMIT else None,
            price if kind is OrderType.STOP else None,
            time_in_force=good_till,
            expire_at=now + waits if good_till is TimeInForce.GTD else None,
        )
        order = self._place(account, request, price)
        account.working += 1
        due = min(order.expire_at or now + waits, now + waits)
        heapq.heappush(self._waiting, (due, next(self._numbers), account, order, request.hash))

    def _maybe(self, chance: float) -> bool:
        return self._source.random() < chance

    def _place(self, account: _Account, request: PlaceOrder, worst: Decimal) -> Order:
        order_id, now, rate = self._ids.new(), self._then.moment, self._rules.commission_rate
        price = worst if request.side is BUY else None
        order = Order(
            **{name: getattr(request, name) for name in _ASKED},
            id=order_id,
            owner_id=account.portfolio.owner_id,
            client_order_id=str(order_id),
            filled_quantity=ZERO,
            filled_notional=ZERO,
            high_water_mark=None,
            average_fill_price=None,
            status=OrderStatus.PENDING if request.type in TRIGGERED_TYPES else OrderStatus.OPEN,
            commission=ZERO,
            reserve_price=price,
            reserved_cash=reserve(request.side, price, request.quantity, rate),
            reject_reason=None,
            cancel_reason=None,
            triggered_at=None,
            expire_at=request.ends_at(now),
            closed_at=None,
            version=1,
            placed_at=now,
            ranked_at=now,
            updated_at=now,
        )
        account.portfolio = reserved(account.portfolio, None, order)
        self._batch.events.append(facts.of_order(EventType.ORDER_PLACED, order, order.owner_id))
        return order

    def _execute(self, account: _Account, order: Order, quantity: Decimal, price: Decimal) -> Order:
        now, rate, rows = self._then.moment, self._rules.commission_rate, self._batch.rows
        after = filled(order, quantity, price, rate, now)
        fill = fill_of(after, quantity, price, rate, self._ids.new())
        portfolio = reserved(account.portfolio, order, after)
        booked = book(portfolio, account.held, fill, (self._ids.new(), self._ids.new(), self._ids.new()))
        self._batch.events.append(facts.of_order(EventType.ORDER_EXECUTED, after, None, fill))
        quotes = {symbol: self._quote(_LISTINGS[symbol]) for symbol in booked.held}
        self._batch.events += events_of(booked, fill, quotes, STALE_AFTER)
        rows[FILLS].append(values(fill))
        rows[TRANSACTIONS] += ledger_rows(booked.rows)
        if booked.touched and booked.touched.closed_at:
            rows[POSITIONS].append(values(booked.touched))
        account.portfolio = booked.portfolio
        account.held = {symbol: position for symbol, position in booked.held.items() if not position.closed_at}
        return after

    def _changed(
        self, account: _Account, before: Order, after: Order, kind: EventType, actor_id: UUID | None = None
    ) -> Order:
        account.portfolio = reserved(account.portfolio, before, after)
        self._batch.events.append(facts.of_order(kind, after, actor_id))
        return after

    def _ended(self, order: Order, request_hash: str) -> None:
        self._batch.rows[ORDERS].append({**values(order), "request_hash": request_hash})

    def _quote(self, listing: Listing) -> Quote:
        return self._prices.quote(listing, day_of(self._then.moment))

    def _holds(self, account: _Account, order: Order) -> bool:
        held = account.held.get(order.symbol)
        return held is not None and held.quantity >= order.quantity


_LISTINGS = {listing.symbol: listing for listing in CATALOGUE}
_ASKED = (
    "portfolio_id",
    "symbol",
    "side",
    "type",
    "quantity",
    "limit_price",
    "stop_price",
    "trail_amount",
    "trail_percent",
    "time_in_force",
)
