"""Drives the whole book at random, and has the oracle beside it after every step."""

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import rule

from models.enums import OrderSide, OrderType, RiskLimitKind, TimeInForce
from resolvers.orders.commands import cancel_order, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.queries import preview_order
from resolvers.portfolios.commands import deposit_cash, withdraw_cash
from resolvers.risk.commands import pause_trading, remove_risk_limit, resume_trading, set_risk_limit
from tests.stateful.accounts import Refusal, Ticket
from tests.stateful.actions import BAD, BAD_FOR_ITS_INSTRUMENT, FIRST_BIDS, LOTS, TICKS, TICKS_IN_STEP, choose
from tests.stateful.book import Terms, price_of
from tests.stateful.changes import Changes

D, F = Decimal, Fraction


class BookMachine(Changes):
    """Every action, by its name in `tests.stateful.actions`."""

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
        terms = Terms(tif, None if offset is None else self._price_near(symbol, offset))
        self._step(self._place(who, symbol, side, terms, self._quantity(who, symbol, size), ask_first=ask_first))

    def stop(
        self, who: str, symbol: str, side: str, tif: str, size: int | str, prices: dict[str, int], until_s: int | None
    ) -> None:
        """An order that waits for its trigger: at a stop and a limit so many steps away, or behind the price.

        "most" is nearly all that can be paid for, so that it can't be any more when the price has run away.
        """
        near = {name: self._price_near(symbol, prices[name]) for name in ("stop", "limit") if name in prices}
        trail = prices["trail"] * TICKS_IN_STEP[symbol] * TICKS[symbol] if "trail" in prices else None
        percent = D(prices["percent"]) / 4 if "percent" in prices else None
        until = None if until_s is None else self.now + timedelta(seconds=until_s)
        terms = Terms(tif, **near, trail=trail, percent=percent, until=until)
        quantity = self._most(who, symbol) if size == "most" else self._quantity(who, symbol, size)
        self._step(self._place(who, symbol, side, terms, quantity, ask_first=True))

    def _most(self, who: str, symbol: str) -> Decimal:
        lots = self.oracle.free(self.oracle.accounts[who]) / self.oracle.last(symbol) / F(LOTS[symbol]) * F(9, 10)
        return max(1, int(lots)) * LOTS[symbol]

    async def _place(
        self, who: str, symbol: str, side: str, terms: Terms, quantity: Decimal, *, ask_first: bool
    ) -> None:
        key, account, ctx = f"order {len(self.requests)}", self.oracle.accounts[who], self.pit.traders[who]
        wish = terms.wish(symbol, side, quantity)
        request = terms.request(self.portfolios[who], symbol, side, quantity, key)
        refusal = self.oracle.refusal(account, wish, self.now)
        if ask_first and (refusal is None or refusal.failed):
            preview = await preview_order(ctx, request)
            assert preview.accepted is (refusal is None)
            assert {check.kind.value for check in preview.checks if not check.passed} == (refusal or Refusal([])).failed
            assert (preview.largest_acceptable_quantity == quantity) is (refusal is None)
        done = await self._expect(refusal, place_order(ctx, request))
        if done is not None:
            self.requests[key], self.ids[key] = request, done.value.id
            self.seen[request.type.value] += 1
            self.oracle.place(account, key, wish, self.now)
            self.oracle.match(symbol, self.now)

    def place_oddly(self, who: str, how: str, which: int) -> None:
        """An order that no check is asked about: a bad one, or one whose key was used."""
        if how not in BAD:
            self._step(self._place_again(who, which, change=how == "changed"))
            return
        changes, codes = BAD[how]
        if how in BAD_FOR_ITS_INSTRUMENT and "AAPL" in self.oracle.untradable:
            codes = ["INSTRUMENT_NOT_TRADABLE"]
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
        if ticket is None or ticket.key not in self.requests:
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

    def transfer(self, who: str, amount: Decimal | str, key: str | None, out: bool) -> None:
        """Cash in or out, with a key or without; all that there is to spare, or a little more."""
        if isinstance(amount, str):
            spare = self.oracle.free(self.oracle.accounts[who])
            places = D(int(spare * 10**8)) / 10**8
            amount = places + (D("0.00000001") if amount == "more" else 0)
        self._step(self._transfer(who, amount, key, "WITHDRAWAL" if out else "DEPOSIT"))

    async def _transfer(self, who: str, amount: Decimal, key: str | None, kind: str) -> None:
        account, ctx = self.oracle.accounts[who], self.pit.traders[who]
        known = self.transfers.get((who, key)) if key else None
        spare = self.oracle.free(account)
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
        await self._fall_due()
        if quoted:
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
            self.oracle.prices[symbol] = price_of(quote)
        tickets = [each for account in self.oracle.accounts.values() for each in account.tickets if each.working]
        for symbol in dict.fromkeys(each.wish.symbol for each in sorted(tickets, key=lambda each: each.placed_at)):
            self.oracle.match(symbol, self.now)
