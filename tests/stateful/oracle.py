"""The whole book in the plainest arithmetic: fractions, lists and loops. It knows the rules, and nothing of the code.

What it says is worked out from the published rules alone; it imports none of what it is there to check.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

F = Fraction
ZERO = F(0)
RATE, MARGIN, SHORT = F(1, 1000), F(3, 100), F(3, 2)
OPEN_ORDERS = 200
STALE = timedelta(seconds=5)
WORKING = ("OPEN", "PARTIALLY_FILLED")


def half_even(value: Fraction) -> Fraction:
    """To 8 places (Python rounds a fraction half-even)."""
    return F(round(value * 10**8), 10**8)


@dataclass
class Price:
    """A quote, and what is left at its touch."""

    bid: Fraction
    ask: Fraction
    last: Fraction
    previous: Fraction | None
    at: datetime
    bid_left: Fraction
    ask_left: Fraction


@dataclass
class Wish:
    """An order as it is asked for."""

    symbol: str
    side: str
    tif: str
    quantity: Fraction
    limit: Fraction | None = None

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sale."""
        return 1 if self.side == "BUY" else -1


@dataclass
class Ticket:
    """An order that was accepted."""

    key: str
    account: "Account"
    wish: Wish
    placed_at: datetime
    worst: Fraction
    status: str = "OPEN"
    version: int = 1
    fills: list[tuple[Fraction, Fraction, int]] = field(default_factory=list)
    """Quantity, price, and the version that each led to."""
    cancel_reason: str | None = None
    ended_at: datetime | None = None

    @property
    def left(self) -> Fraction:
        """What may still be filled."""
        return self.wish.quantity - sum((fill[0] for fill in self.fills), ZERO)

    @property
    def worth(self) -> Fraction:
        """What its fills came to."""
        return sum((quantity * price for quantity, price, _ in self.fills), ZERO)

    @property
    def working(self) -> bool:
        """Whether it can still trade."""
        return self.status in WORKING

    @property
    def reserved(self) -> Fraction:
        """What it holds back."""
        return self.worst * self.left * (1 + RATE) if self.working and self.wish.side == "BUY" else ZERO

    def end(self, status: str, now: datetime, reason: str | None = None) -> None:
        """Let it be over."""
        self.status, self.version, self.ended_at, self.cancel_reason = status, self.version + 1, now, reason


@dataclass
class Cycle:
    """From flat to flat in one symbol."""

    symbol: str
    quantity: Fraction
    average: Fraction
    side: str
    opened_at: datetime
    realized: Fraction = ZERO
    closed_at: datetime | None = None
    version: int = 1


@dataclass
class Refusal:
    """Why something was refused: codes, the checks that failed, and what was needed of what there was."""

    codes: list[str]
    failed: set[str] = field(default_factory=set)
    funds: tuple[Fraction, Fraction] | None = None


@dataclass
class Account:
    """One portfolio."""

    ledger: list[tuple[str, Fraction]] = field(default_factory=list)
    tickets: list[Ticket] = field(default_factory=list)
    cycles: list[Cycle] = field(default_factory=list)
    trades: list[tuple[datetime, str, Fraction, Fraction]] = field(default_factory=list)
    """When, of what, how much (negative: sold), at what price."""
    limits: dict[str, Fraction] = field(default_factory=dict)
    state: str = "ACTIVE"
    resume_after: datetime | None = None

    @property
    def cash(self) -> Fraction:
        """What the ledger sums to."""
        return sum((amount for _, amount in self.ledger), ZERO)

    @property
    def reserved(self) -> Fraction:
        """What working orders hold back."""
        return sum((ticket.reserved for ticket in self.tickets), ZERO)

    @property
    def realized(self) -> Fraction:
        """Over all cycles."""
        return sum((cycle.realized for cycle in self.cycles), ZERO)

    def working(self, symbol: str, side: str) -> list[Ticket]:
        """What works there, oldest first."""
        return [t for t in self.tickets if t.working and (t.wish.symbol, t.wish.side) == (symbol, side)]

    def cycle(self, symbol: str) -> Cycle | None:
        """The one that is open."""
        return next((each for each in self.cycles if each.symbol == symbol and each.closed_at is None), None)

    def held(self, symbol: str) -> Fraction:
        """How much; negative when short."""
        cycle = self.cycle(symbol)
        return cycle.quantity if cycle else ZERO

    def pay(self, kind: str, amount: Fraction) -> None:
        """A ledger row; none for nothing."""
        if amount:
            self.ledger.append((kind, amount))

    def trade(self, symbol: str, signed: Fraction, price: Fraction, now: datetime) -> None:
        """A fill, in cash and in the position."""
        self.trades.append((now, symbol, signed, price))
        self.pay("TRADE", -signed * price)
        self.pay("COMMISSION", -abs(signed) * price * RATE)
        cycle = self.cycle(symbol)
        if cycle is not None:
            signed = self._net(cycle, signed, price, now)
        if signed:
            self.cycles.append(Cycle(symbol, signed, price, "LONG" if signed > 0 else "SHORT", now))

    def _net(self, cycle: Cycle, signed: Fraction, price: Fraction, now: datetime) -> Fraction:
        """Into the open cycle; what crosses zero is left."""
        cycle.version += 1
        if cycle.quantity * signed > 0:
            cost = cycle.quantity * cycle.average + signed * price
            cycle.quantity += signed
            cycle.average = half_even(cost / cycle.quantity)
            return ZERO
        closing = signed if abs(signed) <= abs(cycle.quantity) else -cycle.quantity
        cycle.realized += (cycle.average - price) * closing
        cycle.quantity += closing
        if not cycle.quantity:
            cycle.closed_at = now
        return signed - closing


@dataclass
class Oracle:
    """Every portfolio, and the one market that they share."""

    lots: dict[str, Fraction]
    prices: dict[str, Price] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    everybody: str = "ACTIVE"
    everybody_resumes: datetime | None = None

    def last(self, symbol: str, otherwise: Fraction = ZERO) -> Fraction:
        """The last price, if there ever was one."""
        return self.prices[symbol].last if symbol in self.prices else otherwise

    def short_value(self, account: Account) -> Fraction:
        """What is sold short is worth."""
        held = [cycle for cycle in account.cycles if cycle.quantity < 0]
        return sum((-cycle.quantity * self.last(cycle.symbol, cycle.average) for cycle in held), ZERO)

    def buying_power(self, account: Account) -> Fraction:
        """As it is published."""
        return account.cash - account.reserved - SHORT * self.short_value(account)

    def short_needs(self, quantity: Fraction, price: Fraction, last: Fraction) -> Fraction:
        """Half as much again as its market value, less what the sale brings in."""
        return quantity * (SHORT * max(price, last) - price * (1 - RATE))

    def pending_shorts(self, account: Account) -> Fraction:
        """What working sales will need for the part that nothing held covers."""
        total = ZERO
        for symbol in self.lots:
            free = max(ZERO, account.held(symbol))
            for ticket in account.working(symbol, "SELL"):
                short = max(ZERO, ticket.left - free)
                free = max(ZERO, free - ticket.left)
                price = max(ticket.wish.limit or ZERO, self.last(symbol))
                total += self.short_needs(short, price, price)
        return total

    def worst(self, wish: Wish) -> Fraction:
        """What a unit may cost, or bring, at worst."""
        price = self.prices.get(wish.symbol)
        if wish.side == "BUY":
            return wish.limit if wish.limit is not None else (price.ask if price else ZERO) * (1 + MARGIN)
        return max(wish.limit or ZERO, price.bid if price else ZERO)

    def needs(self, account: Account, wish: Wish) -> Fraction:
        """What an order needs of the buying power."""
        held, same = account.held(wish.symbol), self.same_side(account, wish)
        worst = self.worst(wish)
        last = self.last(wish.symbol, worst)
        if wish.side == "BUY":
            covered = min(wish.quantity, max(ZERO, -held - same))
            return worst * wish.quantity * (1 + RATE) - SHORT * covered * last
        return self.short_needs(max(ZERO, wish.quantity - max(ZERO, held - same)), worst, last)

    def same_side(self, account: Account, wish: Wish) -> Fraction:
        """What already works on its side."""
        return sum((ticket.left for ticket in account.working(wish.symbol, wish.side)), ZERO)

    def refusal(self, account: Account, wish: Wish, now: datetime) -> Refusal | None:
        """Why a well-formed order is refused; none if it is not."""
        price = self.prices.get(wish.symbol)
        if wish.limit is None and (price is None or now - price.at > STALE):
            return Refusal(["INSTRUMENT_NOT_TRADABLE"])
        need, free = self.needs(account, wish), self.buying_power(account) - self.pending_shorts(account)
        failed = set(self._failed(account, wish))
        codes = ["TRADING_PAUSED"] * len(failed & {"TRADING_STATE", "REDUCE_ONLY"})
        if failed - {"TRADING_STATE", "REDUCE_ONLY"}:
            codes.append("RISK_LIMIT_EXCEEDED")
        if short_of_funds := need > max(free, ZERO):
            codes.append("INSUFFICIENT_FUNDS")
            failed.add("BUYING_POWER")
        return Refusal(sorted(codes), failed, (need, free) if short_of_funds else None) if codes else None

    def _failed(self, account: Account, wish: Wish) -> Iterator[str]:
        states = {account.state, self.everybody}
        held, same, worst = account.held(wish.symbol), self.same_side(account, wish), self.worst(wish)
        reduces = held * wish.sign < 0 and same + wish.quantity <= abs(held)
        worth = abs(held + wish.sign * (same + wish.quantity)) * max(worst, self.last(wish.symbol))
        if "PAUSED" in states:
            yield "TRADING_STATE"
        elif "REDUCE_ONLY" in states and not reduces:
            yield "REDUCE_ONLY"
        if sum(ticket.working for ticket in account.tickets) + 1 > account.limits.get("MAX_OPEN_ORDERS", OPEN_ORDERS):
            yield "MAX_OPEN_ORDERS"
        if worst * wish.quantity > account.limits.get("MAX_ORDER_NOTIONAL", worst * wish.quantity):
            yield "MAX_ORDER_NOTIONAL"
        if worth > account.limits.get("MAX_POSITION_NOTIONAL", worth) and not reduces:
            yield "MAX_POSITION_NOTIONAL"
        if "MAX_CONCENTRATION" in account.limits and not reduces:
            equity = self.total_value(account)
            if equity is None or equity <= 0 or worth > account.limits["MAX_CONCENTRATION"] * equity:
                yield "MAX_CONCENTRATION"

    def place(self, account: Account, key: str, wish: Wish, now: datetime) -> Ticket:
        """Accept an order."""
        account.tickets.append(Ticket(key, account, wish, now, self.worst(wish)))
        return account.tickets[-1]

    def tick(self, symbol: str, price: Price, now: datetime) -> None:
        """A new quote: the whole size is there again."""
        self.prices[symbol] = price
        self.match(symbol, now)

    def match(self, symbol: str, now: datetime) -> None:
        """Fill what can be filled, market orders first, then by price, then by time; end what may not wait."""
        price = self.prices.get(symbol)
        tickets = [t for each in self.accounts.values() for t in each.tickets if t.working and t.wish.symbol == symbol]
        if price is not None and now - price.at <= STALE:
            for ticket in sorted(tickets, key=_turn):
                self._fill(ticket, price, now)
        for ticket in tickets:
            if ticket.working and ticket.wish.tif == "IOC":
                ticket.end("CANCELLED", now, "Immediate or cancel: nothing at its price")

    def _fill(self, ticket: Ticket, price: Price, now: datetime) -> None:
        buys, limit = ticket.wish.side == "BUY", ticket.wish.limit
        at = price.ask if buys else price.bid
        if limit is not None and (limit < at if buys else limit > at):
            return
        quantity = min(ticket.left, price.ask_left if buys else price.bid_left)
        if not quantity:
            return
        if buys:
            price.ask_left -= quantity
        else:
            price.bid_left -= quantity
        ticket.version += 1
        ticket.fills.append((quantity, at, ticket.version))
        ticket.status = "PARTIALLY_FILLED" if ticket.left else "FILLED"
        ticket.ended_at = None if ticket.left else now
        ticket.account.trade(ticket.wish.symbol, ticket.wish.sign * quantity, at, now)
        if ticket.left and ticket.wish.tif == "IOC":
            ticket.end("CANCELLED", now, "Immediate or cancel: the rest found no size at its price")

    def pass_time(self, now: datetime) -> None:
        """What falls due: DAY orders of earlier days, and resumptions."""
        for account in self.accounts.values():
            for ticket in account.tickets:
                if ticket.working and ticket.wish.tif == "DAY" and ticket.placed_at.date() < now.date():
                    ticket.end("EXPIRED", now)
            if account.resume_after is not None and account.resume_after <= now:
                account.state, account.resume_after = "ACTIVE", None
        if self.everybody_resumes is not None and self.everybody_resumes <= now:
            self.everybody, self.everybody_resumes = "ACTIVE", None

    def total_value(self, account: Account) -> Fraction | None:
        """Cash and what is held; none where a price is missing."""
        held = [cycle for cycle in account.cycles if cycle.closed_at is None]
        if any(cycle.symbol not in self.prices for cycle in held):
            return None
        return account.cash + sum((cycle.quantity * self.last(cycle.symbol) for cycle in held), ZERO)

    def day_pnl(self, account: Account, now: datetime) -> Fraction | None:
        """From what was traded, symbol by symbol, before and since the day began."""
        total = ZERO
        for symbol in {trade[1] for trade in account.trades}:
            mine = [trade for trade in account.trades if trade[1] == symbol]
            begun = sum((signed for at, _, signed, _ in mine if at.date() < now.date()), ZERO)
            today = [(signed, price) for at, _, signed, price in mine if at.date() == now.date()]
            price = self.prices[symbol]
            # A quote of an earlier day: its last price is what this day began with.
            previous = price.previous if price.at.date() == now.date() else price.last
            if begun:
                if previous is None:
                    return None
                total += begun * (price.last - previous)
            total += sum((signed * (price.last - paid) for signed, paid in today), ZERO)
        return total


def _turn(ticket: Ticket) -> tuple[int, Fraction, datetime]:
    limit = ticket.wish.limit
    if limit is None:
        return 0, ZERO, ticket.placed_at
    return 1, -limit * ticket.wish.sign, ticket.placed_at
