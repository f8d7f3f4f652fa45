"""What every action on the book stands on: the two traders, the oracle, and the comparison after each step."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis.stateful import RuleBasedStateMachine

from infrastructure import log
from models.enums import OrderSide, OrderType, TimeInForce
from models.errors import FundsFault, Refused, RiskFault
from models.marketdata import Quote
from models.portfolios import Portfolio
from resolvers.events.history import history
from resolvers.orders.commands import cancel_order, expire_due
from resolvers.orders.inputs import PlaceOrder
from resolvers.portfolios.commands import create_portfolio
from resolvers.risk.commands import resume_due, resume_trading
from tests.stateful.accounts import Account, Price, Refusal, Ticket, Wish
from tests.stateful.actions import FIRST_BIDS, LOTS, LOTS_IN_STEP, TICKS, TICKS_IN_STEP, WHO
from tests.stateful.compare import (
    Then,
    asked_worth,
    check_money,
    check_orders,
    check_past,
    check_positions,
    check_shown,
    read_stored,
    then_of,
    worked_out,
)
from tests.stateful.oracle import Oracle
from tests.stateful.pit import Pit, tradable_again

T = TypeVar("T")
D, F = Decimal, Fraction


@dataclass
class Terms:
    """What an order names beside its side and quantity, as a request has it; the kind follows from it."""

    tif: str
    limit: Decimal | None = None
    stop: Decimal | None = None
    trail: Decimal | None = None
    percent: Decimal | None = None
    until: datetime | None = None

    @property
    def kind(self) -> OrderType:
        """The type that has just these prices."""
        if self.trail is not None or self.percent is not None:
            return OrderType.TRAILING_STOP
        if self.stop is not None:
            return OrderType.STOP if self.limit is None else OrderType.STOP_LIMIT
        return OrderType.MARKET if self.limit is None else OrderType.LIMIT

    def wish(self, symbol: str, side: str, quantity: Decimal) -> Wish:
        """For the oracle."""
        limit, stop, trail, percent = (
            None if each is None else F(each) for each in (self.limit, self.stop, self.trail, self.percent)
        )
        return Wish(symbol, side, self.tif, F(quantity), limit, stop, trail, percent, self.until)

    def request(self, portfolio_id: UUID, symbol: str, side: str, quantity: Decimal, key: str) -> PlaceOrder:
        """For the command."""
        return PlaceOrder(
            portfolio_id,
            symbol,
            OrderSide(side),
            self.kind,
            quantity,
            self.limit,
            self.stop,
            self.trail,
            self.percent,
            TimeInForce(self.tif),
            self.until,
            key,
        )


LOOKED_BACK, LEAP = 5, 7919
"""After how many steps an earlier moment is asked for, and by how much (a prime) the next is another."""


class Book(RuleBasedStateMachine):
    """Two traders in one market; each run has portfolios of its own on the same database."""

    pit: ClassVar[Pit]
    loop: ClassVar[asyncio.AbstractEventLoop]
    seen: ClassVar[Counter[str]]
    """What has happened over all runs: steps, refusals by code and check, orders by state, cycles by side."""

    def __init__(self) -> None:
        super().__init__()
        lots, ticks = ({symbol: F(each) for symbol, each in steps.items()} for steps in (LOTS, TICKS))
        self.oracle = Oracle(lots, ticks)
        self.portfolios: dict[str, UUID] = {}
        self.ids: dict[str, UUID] = {}
        self.requests: dict[str, PlaceOrder] = {}
        self.transfers: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.quotes: dict[str, Quote] = {}
        self.past: dict[datetime, dict[str, Then]] = {}
        """What each account was at the end of each moment."""
        self._step(self._begin())

    @property
    def now(self) -> datetime:
        """The moment of this step."""
        return self.pit.clock.now()

    async def _begin(self) -> None:
        for name, amount in (("ada", D("25000.01")), ("bob", D(1_000_000))):
            self.pit.clock.advance(milliseconds=1)
            self.portfolios[name] = (await create_portfolio(self.pit.traders[name], name, None, amount)).value.id
            self.oracle.accounts[name] = Account()
            self.oracle.accounts[name].pay("DEPOSIT", F(amount))
        await self.pit.restart()
        await self._tick([(symbol, 0, 2, 50) for symbol in FIRST_BIDS], previous=True)

    async def _tick(self, moves: list[tuple[str, int, int, int]], *, previous: bool) -> None:
        quotes = [self._moved(*move, previous=previous) for move in moves]
        await self.pit.tick(quotes)
        self.quotes |= {quote.symbol: quote for quote in quotes}
        self.oracle.tick({quote.symbol: price_of(quote) for quote in quotes}, self.now)

    def teardown(self) -> None:
        """Leave nothing to the next run: no working order, no pause, no instrument that can't be traded."""
        self.seen.update(t.status for account in self.oracle.accounts.values() for t in account.tickets)
        self.seen.update(c.side for account in self.oracle.accounts.values() for c in account.cycles)
        self.loop.run_until_complete(self._clear())

    async def _clear(self) -> None:
        for name, account in self.oracle.accounts.items():
            for ticket in account.tickets:
                with contextlib.suppress(Refused):
                    await cancel_order(self.pit.traders[name], self.ids[ticket.key])
        await resume_trading(self.pit.admin, None)
        await tradable_again(self.pit.services)

    def _step(self, action: Coroutine[Any, Any, Any], milliseconds: int = 1) -> None:
        """Time goes on a little, something is done, the broker hears of it, and everything is compared."""
        self.pit.clock.advance(milliseconds=milliseconds)
        self.seen["steps"] += 1
        if milliseconds and any(
            ticket.due(self.now) for account in self.oracle.accounts.values() for ticket in account.tickets
        ):
            self.loop.run_until_complete(self._fall_due())
        self.loop.run_until_complete(self._do(action))

    async def _fall_due(self) -> None:
        """What the chores do about every second."""
        due = [t for each in self.oracle.accounts.values() for t in each.tickets if t.working]
        expired = await expire_due(self.pit.services)
        await resume_due(self.pit.services)
        self.oracle.pass_time(self.now)
        assert expired == sum(not ticket.working for ticket in due)
        # An order that the broker does not know to have ended would take size from the touch.
        await self.pit.catch_up()

    async def _do(self, action: Awaitable[Any]) -> None:
        await action
        await self.pit.catch_up()
        everything = await read_stored(self.pit.services.database, list(self.portfolios.values()))
        asked = WHO[self.seen["steps"] % len(WHO)]
        for name, account in self.oracle.accounts.items():
            stored, ctx = everything[self.portfolios[name]], self.pit.traders[name]
            check_money(stored, account)
            check_orders(stored, account)
            check_positions(stored, account)
            # What a query answers takes four statements: in each step one of the two asks.
            shown = await asked_worth(ctx, stored) if name == asked else worked_out(ctx, stored)
            check_shown(shown, self.oracle, account, self.now)
        self.past[self.now] = {name: then_of(account) for name, account in self.oracle.accounts.items()}
        if not self.seen["steps"] % LOOKED_BACK:
            await self._look_back(asked, everything[self.portfolios[asked]].portfolio)

    async def _look_back(self, name: str, portfolio: Portfolio) -> None:
        """Some moment of this run is asked for again."""
        moments = list(self.past)
        at = moments[self.seen["steps"] * LEAP % len(moments)]
        self.seen["looked back"] += 1
        check_past(await history(self.pit.traders[name], portfolio, at), self.past[at][name])

    async def _expect(self, refusal: Refusal | None, action: Awaitable[T]) -> T | None:
        """The command is done, or it is refused just so and has written nothing."""
        before = await self._log_end() if refusal else None
        try:
            done = await action
        except Refused as error:
            refused = error
        else:
            assert refusal is None, f"accepted: {done}"
            return done
        assert refusal is not None, f"refused: {refused}"
        assert sorted(fault.code.value for fault in refused.faults) == refusal.codes
        funds = [(F(each.required), F(each.available)) for each in refused.faults if isinstance(each, FundsFault)]
        assert funds == ([] if refusal.funds is None else [refusal.funds])
        for fault in refused.faults:
            if isinstance(fault, RiskFault):
                assert {check.kind.value for check in fault.checks if not check.passed} == refusal.failed
        # That no table was written is seen when all is compared after the step.
        assert await self._log_end() == before
        self.seen.update([*refusal.codes, *refusal.failed])
        return None

    async def _log_end(self) -> int:
        async with self.pit.services.database.read() as connection:
            return (await log.head(connection)).seq

    def _some_ticket(self, who: str, which: int, *, working: bool = False) -> Ticket | None:
        tickets = [each for each in self.oracle.accounts[who].tickets if each.working or not working]
        return tickets[which % len(tickets)] if tickets else None

    def _price_near(self, symbol: str, offset: int) -> Decimal:
        bid = self.quotes[symbol].bid if symbol in self.quotes else D(50)
        return max(TICKS[symbol], bid + offset * TICKS_IN_STEP[symbol] * TICKS[symbol])

    def _quantity(self, who: str, symbol: str, size: int | str) -> Decimal:
        lot = LOTS[symbol]
        held = int(abs(self.oracle.accounts[who].held(symbol)) / F(lot))
        lots = {"half": held // 2, "held": held, "twice": 2 * held, "much": 10**6 * LOTS_IN_STEP[symbol]}
        return max(1, size * LOTS_IN_STEP[symbol] if isinstance(size, int) else lots[size]) * lot

    def _moved(self, symbol: str, move: int, spread: int, size: int, *, previous: bool) -> Quote:
        tick, step, lot = TICKS[symbol], TICKS_IN_STEP[symbol], LOTS[symbol] * LOTS_IN_STEP[symbol]
        first = FIRST_BIDS[symbol]
        bid = max(tick, (self.quotes[symbol].bid if symbol in self.quotes else first) + move * step * tick)
        ask = bid + spread * tick
        return Quote(
            symbol=symbol,
            bid=bid,
            bid_size=size * lot,
            ask=ask,
            ask_size=(100 - size) * lot,
            last=bid + (spread // 2) * tick,
            open=None,
            high=None,
            low=None,
            previous_close=first if previous else None,
            volume=D(0),
            as_of=self.now,
        )


def price_of(quote: Quote) -> Price:
    """For the oracle, with its whole size."""
    previous = None if quote.previous_close is None else F(quote.previous_close)
    sizes = F(quote.bid_size), F(quote.ask_size)
    return Price(F(quote.bid), F(quote.ask), F(quote.last), previous, quote.as_of, *sizes)
