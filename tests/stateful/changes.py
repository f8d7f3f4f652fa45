"""What is done to what is there already: orders replaced, cancelled all at once, placed against a position; imports."""

import dataclasses
import tempfile
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.enums import TimeInForce
from resolvers.marketdata.imports import ImportRefused, import_instruments
from resolvers.marketdata.imports.instruments import InstrumentFile
from resolvers.orders.commands import ReplaceOrder, cancel_all_orders, close_position, replace_order
from tests.stateful.accounts import Refusal, Ticket, Wish
from tests.stateful.actions import LOTS, LOTS_IN_STEP, NOT_QUOTED, TICKS, TICKS_IN_STEP
from tests.stateful.book import Book
from tests.stateful.compare import read_stored

D, F = Decimal, Fraction
PRICES = {"limit": "limit_price", "stop": "stop_price", "trail": "trail_amount", "percent": "trail_percent"}


class Changes(Book):
    """To be mixed into the machine."""

    def replace(self, who: str, which: int, working: bool, seen: str, lots: int, moves: dict[str, int]) -> None:
        """An order gets other terms: those of `moves` that it names, by so many steps."""
        ticket = self._some_ticket(who, which, working=working)
        if ticket is not None:
            self._step(self._replace(who, ticket, seen, lots, moves))

    async def _replace(self, who: str, ticket: Ticket, seen: str, lots: int, moves: dict[str, int]) -> None:
        after, given = self._other_terms(ticket, lots, moves)
        version = {"nothing": None, "this": ticket.version, "another": ticket.version + 1}[seen]
        wish = ReplaceOrder(self.ids[ticket.key], version, **given)
        refusal: Refusal | None = None
        if not ticket.working:
            refusal = Refusal(["ORDER_NOT_OPEN"])
        elif seen == "another":
            refusal = Refusal(["CONFLICT"])
        elif after != ticket.wish:
            refusal = self.oracle.no_replacing(ticket, after, self.now)
        before = await self._log_end()
        done = await self._expect(refusal, replace_order(self.pit.traders[who], wish))
        if done is None:
            return
        if after == ticket.wish:
            assert await self._log_end() == before
            return
        self.oracle.replace(ticket, after, self.now)
        self.seen["replaced"] += 1
        await self.pit.catch_up()
        self.oracle.match(after.symbol, self.now)

    def _other_terms(self, ticket: Ticket, lots: int, moves: dict[str, int]) -> tuple[Wish, dict[str, Any]]:
        """What the order would be, and what has to be asked for to get there."""
        old, symbol, given = ticket.wish, ticket.wish.symbol, dict[str, Any]()
        changes: dict[str, Any] = {}
        if lots:
            step = LOTS[symbol] * LOTS_IN_STEP[symbol]
            given["quantity"] = max(step, _decimal(old.quantity) + lots * step)
            changes["quantity"] = F(given["quantity"])
        for name, field in PRICES.items():
            value = getattr(old, name)
            if value is not None and moves.get(name):
                unit = D(1) if name == "percent" else TICKS[symbol] * TICKS_IN_STEP[symbol]
                given[field] = max(unit, _decimal(value) + moves[name] * unit)
                if name == "percent":
                    given[field] = min(given[field], D(50))
                changes[name] = F(given[field])
        if seconds := moves.get("until"):
            given |= {"time_in_force": TimeInForce.GTD, "expire_at": self.now + timedelta(seconds=seconds)}
            changes |= {"tif": "GTD", "until": given["expire_at"]}
        elif moves.get("good"):
            given["time_in_force"] = TimeInForce.GTC
            changes |= {"tif": "GTC", "until": None}
        return dataclasses.replace(old, **changes), given

    def cancel_all(self, who: str, symbol: str | None) -> None:
        """Every order that works, or those of one symbol."""
        self._step(self._cancel_all(who, symbol))

    async def _cancel_all(self, who: str, symbol: str | None) -> None:
        tickets = [
            each
            for each in self.oracle.accounts[who].tickets
            if each.working and (symbol is None or each.wish.symbol == symbol)
        ]
        done = await cancel_all_orders(self.pit.traders[who], self.portfolios[who], symbol)
        assert [order.client_order_id for order in done.value] == [ticket.key for ticket in tickets]
        for ticket in tickets:
            ticket.end("CANCELLED", self.now, "Cancelled by the caller")
        self.seen["cancelled together"] += len(tickets)

    def close(self, who: str, symbol: str, size: str) -> None:
        """A position is closed, in part or whole; a little more than is held can't be."""
        self._step(self._close(who, symbol, size))

    async def _close(self, who: str, symbol: str, size: str) -> None:
        account = self.oracle.accounts[who]
        cycle, position_id = account.cycle(symbol), await self._position(who, symbol)
        if cycle is None or position_id is None:
            return
        held = _decimal(abs(cycle.quantity))
        quantity = {"whole": None, "half": self._quantity(who, symbol, "half"), "more": held + LOTS[symbol]}[size]
        key = f"close {self.seen['steps']}"
        amount = F(held if quantity is None else quantity)
        wish = Wish(symbol, "SELL" if cycle.quantity > 0 else "BUY", "DAY", amount)
        refusal = Refusal(["INVALID_INPUT"]) if amount > held else self.oracle.refusal(account, wish, self.now)
        ctx = self.pit.traders[who]
        done = await self._expect(refusal, close_position(ctx, position_id, quantity, key))
        if done is None:
            return
        self.ids[key] = done.value.id
        assert (await close_position(ctx, position_id, quantity, key)).value == done.value
        self.oracle.place(account, key, wish, self.now)
        self.seen["closed"] += 1
        await self.pit.catch_up()
        self.oracle.match(symbol, self.now)

    def import_catalogue(self, symbol: str, tradable: bool, fault: bool) -> None:
        """A file says whether an instrument may be traded; one with a fault somewhere changes nothing."""
        self._step(self._import_catalogue(symbol, tradable=tradable, fault=fault))

    async def _import_catalogue(self, symbol: str, *, tradable: bool, fault: bool) -> None:
        lines = ["Symbol,Name,Asset class,Currency,Tick size,Lot size,Tradable"]
        asset, word = "CRYPTO" if symbol == "BTC-USD" else "EQUITY", "yes" if tradable else "no"
        asset = "ETF" if symbol == NOT_QUOTED else asset
        lines.append(f"{symbol},{symbol},{asset},USD,{TICKS[symbol]},{LOTS[symbol]},{word}")
        lines += ["NOPE,,EQUITY,USD,0.01,1,yes"] if fault else []
        before = await self._log_end()
        with tempfile.NamedTemporaryFile("w", suffix=".csv") as file:
            file.write("\r\n".join(lines))
            file.flush()
            imported = import_instruments(self.pit.services, InstrumentFile(Path(file.name)))
            if fault:
                with pytest.raises(ImportRefused):
                    await imported
            else:
                await imported
        assert await self._log_end() == before
        if not fault:
            (self.oracle.untradable.discard if tradable else self.oracle.untradable.add)(symbol)
            self.seen["imported"] += 1

    async def _position(self, who: str, symbol: str) -> UUID | None:
        """The open one."""
        stored = await read_stored(self.pit.services.database, [self.portfolios[who]])
        positions = stored[self.portfolios[who]].positions
        return next((each.id for each in positions if each.symbol == symbol and each.closed_at is None), None)


def _decimal(value: Fraction) -> Decimal:
    """Exactly: what we ask for has at most 8 places."""
    return D(int(value * 10**8)) / 10**8
