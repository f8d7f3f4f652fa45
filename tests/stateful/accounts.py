"""What the oracle keeps of each portfolio: orders, positions, cash. Plain values that know nothing of the code."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

F = Fraction
ZERO = F(0)
RATE = F(1, 1000)
WORKING = ("PENDING", "OPEN", "PARTIALLY_FILLED")


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
    stop: Fraction | None = None
    trail: Fraction | None = None
    percent: Fraction | None = None
    until: datetime | None = None

    @property
    def trails(self) -> bool:
        """Whether its stop follows the price."""
        return self.trail is not None or self.percent is not None

    @property
    def waits(self) -> bool:
        """Whether it waits for a trigger first."""
        return self.stop is not None or self.trails

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
    ranked_at: datetime
    expires: datetime | None
    stop: Fraction | None = None
    """Where its stop stands now; once triggered, where it stood."""
    mark: Fraction | None = None
    status: str = "OPEN"
    version: int = 1
    triggered_at: datetime | None = None
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
    def at_market(self) -> bool:
        """Whether it can trade now."""
        return self.working and self.status != "PENDING"

    def due(self, now: datetime) -> bool:
        """Whether its time in force is over."""
        return self.working and self.expires is not None and self.expires <= now

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """As if it were not there."""
        self.status, status = "ASIDE", self.status
        try:
            yield
        finally:
            self.status = status

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
