"""Drives the whole book at random, and has the oracle beside it after every step."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Awaitable, Coroutine
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from infrastructure import log
from models.enums import OrderSide, OrderType, RiskLimitKind, TimeInForce
from models.errors import FundsFault, Refused, RiskFault
from models.marketdata import Quote
from resolvers.orders.commands import cancel_order, expire_due, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.queries import preview_order
from resolvers.portfolios.commands import create_portfolio, deposit_cash, withdraw_cash
from resolvers.risk.commands import pause_trading, remove_risk_limit, resume_due, resume_trading, set_risk_limit
from tests.stateful.actions import BAD, FIRST_BIDS, LOTS, LOTS_IN_STEP, TICKS, TICKS_IN_STEP, WHO, choose
from tests.stateful.compare import (
    asked_worth,
    check_money,
    check_orders,
    check_positions,
    check_shown,
    read_stored,
    worked_out,
)
from tests.stateful.oracle import Account, Oracle, Price, Refusal, Ticket, Wish
from tests.stateful.pit import Pit

T = TypeVar("T")
D, F = Decimal, Fraction


class BookMachine(RuleBasedStateMachine):
    """Two traders in one market; each run has portfolios of its own on the same database."""

    pit: ClassVar[Pit]
    loop: ClassVar[asyncio.AbstractEventLoop]
    seen: ClassVar[Counter[str]]
    """What has happened over all runs: steps, refusals by code and check, orders by state, cycles by side."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle({symbol: F(lot) for symbol, lot in LOTS.items()})
        self.portfolios: dict[str, UUID] = {}
        self.ids: dict[str, UUID] = {}
        self.requests: dict[str, PlaceOrder] = {}
        self.transfers: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.quotes: dict[str, Quote] = {}
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

    @rule(number=st.integers(0, 2**64 - 1))
    def act(self, number: int) -> None:
        """One of the actions below."""
        name, given = choose(number)
        note(f"{name}({given})")
        getattr(self, name)(**given)

    def trade(self, who: str, symbol: str, side: str, size: int, tif: str) -> None:
        """At the market."""
        self.place(who, symbol, side, tif, size, None, ask_first=False)

    def rest(self, who: str, symbol: str, side: str, size: int, tif: str, offset: int) -> None:
        """At a limit near the touch."""
        self.place(who, symbol, side, tif, size, offset, ask_first=False)

    def turn(self, who: str, symbol: str, size: str, tif: str) -> None:
        """A position is made smaller, closed, or turned into its opposite."""
        side = "BUY" if self.oracle.accounts[who].held(symbol) < 0 else "SELL"
        self.place(who, symbol, side, tif, size, None, ask_first=True)

    def place(
        self, who: str, symbol: str, side: str, tif: str, size: int | str, offset: int | None, ask_first: bool
    ) -> None:
        """An order that is well-formed: accepted or refused as the oracle says."""
        limit = None if offset is None else self._price_near(symbol, offset)
        self._step(self._place(who, symbol, side, tif, self._quantity(who, symbol, size), limit, ask_first=ask_first))

    async def _place(
        self, who: str, symbol: str, side: str, tif: str, quantity: Decimal, limit: Decimal | None, *, ask_first: bool
    ) -> None:
        key, account, ctx = f"order {len(self.requests)}", self.oracle.accounts[who], self.pit.traders[who]
        wish = Wish(symbol, side, tif, F(quantity), None if limit is None else F(limit))
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        request = PlaceOrder(
            self.portfolios[who],
            symbol,
            OrderSide(side),
            kind,
            quantity,
            limit,
            time_in_force=TimeInForce(tif),
            client_order_id=key,
        )
        refusal = self.oracle.refusal(account, wish, self.now)
        if ask_first and (refusal is None or refusal.failed):
            preview = await preview_order(ctx, request)
            assert preview.accepted is (refusal is None)
            assert {check.kind.value for check in preview.checks if not check.passed} == (refusal or Refusal([])).failed
            assert (preview.largest_acceptable_quantity == quantity) is (refusal is None)
        done = await self._expect(refusal, place_order(ctx, request))
        if done is not None:
            self.requests[key], self.ids[key] = request, done.value.id
            self.oracle.place(account, key, wish, self.now)
            self.oracle.match(symbol, self.now)

    def place_oddly(self, who: str, how: str, which: int) -> None:
        """An order that no check is asked about: a bad one, or one whose key was used."""
        if how not in BAD:
            self._step(self._place_again(who, which, change=how == "changed"))
            return
        changes, codes = BAD[how]
        request = PlaceOrder(
            self.portfolios[who],
            "AAPL",
            OrderSide.BUY,
            OrderType.LIMIT,
            D(1),
            D(100),
            time_in_force=TimeInForce.GTC,
            client_order_id="bad",
        )
        self._step(self._expect(Refusal(codes), place_order(self.pit.traders[who], replace(request, **changes))))

    async def _place_again(self, who: str, which: int, *, change: bool) -> None:
        """The same order as it is now, or a conflict."""
        ticket = self._some_ticket(who, which)
        if ticket is None:
            return
        request = self.requests[ticket.key]
        if change:
            request = replace(request, quantity=request.quantity + LOTS[request.symbol])
        before = await self._log_end()
        answer = place_order(self.pit.traders[who], request)
        done = await self._expect(Refusal(["CONFLICT"]) if change else None, answer)
        assert await self._log_end() == before
        if done is not None:
            assert (done.value.id, done.value.version) == (self.ids[ticket.key], ticket.version)

    def cancel(self, who: str, which: int, working: bool, by: str, reason: str | None) -> None:
        """An order, one that works or any; someone else's is not there."""
        self._step(self._cancel(self._some_ticket(who, which, working=working), by, reason, foreign=by != who))

    async def _cancel(self, ticket: Ticket | None, by: str, reason: str | None, *, foreign: bool) -> None:
        if ticket is None:
            return
        refusal = Refusal(["NOT_FOUND"]) if foreign else None if ticket.working else Refusal(["ORDER_NOT_OPEN"])
        if await self._expect(refusal, cancel_order(self.pit.traders[by], self.ids[ticket.key], reason)):
            ticket.end("CANCELLED", self.now, reason or "Cancelled by the caller")

    def tick(self, moves: list[tuple[str, int, int, int]], previous: bool) -> None:
        """Prices move."""
        self._step(self._tick(moves, previous=previous))

    async def _tick(self, moves: list[tuple[str, int, int, int]], *, previous: bool) -> None:
        quotes = [self._moved(*move, previous=previous) for move in moves]
        await self.pit.tick(quotes)
        for quote in quotes:
            self.quotes[quote.symbol] = quote
            self.oracle.tick(quote.symbol, _price(quote), self.now)

    def transfer(self, who: str, amount: Decimal | str, key: str | None, out: bool) -> None:
        """Cash in or out, with a key or without; all that there is to spare, or a little more."""
        if isinstance(amount, str):
            spare = self.oracle.buying_power(self.oracle.accounts[who])
            places = D(int(spare * 10**8)) / 10**8
            amount = places + (D("0.00000001") if amount == "more" else 0)
        self._step(self._transfer(who, amount, key, "WITHDRAWAL" if out else "DEPOSIT"))

    async def _transfer(self, who: str, amount: Decimal, key: str | None, kind: str) -> None:
        account, ctx = self.oracle.accounts[who], self.pit.traders[who]
        known = self.transfers.get((who, key)) if key else None
        spare = self.oracle.buying_power(account)
        refusal = None
        if amount <= 0:
            refusal = Refusal(["INVALID_INPUT"])
        elif known is not None and known != (kind, amount):
            refusal = Refusal(["CONFLICT"])
        elif known is None and kind == "WITHDRAWAL" and F(amount) > spare:
            refusal = Refusal(["INSUFFICIENT_FUNDS"], funds=(F(amount), spare))
        command = withdraw_cash if kind == "WITHDRAWAL" else deposit_cash
        done = await self._expect(refusal, command(ctx, self.portfolios[who], amount, key))
        if done is not None and known is None:
            account.pay(kind, F(amount) if kind == "DEPOSIT" else -F(amount))
            if key:
                self.transfers[who, key] = (kind, amount)

    def tick_all(self, moves: list[tuple[str, int, int, int]], previous: bool) -> None:
        """Every price moves a little."""
        self.tick(moves, previous)

    def pass_time(self, wait: int | str, quoted: bool) -> None:
        """Time passes, and what falls due is done: to the very start of the next day, or a day and more."""
        tomorrow = (self.now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        pause = timedelta(hours=25) if wait == "a day" else tomorrow - self.now
        self.pit.clock.advance(seconds=(timedelta(seconds=wait) if isinstance(wait, int) else pause).total_seconds())
        self._step(self._pass_time(quoted=quoted), milliseconds=0)

    async def _pass_time(self, *, quoted: bool) -> None:
        due = [t for each in self.oracle.accounts.values() for t in each.tickets if t.working]
        expired = await expire_due(self.pit.services)
        await resume_due(self.pit.services)
        self.oracle.pass_time(self.now)
        assert expired == sum(not ticket.working for ticket in due)
        if quoted:
            # An order that the broker does not know to have ended would take size from the touch.
            await self.pit.catch_up()
            await self._tick([(symbol, 0, 2, 50) for symbol in FIRST_BIDS], previous=True)

    def hold(self, who: str, state: str, resume_s: int | None) -> None:
        """Trading is held, in one portfolio or everybody's, for a while or for good, or goes on."""
        until = None if resume_s is None else self.now + timedelta(seconds=resume_s)
        self._step(self._resume(who) if state == "ACTIVE" else self._pause(who, until, reduce_only=state != "PAUSED"))

    async def _pause(self, who: str, until: datetime | None, *, reduce_only: bool) -> None:
        ctx = self.pit.traders.get(who, self.pit.admin)
        await pause_trading(ctx, self.portfolios.get(who), "Because", until, reduce_only=reduce_only)
        self._set_state(who, "REDUCE_ONLY" if reduce_only else "PAUSED", until)

    async def _resume(self, who: str) -> None:
        await resume_trading(self.pit.traders.get(who, self.pit.admin), self.portfolios.get(who))
        self._set_state(who, "ACTIVE", None)

    def _set_state(self, who: str, state: str, until: datetime | None) -> None:
        if who == "everybody":
            self.oracle.everybody, self.oracle.everybody_resumes = state, until
        else:
            self.oracle.accounts[who].state, self.oracle.accounts[who].resume_after = state, until

    def limit(self, who: str, kind: str, threshold: Decimal | None) -> None:
        """A limit is set, changed, or (no threshold) taken away, if it is there."""
        change = self._remove_limit(who, kind) if threshold is None else self._set_limit(who, kind, threshold)
        self._step(change)

    async def _set_limit(self, who: str, kind: str, threshold: Decimal) -> None:
        await set_risk_limit(self.pit.traders[who], self.portfolios[who], RiskLimitKind(kind), threshold)
        self.oracle.accounts[who].limits[kind] = F(threshold)

    async def _remove_limit(self, who: str, kind: str) -> None:
        limits = self.oracle.accounts[who].limits
        refusal = None if kind in limits else Refusal(["NOT_FOUND"])
        command = remove_risk_limit(self.pit.traders[who], self.portfolios[who], RiskLimitKind(kind))
        await self._expect(refusal, command)
        limits.pop(kind, None)

    def restart_broker(self) -> None:
        """A new broker begins with what works, and with the whole size at the touch."""
        self._step(self._restart_broker())

    async def _restart_broker(self) -> None:
        await self.pit.restart()
        for symbol, quote in self.quotes.items():
            self.oracle.prices[symbol] = _price(quote)
        tickets = [each for account in self.oracle.accounts.values() for each in account.tickets if each.working]
        for symbol in dict.fromkeys(each.wish.symbol for each in sorted(tickets, key=lambda each: each.placed_at)):
            self.oracle.match(symbol, self.now)

    def teardown(self) -> None:
        """Leave nothing to the next run: no working order, no pause."""
        self.seen.update(t.status for account in self.oracle.accounts.values() for t in account.tickets)
        self.seen.update(c.side for account in self.oracle.accounts.values() for c in account.cycles)
        self.loop.run_until_complete(self._clear())

    async def _clear(self) -> None:
        for name, account in self.oracle.accounts.items():
            for ticket in account.tickets:
                with contextlib.suppress(Refused):
                    await cancel_order(self.pit.traders[name], self.ids[ticket.key])
        await resume_trading(self.pit.admin, None)

    def _step(self, action: Coroutine[Any, Any, Any], milliseconds: int = 1) -> None:
        """Time goes on a little, something is done, the broker hears of it, and everything is compared."""
        self.pit.clock.advance(milliseconds=milliseconds)
        self.seen["steps"] += 1
        self.loop.run_until_complete(self._do(action))

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


def _price(quote: Quote) -> Price:
    previous = None if quote.previous_close is None else F(quote.previous_close)
    sizes = F(quote.bid_size), F(quote.ask_size)
    return Price(F(quote.bid), F(quote.ask), F(quote.last), previous, quote.as_of, *sizes)
