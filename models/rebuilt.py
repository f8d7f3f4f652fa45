"""Everything built again from the events alone, with what does not fit together on the way."""

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from decimal import Decimal
from uuid import UUID

from models.enums import AggregateType, EventType, OrderStatus, TransactionKind
from models.events import GENESIS, Event, RecordedEvent, chained
from models.money import ZERO, exact
from models.orders import WORKING, Fill
from models.payloads import Json, canonical, read, written
from models.positions import Netting, Position, net

NAMES = {
    AggregateType.USER: "user",
    AggregateType.SESSION: "session",
    AggregateType.API_KEY: "apiKey",
    AggregateType.ORDER: "order",
    AggregateType.POSITION: "position",
    AggregateType.NOTIFICATION: "notification",
    AggregateType.RISK_ALERT: "riskAlert",
    AggregateType.MARKET_ALERT: "marketAlert",
}
"""The aggregates whose every event has all of it, and its name in the payload."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """Something that is not as it has to be; `seq` is the event that shows it, where there is one."""

    seq: int | None
    message: str

    def __str__(self) -> str:
        """For people."""
        return self.message if self.seq is None else f"event {self.seq}: {self.message}"


@dataclass(frozen=True, slots=True)
class Told:
    """The last that the log says of something: the event, a fingerprint of it, and what is summed of it."""

    seq: int
    print: bytes
    sums: tuple[Decimal, ...] = ()


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An event of which no more can be read than this, and why."""

    seq: int
    hash: bytes
    reason: str


class Chain:
    """Holds events against their numbers and hashes. One that was changed is one flaw, whatever was changed of it."""

    def __init__(self, seq: int = 0, link: bytes = GENESIS) -> None:
        self.seq = seq
        self._links = {link}

    def take(self, event: RecordedEvent | Unreadable) -> str | None:
        """The next event; what is wrong with it, if anything is."""
        before, self.seq = self.seq, event.seq
        if isinstance(event, Unreadable):
            self._links = {event.hash}
            return f"it can't be read: {event.reason}"
        if event.seq != before + 1:
            self._links = {event.hash}
            return f"it follows event {before}, and {event.seq - before - 1} between them are missing"
        digest = as_given(event).digest
        hashes = {chained(link, digest) for link in self._links}
        # A version of 0 stands for today's where an event is made, and is never stored.
        if event.hash in hashes and event.schema_version > 0:
            self._links = {event.hash}
            return None
        # Whether it or its hash was changed, the next one tells.
        self._links = hashes | {event.hash}
        return "it does not hang on the one before it: it was changed, or the one before it"

    def ends(self, seq: int, link: bytes) -> str | None:
        """What is wrong with a log's end, if anything is."""
        if (self.seq, link in self._links) == (seq, True):
            return None
        if self.seq != seq:
            return f"the log ends at {self.seq}, and its head says {seq}"
        return f"the head's hash is not that of event {seq}"


def as_given(recorded: RecordedEvent) -> Event:
    """The event as it was before it had its place in the log."""
    shared = {name: getattr(recorded, name) for name in Event.__dataclass_fields__ if name != "payload"}
    return Event(**shared, payload=recorded.payload.encode())


def fingerprint(kind: AggregateType | None, data: Json) -> bytes:
    """Of something in its JSON form, without what no event tells.

    That is when a key was last used, where a trailing stop stands while it waits, and that the market is so far back
    that an alert may go off again.
    """
    if kind is AggregateType.MARKET_ALERT:
        data = data | {"armed": None}
    if kind is AggregateType.API_KEY:
        data = data | {"lastUsedAt": None}
    if kind is AggregateType.ORDER and data["highWaterMark"] is not None and data["status"] == OrderStatus.PENDING:
        data = data | {"highWaterMark": None, "stopPrice": None}
    return hashlib.blake2b(canonical(data), digest_size=16).digest()


def differing(kept: Json, said: Json) -> str:
    """What of a row is not as it was said to be, for people; empty if all of it is."""
    names = [name for name in kept if kept[name] != said.get(name)]
    return "".join(f"; {name}: {kept[name]!r}, not {said.get(name)!r}" for name in names)


@dataclass
class Rebuilt:
    """What the log says. `whole`: the events are all there are, from the first; else from some place on."""

    whole: bool = True
    flaws: list[Flaw] = field(default_factory=list)
    versions: dict[tuple[AggregateType, UUID], int] = field(default_factory=dict)
    told: dict[AggregateType, dict[UUID, Told]] = field(default_factory=lambda: defaultdict(dict))
    portfolios: dict[UUID, Json] = field(default_factory=dict)
    fills: dict[UUID, Told] = field(default_factory=dict)
    ledger: dict[UUID, Told] = field(default_factory=dict)
    limits: dict[tuple[UUID, str], Told] = field(default_factory=dict)
    targets: dict[tuple[UUID, str], Told] = field(default_factory=dict)
    market: Json | None = None
    read: set[UUID] = field(default_factory=set)
    """The notifications that were read."""
    _born: set[UUID] = field(default_factory=set)
    _sums: dict[UUID, dict[str, Decimal]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Decimal)))
    _unpaid: dict[UUID, int] = field(default_factory=dict)
    _open: dict[tuple[UUID, str], Position] = field(default_factory=dict)
    _netting: tuple[UUID, Netting] | None = None

    def take(self, event: RecordedEvent) -> None:
        """The next event."""
        key = (event.aggregate_type, event.aggregate_id)
        known = self.versions.get(key)
        if event.version != (known or 0) + 1 and (self.whole or known is not None):
            self._flaw(event, f"version {event.version} of the {event.aggregate_type} follows version {known or 0}")
        self.versions[key] = event.version
        try:
            self._take(event)
        except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError) as error:
            self._flaw(event, f"its payload can't be read: {error!r}")

    def end(self) -> None:
        """There are no more: what is left open is a flaw."""
        for fill_id, seq in self._unpaid.items():
            self.flaws.append(Flaw(seq, f"the fill {fill_id} is in no ledger"))

    def summed(self, portfolio_id: UUID) -> Json:
        """A portfolio as it stands, with its sums made anew: of its ledger, its working orders, its positions.

        Where the log's beginning is not there, what orders hold back is not known.
        """
        portfolio, sums = self.portfolios[portfolio_id], self._sums[portfolio_id]
        if portfolio_id not in self._born:
            return portfolio | {"reservedCash": None}
        names = ("cash", "reservedCash", "realizedPnl")
        return portfolio | {name: written(sums[name]) for name in names} | {"ledgerSize": int(sums["ledgerSize"])}

    def _flaw(self, event: RecordedEvent, message: str) -> None:
        self.flaws.append(Flaw(event.seq, message))

    @exact
    def _take(self, event: RecordedEvent) -> None:
        data = event.data
        fill = None if data.get("fill") is None else read(Fill, data["fill"])
        if fill is not None:
            print_ = fingerprint(None, data["fill"])
            if self.fills.setdefault(fill.id, Told(event.seq, print_)).print != print_:
                self._flaw(event, f"another fill {fill.id} than event {self.fills[fill.id].seq} has")
        match event.aggregate_type:
            case AggregateType.ORDER:
                self._take_order(event, data["order"], fill)
            case AggregateType.POSITION:
                self._take_position(event, data["position"], fill)
            case AggregateType.PORTFOLIO:
                self._take_portfolio(event, data)
            case AggregateType.MARKET if "tradingStatus" in data:
                self.market = data["tradingStatus"]
            case _:
                if event.type is EventType.MARKET_ALERT_DELETED:
                    self.told[event.aggregate_type].pop(event.aggregate_id, None)
                elif event.aggregate_type in NAMES:
                    self._tell(event, data[NAMES[event.aggregate_type]])

    def _tell(self, event: RecordedEvent, thing: Json, *sums: Decimal) -> None:
        kind = event.aggregate_type
        self.told[kind][event.aggregate_id] = Told(event.seq, fingerprint(kind, thing), sums)
        if event.type is EventType.NOTIFICATION_READ:
            self.read.add(event.aggregate_id)

    def _take_order(self, event: RecordedEvent, order: Json, fill: Fill | None) -> None:
        before = self.told[AggregateType.ORDER].get(event.aggregate_id)
        names = ("reservedCash", "filledQuantity", "filledNotional", "commission")
        reserved, *now = (Decimal(order[name]) for name in names)
        if before is not None or event.version == 1:
            held, *then = before.sums if before else (ZERO, ZERO, ZERO, ZERO)
            parts = (fill.quantity, fill.quantity * fill.price, fill.commission) if fill else (ZERO, ZERO, ZERO)
            if [one + part for one, part in zip(then, parts, strict=True)] != now:
                self._flaw(event, "what is filled of the order is not what was, and this fill")
            self._sums[UUID(order["portfolioId"])]["reservedCash"] += reserved - held
        if order["status"] not in WORKING and (reserved or order["closedAt"] is None):
            self._flaw(event, "the order has ended, and holds something back or has no end")
        if fill is not None:
            self._unpaid[fill.id] = event.seq
        self._tell(event, order, reserved, *now)

    def _take_position(self, event: RecordedEvent, data: Json, fill: Fill | None) -> None:
        position, before = read(Position, data), self.told[AggregateType.POSITION].get(event.aggregate_id)
        if before is not None or position.version == 1:
            then = before.sums[0] if before else ZERO
            self._sums[position.portfolio_id]["realizedPnl"] += position.realized_pnl - then
            known = self.whole or before is not None  # else it may be the rest of one that was closed by the same fill
            if known and fill is not None and position != self._netted(position, fill):
                self._flaw(event, "the position is not what it was, and this fill")
        key = (position.portfolio_id, position.symbol)
        if position.closed_at is None:
            self._open[key] = position
        else:
            self._open.pop(key, None)
        self._tell(event, data, position.realized_pnl)

    def _netted(self, position: Position, fill: Fill) -> Position | None:
        """What the fill makes of the position; it can touch one and open another."""
        if self._netting is None or self._netting[0] != fill.id:
            before = self._open.get((position.portfolio_id, position.symbol))
            self._netting = (fill.id, net(before, fill, position.id))
        netting = self._netting[1]
        if netting.touched is not None and netting.touched.id == position.id:
            return netting.touched
        return None if netting.opened is None else replace(netting.opened, id=position.id)

    def _take_portfolio(self, event: RecordedEvent, data: Json) -> None:
        key = event.aggregate_id
        if event.version == 1:
            self._born.add(key)
        for row in data.get("transactions", ()):
            self._take_row(event, row)
        if event.type is EventType.RISK_LIMIT_CHANGED:
            self._take_limit(event, data["riskLimit"], removed=data["removed"])
        if event.type is EventType.TARGET_ALLOCATIONS_CHANGED:
            self._take_targets(event, data["targetAllocations"])
        if "portfolio" in data:
            self.portfolios[key] = data["portfolio"]
            # What an event shows is as of that event: what open orders held back, what positions had brought in.
            told, made = data["portfolio"], self.summed(key)
            wrong = [name for name in made if made[name] not in (told[name], None)]
            if wrong or told["version"] != event.version:
                self._flaw(event, f"the portfolio is not what came about before it: {', '.join(wrong) or 'version'}")
        elif key in self.portfolios:
            self.portfolios[key] = self.portfolios[key] | {"version": event.version}

    def _take_row(self, event: RecordedEvent, row: Json) -> None:
        sums = self._sums[event.aggregate_id]
        amount, balance = Decimal(row["amount"]), Decimal(row["balanceAfter"])
        if event.aggregate_id in self._born and (row["number"], balance) != (
            sums["ledgerSize"] + 1,
            sums["cash"] + amount,
        ):
            self._flaw(event, f"the ledger's row {row['number']} does not follow from the one before it")
        sums["ledgerSize"], sums["cash"] = Decimal(row["number"]), balance
        if row["kind"] == TransactionKind.TRADE:
            paid = UUID(row["fillId"])
            if self._unpaid.pop(paid, None) is None and self.whole:
                self._flaw(event, f"it pays for the fill {paid}, which is none or was paid for")
        self.ledger[UUID(row["id"])] = Told(event.seq, fingerprint(None, row))

    def _take_targets(self, event: RecordedEvent, targets: list[Json]) -> None:
        for key in [key for key in self.targets if key[0] == event.aggregate_id]:
            del self.targets[key]
        for each in targets:
            self.targets[event.aggregate_id, each["symbol"]] = Told(event.seq, fingerprint(None, each))

    def _take_limit(self, event: RecordedEvent, limit: Json, *, removed: bool) -> None:
        key, told = (event.aggregate_id, limit["kind"]), Told(event.seq, fingerprint(None, limit))
        if not removed:
            self.limits[key] = told
            return
        before = self.limits.pop(key, None)
        if (before is not None or self.whole) and (before is None or before.print != told.print):
            self._flaw(event, "it removes another limit than there was")
