"""The whole book in the plainest arithmetic: fractions, lists and loops. It knows the rules, and nothing of the code.

What it says is worked out from the published rules alone; it imports none of what it is there to check.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from fractions import Fraction

from tests.stateful.accounts import RATE, ZERO, Account, Price, Refusal, Ticket, Wish

F = Fraction
MARGIN, SHORT = F(3, 100), F(3, 2)
OPEN_ORDERS = 200
COLLAR = F(1, 2)
STALE = timedelta(seconds=5)
NOT_WAITING = {
    "IOC": "Immediate or cancel: nothing at its price",
    "FOK": "Fill or kill: not all of it could be filled at once",
}
TOO_DEAR = "The price rose above what was held back, and the buying power does not cover it"


@dataclass
class Oracle:
    """Every portfolio, and the one market that they share."""

    lots: dict[str, Fraction]
    ticks: dict[str, Fraction]
    prices: dict[str, Price] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    untradable: set[str] = field(default_factory=set)
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

    def fresh(self, symbol: str, now: datetime) -> bool:
        """Whether there is a quote that orders may be priced by."""
        return symbol in self.prices and now - self.prices[symbol].at <= STALE

    def stop_of(self, wish: Wish, mark: Fraction | None) -> Fraction | None:
        """Where the stop of an order stands: where it says, or behind the mark."""
        if not wish.trails or mark is None:
            return wish.stop
        distance = wish.trail if wish.trail is not None else mark * (wish.percent or ZERO) / 100
        tick = self.ticks[wish.symbol]
        return round((mark + wish.sign * distance) / tick) * tick

    def worst(self, wish: Wish, stop: Fraction | None = None) -> Fraction:
        """What a unit may cost, or bring, at worst; `stop` is where it waits."""
        price = self.prices.get(wish.symbol)
        if wish.side == "BUY":
            if wish.limit is not None:
                return wish.limit
            return max(stop or ZERO, price.ask if price else ZERO) * (1 + MARGIN)
        return max(wish.limit or ZERO, stop or ZERO, price.bid if price else ZERO)

    def needs(self, account: Account, wish: Wish, worst: Fraction) -> Fraction:
        """What an order needs of the buying power."""
        held, same = account.held(wish.symbol), self.same_side(account, wish)
        last = self.last(wish.symbol, worst)
        if wish.side == "BUY":
            covered = min(wish.quantity, max(ZERO, -held - same))
            return worst * wish.quantity * (1 + RATE) - SHORT * covered * last
        return self.short_needs(max(ZERO, wish.quantity - max(ZERO, held - same)), worst, last)

    def free(self, account: Account) -> Fraction:
        """What there is of it for another order."""
        return self.buying_power(account) - self.pending_shorts(account)

    def same_side(self, account: Account, wish: Wish) -> Fraction:
        """What already works on its side."""
        return sum((ticket.left for ticket in account.working(wish.symbol, wish.side)), ZERO)

    def refusal(self, account: Account, wish: Wish, now: datetime) -> Refusal | None:
        """Why a well-formed order is refused; none if it is not."""
        return self._refusal(account, wish, now, self.last(wish.symbol), waits=wish.waits)

    def no_replacing(self, ticket: Ticket, wish: Wish, now: datetime) -> Refusal | None:
        """Why an order may not become that; none if it may."""
        if not ticket.working or ticket.due(now):
            return Refusal(["ORDER_NOT_OPEN"])
        filled, old = ticket.wish.quantity - ticket.left, ticket.wish
        moved = (old.stop, old.trail, old.percent) != (wish.stop, wish.trail, wish.percent)
        if faults := [wish.quantity <= filled, ticket.triggered_at is not None and moved].count(True):
            return Refusal(["INVALID_INPUT"] * faults)
        with ticket.aside():
            rest = replace(wish, quantity=wish.quantity - filled)
            return self._refusal(ticket.account, rest, now, ticket.mark, waits=wish.waits and not ticket.triggered_at)

    def _refusal(
        self, account: Account, wish: Wish, now: datetime, mark: Fraction | None, *, waits: bool
    ) -> Refusal | None:
        if wish.symbol in self.untradable:
            return Refusal(["INSTRUMENT_NOT_TRADABLE"])
        if wish.limit is None and not (waits and wish.stop is not None) and not self.fresh(wish.symbol, now):
            return Refusal(["INSTRUMENT_NOT_TRADABLE"])
        stop = self.stop_of(wish, mark) if waits else None
        if stop is not None and stop <= 0:
            return Refusal(["INVALID_INPUT"])
        worst = self.worst(wish, stop)
        need, free = self.needs(account, wish, worst), self.free(account)
        failed = {*self._failed(account, wish, worst), *self._far(wish, None if wish.trails else stop)}
        codes = ["TRADING_PAUSED"] * len(failed & {"TRADING_STATE", "REDUCE_ONLY"})
        if failed - {"TRADING_STATE", "REDUCE_ONLY"}:
            codes.append("RISK_LIMIT_EXCEEDED")
        if short_of_funds := need > max(free, ZERO):
            codes.append("INSUFFICIENT_FUNDS")
            failed.add("BUYING_POWER")
        return Refusal(sorted(codes), failed, (need, free) if short_of_funds else None) if codes else None

    def _failed(self, account: Account, wish: Wish, worst: Fraction) -> Iterator[str]:
        states = {account.state, self.everybody}
        held, same = account.held(wish.symbol), self.same_side(account, wish)
        reduces = held * wish.sign < 0 and same + wish.quantity <= abs(held)
        after, dearest = held + wish.sign * (same + wish.quantity), [worst, self.last(wish.symbol)]
        if after * wish.sign > 0:
            tickets = account.working(wish.symbol, wish.side)
            dearest += [price for t in tickets for price in (t.wish.limit, t.stop) if price is not None]
        worth = abs(after) * max(dearest)
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

        yield from self._of_the_whole(account, wish, worth) if not reduces else ()

    def _of_the_whole(self, account: Account, wish: Wish, worth: Fraction) -> Iterator[str]:
        gross, equity = self.gross(account, wish, worth), self.total_value(account)
        if "MAX_GROSS_EXPOSURE" in account.limits and (gross is None or gross > account.limits["MAX_GROSS_EXPOSURE"]):
            yield "MAX_GROSS_EXPOSURE"
        if "MAX_LEVERAGE" in account.limits:
            measured = gross is not None and equity is not None and equity > 0
            if not measured or (gross or ZERO) > account.limits["MAX_LEVERAGE"] * (equity or ZERO):
                yield "MAX_LEVERAGE"

    def gross(self, account: Account, wish: Wish, worth: Fraction) -> Fraction | None:
        """All positions at their worst: `worth` is that of the order's own on its side."""
        total = ZERO
        for symbol in self.lots:
            sides = [worth] if symbol == wish.symbol else []
            for side, sign in (("BUY", 1), ("SELL", -1)):
                tickets, held = account.working(symbol, side), account.held(symbol)
                if symbol == wish.symbol and (side == wish.side or not tickets):
                    continue
                after = held + sign * sum((ticket.left for ticket in tickets), ZERO)
                named = [price for t in tickets for price in (t.wish.limit, t.stop) if price is not None]
                if after and symbol not in self.prices and (held or not named):
                    return None
                last = self.last(symbol)
                sides.append(abs(after) * (max([*named, last]) if after * sign > 0 else last))
            total += max(sides)
        return total

    def _far(self, wish: Wish, stop: Fraction | None) -> Iterator[str]:
        """Whether a price that would trade or trigger at once is more than half of the last price away from it."""
        if wish.symbol not in self.prices:
            return
        last, sign = self.last(wish.symbol), wish.sign
        from_limit = last if stop is None else max(last * sign, stop * sign) * sign
        if wish.limit is not None and (wish.limit - from_limit) * sign > COLLAR * from_limit:
            yield "PRICE_COLLAR"
        if stop is not None and (last - stop) * sign > COLLAR * last:
            yield "PRICE_COLLAR"

    def place(self, account: Account, key: str, wish: Wish, now: datetime) -> Ticket:
        """Accept an order."""
        mark = self.last(wish.symbol) if wish.trails else None
        stop, status = self.stop_of(wish, mark), "PENDING" if wish.waits else "OPEN"
        ticket = Ticket(key, account, wish, now, self.worst(wish, stop), now, _end(wish, now), stop, mark, status)
        account.tickets.append(ticket)
        return ticket

    def replace(self, ticket: Ticket, wish: Wish, now: datetime) -> None:
        """Give an order other terms."""
        if wish.limit != ticket.wish.limit or wish.quantity > ticket.wish.quantity:
            ticket.ranked_at = now
        if ticket.status == "PENDING":
            ticket.stop = self.stop_of(wish, ticket.mark)
        ticket.wish, ticket.version, ticket.expires = wish, ticket.version + 1, _end(wish, now)
        ticket.worst = self.worst(wish, ticket.stop if ticket.status == "PENDING" else None)

    def tick(self, prices: dict[str, Price], now: datetime) -> None:
        """New quotes: the whole size is there again."""
        self.prices.update(prices)
        for symbol in prices:
            self.match(symbol, now)

    def match(self, symbol: str, now: datetime) -> None:
        """Stops follow and trigger; then fills, without a limit first, by price, by time; what may not wait ends."""
        tickets = [t for each in self.accounts.values() for t in each.tickets if t.working and t.wish.symbol == symbol]
        if self.fresh(symbol, now):
            price = self.prices[symbol]
            for ticket in sorted(tickets, key=_turn):
                self._watch(ticket, price, now)
            for ticket in sorted(tickets, key=_turn):
                self._fill(ticket, price, now)
        for ticket in tickets:
            if ticket.at_market and ticket.wish.tif in NOT_WAITING:
                ticket.end("CANCELLED", now, NOT_WAITING[ticket.wish.tif])

    def _watch(self, ticket: Ticket, price: Price, now: datetime) -> None:
        """A stop that waits: it follows the last price, and triggers when that has come to it."""
        wish, sign = ticket.wish, ticket.wish.sign
        if ticket.status != "PENDING":
            return
        if ticket.mark is not None and sign * (price.last - ticket.mark) < 0:
            ticket.mark, ticket.stop = price.last, self.stop_of(wish, price.last)
        if ticket.stop is None or sign * (price.last - ticket.stop) < 0:
            return
        worst, rest = self.worst(wish), replace(wish, quantity=ticket.left)
        if wish.side == "BUY" and worst > ticket.worst:
            with ticket.aside():
                lacking = self.needs(ticket.account, rest, worst) > max(self.free(ticket.account), ZERO)
            if lacking:
                ticket.end("REJECTED", now)
                return
        ticket.status, ticket.version, ticket.worst = "OPEN", ticket.version + 1, worst
        ticket.triggered_at = ticket.ranked_at = now

    def _fill(self, ticket: Ticket, price: Price, now: datetime) -> None:
        if not ticket.at_market:
            return
        buys, limit = ticket.wish.side == "BUY", ticket.wish.limit
        at = price.ask if buys else price.bid
        if limit is not None and (limit < at if buys else limit > at):
            return
        quantity = min(ticket.left, price.ask_left if buys else price.bid_left)
        if not quantity or (ticket.wish.tif == "FOK" and quantity < ticket.left):
            return
        if buys and at > ticket.worst:
            with ticket.aside():
                rest = replace(ticket.wish, quantity=ticket.left)
                lacking = self.needs(ticket.account, rest, at) > max(self.free(ticket.account), ZERO)
            if lacking:
                ticket.end("CANCELLED", now, TOO_DEAR)
                return
            ticket.worst = at
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
            ticket.end("CANCELLED", now, "Immediate or cancel: nothing at its price")

    def pass_time(self, now: datetime) -> None:
        """What falls due: orders whose time is over, and resumptions."""
        for account in self.accounts.values():
            for ticket in account.tickets:
                if ticket.due(now):
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


def _turn(ticket: Ticket) -> tuple[int, Fraction, datetime, datetime]:
    limit = ticket.wish.limit
    if limit is None:
        return 0, ZERO, ticket.ranked_at, ticket.placed_at
    return 1, -limit * ticket.wish.sign, ticket.ranked_at, ticket.placed_at


def _end(wish: Wish, now: datetime) -> datetime | None:
    if wish.tif == "DAY":
        return now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    return wish.until if wish.tif == "GTD" else None
