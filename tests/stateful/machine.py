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

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from models.enums import OrderSide, OrderType, RiskLimitKind, TimeInForce
from models.errors import FundsFault, Refused, RiskFault
from models.marketdata import Quote
from resolvers.orders.commands import cancel_order, expire_due, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.queries import preview_order
from resolvers.portfolios.commands import create_portfolio, deposit_cash, withdraw_cash
from resolvers.risk.commands import pause_trading, remove_risk_limit, resume_due, resume_trading, set_risk_limit
from tests.stateful.compare import check_money, check_orders, check_positions, check_shown, read_stored
from tests.stateful.oracle import Account, Oracle, Price, Refusal, Ticket, Wish
from tests.stateful.pit import UNTRADABLE, Pit
from tests.support.market import row_counts

T = TypeVar("T")
D, F = Decimal, Fraction

NOT_QUOTED = "TLT"
# Of each: the tick, the lot, the lots in one step of a quantity, the ticks in one step of a price, the first bid.
TICKS = {"AAPL": D("0.01"), "KO": D("0.01"), "BTC-USD": D("0.01"), NOT_QUOTED: D("0.01")}
LOTS = {"AAPL": D(1), "KO": D(1), "BTC-USD": D("0.00001"), NOT_QUOTED: D(1)}
LOTS_IN_STEP = {"AAPL": 1, "KO": 10, "BTC-USD": 703, NOT_QUOTED: 1}
TICKS_IN_STEP = {"AAPL": 10, "KO": 1, "BTC-USD": 10_007, NOT_QUOTED: 1}
FIRST_BIDS = {"AAPL": D("100.00"), "KO": D("70.01"), "BTC-USD": D("95000.00")}

WHO = st.sampled_from(["ada", "bob"])
QUOTED = st.sampled_from(list(FIRST_BIDS))
SYMBOLS = st.sampled_from([*FIRST_BIDS, *FIRST_BIDS, NOT_QUOTED])
SIDES = st.sampled_from(["BUY", "SELL"])
TIFS = st.sampled_from(["GTC", "DAY", "IOC"])
SIZES = st.integers(1, 400) | st.sampled_from(["half", "held", "held", "twice", "much"])
OFFSETS = st.none() | st.integers(-40, 40)
CENTS = st.integers(1, 5_000_000).map(lambda cents: D(cents) / 100)
MOVES = st.tuples(QUOTED, st.integers(-40, 40) | st.sampled_from([-300, 300]), st.integers(1, 30), st.integers(0, 300))
LIMITS = st.one_of(
    st.tuples(st.just("MAX_OPEN_ORDERS"), st.integers(0, 6).map(D)),
    st.tuples(st.just("MAX_ORDER_NOTIONAL"), CENTS),
    st.tuples(st.just("MAX_POSITION_NOTIONAL"), CENTS),
    st.tuples(st.just("MAX_CONCENTRATION"), st.integers(0, 100).map(lambda percent: D(percent) / 100)),
)
BAD: dict[str, tuple[dict[str, Any], list[str]]] = {
    "nothing": ({"quantity": D(0)}, ["INVALID_INPUT"]),
    "negative": ({"quantity": D(-1)}, ["INVALID_INPUT"]),
    "a part of a lot": ({"quantity": D("1.5")}, ["INVALID_INPUT"]),
    "too many places": ({"quantity": D("1.000000001")}, ["INVALID_INPUT"]),
    "no limit": ({"limit_price": None}, ["INVALID_INPUT"]),
    "a limit at the market": ({"type": OrderType.MARKET}, ["INVALID_INPUT"]),
    "a part of a tick": ({"limit_price": D("99.995")}, ["INVALID_INPUT"]),
    "a limit of nothing": ({"limit_price": D(0), "quantity": D(0)}, ["INVALID_INPUT", "INVALID_INPUT"]),
    "a key of nothing": ({"client_order_id": ""}, ["INVALID_INPUT"]),
    "no such symbol": ({"symbol": "NOPE"}, ["NOT_FOUND"]),
    "not tradable": ({"symbol": UNTRADABLE}, ["INSTRUMENT_NOT_TRADABLE"]),
}


class BookMachine(RuleBasedStateMachine):
    """Two traders in one market; each run has portfolios of its own on the same database."""

    pit: ClassVar[Pit]
    loop: ClassVar[asyncio.AbstractEventLoop]
    seen: ClassVar[Counter[str]]
    """What has happened over all runs: steps, refusals by code, orders by state."""

    def __init__(self) -> None:
        super().__init__()
        self.oracle = Oracle({symbol: F(lot) for symbol, lot in LOTS.items()})
        self.portfolios: dict[str, UUID] = {}
        self.ids: dict[str, UUID] = {}
        self.requests: dict[str, PlaceOrder] = {}
        self.transfers: dict[tuple[str, str], tuple[str, Decimal]] = {}
        self.quotes: dict[str, Quote] = {}

    @property
    def now(self) -> datetime:
        """The moment of this step."""
        return self.pit.clock.now()

    @initialize(cash=st.sampled_from([D(0), D("25000.01"), D(1_000_000)]))
    def begin(self, cash: Decimal) -> None:
        """Two portfolios, one of them with cash to begin with, and first quotes."""
        self._step(self._begin(cash))

    async def _begin(self, cash: Decimal) -> None:
        for name, amount in (("ada", cash), ("bob", D(50_000))):
            self.pit.clock.advance(milliseconds=1)
            self.portfolios[name] = (await create_portfolio(self.pit.traders[name], name, None, amount)).value.id
            self.oracle.accounts[name] = Account()
            self.oracle.accounts[name].pay("DEPOSIT", F(amount))
        await self.pit.restart()
        await self._tick([(symbol, 0, 2, 100) for symbol in FIRST_BIDS], previous=True)

    @rule(who=WHO, symbol=SYMBOLS, side=SIDES, tif=TIFS, size=SIZES, offset=OFFSETS, ask_first=st.booleans())
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
            self.portfolios[who], symbol, OrderSide(side), kind, quantity, limit, TimeInForce(tif), key
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

    @rule(who=WHO, how=st.sampled_from(list(BAD)))
    def place_badly(self, who: str, how: str) -> None:
        """An order that no check is asked about."""
        changes, codes = BAD[how]
        request = PlaceOrder(
            self.portfolios[who], "AAPL", OrderSide.BUY, OrderType.LIMIT, D(1), D(100), TimeInForce.GTC, "bad"
        )
        self._step(self._expect(Refusal(codes), place_order(self.pit.traders[who], replace(request, **changes))))

    @rule(who=WHO, which=st.integers(0, 99), change=st.booleans())
    def place_again(self, who: str, which: int, change: bool) -> None:
        """A key that was used: the same order as it is now, or a conflict."""
        if ticket := self._some_ticket(who, which):
            self._step(self._place_again(who, ticket, change=change))

    async def _place_again(self, who: str, ticket: Ticket, *, change: bool) -> None:
        request = self.requests[ticket.key]
        if change:
            request = replace(request, quantity=request.quantity + LOTS[request.symbol])
        before = await row_counts(self.pit.services)
        answer = place_order(self.pit.traders[who], request)
        done = await self._expect(Refusal(["CONFLICT"]) if change else None, answer)
        assert await row_counts(self.pit.services) == before
        if done is not None:
            assert (done.value.id, done.value.version) == (self.ids[ticket.key], ticket.version)

    @rule(who=WHO, which=st.integers(0, 99), by=WHO, reason=st.none() | st.just("Not today"))
    def cancel(self, who: str, which: int, by: str, reason: str | None) -> None:
        """An order, that works or has ended; someone else's is not there."""
        if ticket := self._some_ticket(who, which):
            self._step(self._cancel(ticket, by, reason, foreign=by != who))

    async def _cancel(self, ticket: Ticket, by: str, reason: str | None, *, foreign: bool) -> None:
        refusal = Refusal(["NOT_FOUND"]) if foreign else None if ticket.working else Refusal(["ORDER_NOT_OPEN"])
        if await self._expect(refusal, cancel_order(self.pit.traders[by], self.ids[ticket.key], reason)):
            ticket.end("CANCELLED", self.now, reason or "Cancelled by the caller")

    @rule(moves=st.lists(MOVES, min_size=1, max_size=3, unique_by=lambda move: move[0]), previous=st.booleans())
    def tick(self, moves: list[tuple[str, int, int, int]], previous: bool) -> None:
        """Prices move."""
        self._step(self._tick(moves, previous=previous))

    async def _tick(self, moves: list[tuple[str, int, int, int]], *, previous: bool) -> None:
        quotes = [self._moved(*move, previous=previous) for move in moves]
        await self.pit.tick(quotes)
        for quote in quotes:
            self.quotes[quote.symbol] = quote
            self.oracle.tick(quote.symbol, _price(quote), self.now)

    @rule(
        who=WHO,
        amount=CENTS | st.just("all") | st.just("more"),
        key=st.none() | st.sampled_from("ab"),
        out=st.booleans(),
    )
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

    @rule(wait=st.integers(1, 12) | st.just("midnight") | st.just("a day"))
    def pass_time(self, wait: int | str) -> None:
        """Time passes, and what falls due is done: to the very start of the next day, or a day and more."""
        tomorrow = (self.now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
        pause = timedelta(hours=25) if wait == "a day" else tomorrow - self.now
        self.pit.clock.advance(seconds=(timedelta(seconds=wait) if isinstance(wait, int) else pause).total_seconds())
        self._step(self._pass_time(), milliseconds=0)

    async def _pass_time(self) -> None:
        due = [t for each in self.oracle.accounts.values() for t in each.tickets if t.working]
        expired = await expire_due(self.pit.services)
        await resume_due(self.pit.services)
        self.oracle.pass_time(self.now)
        assert expired == sum(not ticket.working for ticket in due)

    @rule(who=WHO | st.just("everybody"), reduce_only=st.booleans(), resume_s=st.none() | st.integers(1, 10))
    def pause(self, who: str, reduce_only: bool, resume_s: int | None) -> None:
        """Trading is held, in one portfolio or everybody's, for a while or for good."""
        until = None if resume_s is None else self.now + timedelta(seconds=resume_s)
        self._step(self._pause(who, until, reduce_only=reduce_only))

    async def _pause(self, who: str, until: datetime | None, *, reduce_only: bool) -> None:
        ctx = self.pit.traders.get(who, self.pit.admin)
        await pause_trading(ctx, self.portfolios.get(who), "Because", until, reduce_only=reduce_only)
        self._set_state(who, "REDUCE_ONLY" if reduce_only else "PAUSED", until)

    @rule(who=WHO | st.just("everybody"))
    def resume(self, who: str) -> None:
        """Trading goes on."""
        self._step(self._resume(who))

    async def _resume(self, who: str) -> None:
        await resume_trading(self.pit.traders.get(who, self.pit.admin), self.portfolios.get(who))
        self._set_state(who, "ACTIVE", None)

    def _set_state(self, who: str, state: str, until: datetime | None) -> None:
        if who == "everybody":
            self.oracle.everybody, self.oracle.everybody_resumes = state, until
        else:
            self.oracle.accounts[who].state, self.oracle.accounts[who].resume_after = state, until

    @rule(who=WHO, limit=LIMITS)
    def set_limit(self, who: str, limit: tuple[str, Decimal]) -> None:
        """A limit is set, or changed."""
        self._step(self._set_limit(who, *limit))

    async def _set_limit(self, who: str, kind: str, threshold: Decimal) -> None:
        await set_risk_limit(self.pit.traders[who], self.portfolios[who], RiskLimitKind(kind), threshold)
        self.oracle.accounts[who].limits[kind] = F(threshold)

    @rule(who=WHO, kind=st.sampled_from(list(RiskLimitKind)))
    def remove_limit(self, who: str, kind: RiskLimitKind) -> None:
        """A limit is taken away, if it is there."""
        self._step(self._remove_limit(who, kind))

    async def _remove_limit(self, who: str, kind: RiskLimitKind) -> None:
        limits = self.oracle.accounts[who].limits
        refusal = None if kind.value in limits else Refusal(["NOT_FOUND"])
        await self._expect(refusal, remove_risk_limit(self.pit.traders[who], self.portfolios[who], kind))
        limits.pop(kind.value, None)

    @rule()
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
        for name, account in self.oracle.accounts.items():
            ctx, portfolio_id = self.pit.traders[name], self.portfolios[name]
            stored = await read_stored(ctx, portfolio_id)
            check_money(stored, account)
            check_orders(stored, account)
            check_positions(stored, account)
            await check_shown(ctx, portfolio_id, self.oracle, account)

    async def _expect(self, refusal: Refusal | None, action: Awaitable[T]) -> T | None:
        """The command is done, or it is refused just so and has written nothing."""
        before = await row_counts(self.pit.services)
        try:
            done = await action
        except Refused as refused:
            faults = refused.faults
            assert refusal is not None, f"refused: {refused}"
            assert sorted(fault.code.value for fault in faults) == refusal.codes
            funds = [(F(each.required), F(each.available)) for each in faults if isinstance(each, FundsFault)]
            assert funds == ([] if refusal.funds is None else [refusal.funds])
            for fault in faults:
                if isinstance(fault, RiskFault):
                    assert {check.kind.value for check in fault.checks if not check.passed} == refusal.failed
            assert await row_counts(self.pit.services) == before
            self.seen.update([*refusal.codes, *refusal.failed])
            return None
        assert refusal is None, f"accepted: {done}"
        return done

    def _some_ticket(self, who: str, which: int) -> Ticket | None:
        tickets = self.oracle.accounts[who].tickets
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
            ask_size=(300 - size) * lot,
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
