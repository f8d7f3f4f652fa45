"""A day on which everything is done once that anybody can do, and everything follows from it that can."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

from infrastructure.services import Services
from models.enums import ApiScope, MarketAlertKind, OrderSide, OrderType, RiskLimitKind, Role, Severity, TimeInForce
from models.orders import Order
from models.people import PreferenceChanges, ProfileChanges
from models.risk_alerts import RiskAlert, RiskAlertRow
from resolvers.accounts.commands import (
    change_password,
    create_api_key,
    grant_role,
    login,
    logout,
    logout_everywhere,
    refresh_token,
    revoke_api_key,
    update_preferences,
    update_profile,
)
from resolvers.alerts.commands import mark_notifications_read
from resolvers.alerts.forgetting import forget_some
from resolvers.alerts.market_alerts import (
    arm_market_alert,
    create_market_alert,
    delete_market_alert,
    trigger_market_alert,
)
from resolvers.context import Context
from resolvers.marketdata.sentiment import record_sentiment
from resolvers.orders.commands import (
    ReplaceOrder,
    cancel_all_orders,
    cancel_order,
    close_position,
    drop_order,
    expire_due,
    move_stops,
    place_order,
    replace_order,
    trigger_order,
)
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.queries import preview_order
from resolvers.portfolios.allocations import set_target_allocations
from resolvers.portfolios.commands import create_portfolio, deposit_cash, update_portfolio, withdraw_cash
from resolvers.risk.commands import (
    acknowledge_risk_alert,
    pause_trading,
    remove_risk_limit,
    resume_due,
    resume_trading,
    set_risk_limit,
)
from tests.support.handlers import drain, told
from tests.support.market import D, Market, Trader, stored
from tests.support.people import ADDRESS, PASSWORD, context_of, signed_up

QUIET = {"preview", "what follows from trading", "watch", "arm", "watch no longer", "acknowledge"}
QUIET |= {"key", "revoke key", "login", "refresh", "logout", "logout everywhere"}
QUIET |= {"read", "forget", "what follows from a pause", "go off", "feel"}  # notifications alone
"""Steps that change nothing of what may be kept."""


class Day:
    """Ada's. `services` is what everything is done with; its handlers are registered."""

    def __init__(self, services: Services, market: Market, ada: Trader) -> None:
        self.services, self.market, self.ada = services, market, ada
        ada.ctx.services = services

    async def steps(self) -> AsyncIterator[str]:
        """Do it, and say after each step what it was."""
        for part in (
            self._trading,
            self._waiting,
            self._cash,
            self._limits,
            self._pauses,
            self._watching,
            self._people,
        ):
            async for step in part():
                yield step

    def _pass(self, **time: Any) -> None:
        self.services.clock.advance(**time)  # type: ignore[attr-defined]  # reason: the fixture's clock is moved by hand

    async def _quoted(self) -> None:
        """As it was, and as of now."""
        await self.market.quote("AAPL", "99.99", "100.00", last="100")

    async def _asked(self, kind: OrderType, **more: Any) -> Order:
        ask = PlaceOrder(self.ada.portfolio_id, "AAPL", OrderSide.SELL, kind, D(1), time_in_force=TimeInForce.GTC)
        return (await place_order(self.ada.ctx, replace(ask, **more))).value

    async def _trading(self) -> AsyncIterator[str]:
        ada, ctx = self.ada, self.ada.ctx
        # A handler that tells nobody may write without an event of its own.
        await update_preferences(ctx, PreferenceChanges(notify_on_fill=False, notify_on_risk_breach=False))
        yield "tell me nothing"
        order = (await ada.place("BUY", "3", limit="90")).value
        yield "place"
        await ada.trade("BUY", "10", "100")
        yield "buy"
        await ada.trade("SELL", "4", "101")
        yield "sell"
        order = await ada.fill(order, "1", "90")
        yield "fill a part"
        order = (await replace_order(ctx, ReplaceOrder(order.id, quantity=D(4)))).value
        yield "replace"
        await cancel_order(ctx, order.id)
        yield "cancel"
        order = (await ada.place("BUY", "3", limit="90")).value
        await drop_order(self.services, order.id, order.version, "the market says so")
        yield "drop"
        await ada.place("BUY", "3", limit="80")
        await ada.place("BUY", "3", limit="70")
        await cancel_all_orders(ctx, ada.portfolio_id)
        yield "cancel all"
        await preview_order(ctx, ada.request("BUY", "1", limit="100"))
        yield "preview"
        [position] = [each for each in await ada.positions() if each.closed_at is None]
        closing = (await close_position(ctx, position.id)).value
        yield "begin to close"
        await ada.fill(closing, "7", "100")
        yield "close"
        await drain(self.services)
        yield "what follows from trading"

    async def _waiting(self) -> AsyncIterator[str]:
        ada = self.ada
        await ada.trade("BUY", "5", "100")
        stop = await self._asked(OrderType.STOP, stop_price=D(95))
        await trigger_order(self.services, stop.id, stop.version)
        yield "trigger"
        trailing = await self._asked(OrderType.TRAILING_STOP, trail_amount=D(5))
        yield "trail"
        await move_stops(self.services, [replace(trailing, high_water_mark=D(110), stop_price=D(105))])
        yield "move"
        await trigger_order(self.services, trailing.id, trailing.version)
        yield "trigger what trailed"
        ends = self.services.clock.now() + timedelta(minutes=5)
        await self._asked(OrderType.LIMIT, limit_price=D(150), time_in_force=TimeInForce.GTD, expire_at=ends)
        self._pass(minutes=6)
        assert await expire_due(self.services) == 1
        await self._quoted()
        yield "expire"

    async def _cash(self) -> AsyncIterator[str]:
        ctx, mine = self.ada.ctx, self.ada.portfolio_id
        await deposit_cash(ctx, mine, D("12.34"))
        yield "deposit"
        await withdraw_cash(ctx, mine, D(10))
        yield "withdraw"
        await update_portfolio(ctx, mine, "Renamed")
        yield "rename"
        await set_target_allocations(ctx, mine, [("AAPL", D("0.5"))])
        yield "targets"
        await create_portfolio(ctx, "Another", None, None)
        yield "another portfolio"
        await set_target_allocations(ctx, mine, [])
        yield "no targets"

    async def _limits(self) -> AsyncIterator[str]:
        ctx, mine = self.ada.ctx, self.ada.portfolio_id
        await set_risk_limit(ctx, mine, RiskLimitKind.MAX_OPEN_ORDERS, D(50))
        yield "set a limit"
        await set_risk_limit(ctx, mine, RiskLimitKind.MAX_OPEN_ORDERS, D(60))
        yield "change a limit"
        await remove_risk_limit(ctx, mine, RiskLimitKind.MAX_OPEN_ORDERS)
        yield "remove a limit"
        await set_risk_limit(ctx, mine, RiskLimitKind.MAX_POSITION_NOTIONAL, D(1))
        await drain(self.services)
        yield "breach a limit"
        [alert] = await stored(self.services, RiskAlertRow, RiskAlert)
        await acknowledge_risk_alert(ctx, alert.id)
        yield "acknowledge"
        await update_preferences(ctx, PreferenceChanges(notify_on_risk_breach=True))
        yield "tell me"
        await set_risk_limit(ctx, mine, RiskLimitKind.MAX_GROSS_EXPOSURE, D(1), Severity.CRITICAL)
        await drain(self.services)
        yield "be paused"
        told_of = await told(self.services, owner_id=ctx.owner_id)
        await mark_notifications_read(ctx, [each.id for each in told_of])
        yield "read"
        self._pass(minutes=1)
        assert await forget_some(self.services, 0) == len(told_of)
        await self._quoted()
        yield "forget"

    async def _pauses(self) -> AsyncIterator[str]:
        ctx, mine = self.ada.ctx, self.ada.portfolio_id
        await resume_trading(ctx, mine)
        yield "resume"
        soon = self.services.clock.now() + timedelta(minutes=5)
        await pause_trading(ctx, mine, "a break", soon, reduce_only=True)
        yield "pause"
        signed_in = await signed_up(self.services, "root@example.com")
        await grant_role(self.services, "root@example.com", Role.ADMIN)
        root = await context_of(self.services, signed_in)
        await pause_trading(root, None, "halt", soon, reduce_only=False)
        yield "pause everybody"
        await drain(self.services)
        yield "what follows from a pause"
        self._pass(minutes=6)
        assert await resume_due(self.services) == 2
        await self._quoted()
        yield "resume by itself"
        await record_sentiment(root, "AAPL", D("0.9"), D(1), "newswire")
        await drain(self.services)
        yield "feel"
        await remove_risk_limit(ctx, mine, RiskLimitKind.MAX_POSITION_NOTIONAL)
        yield "remove the other limit"

    async def _watching(self) -> AsyncIterator[str]:
        ctx = self.ada.ctx
        alert = (await create_market_alert(ctx, "AAPL", MarketAlertKind.PRICE_ABOVE, D(500))).value
        yield "watch"
        await trigger_market_alert(self.services, alert.id, D(501))
        await drain(self.services)
        yield "go off"
        await arm_market_alert(self.services, alert.id)
        yield "arm"
        await delete_market_alert(ctx, alert.id)
        yield "watch no longer"

    async def _people(self) -> AsyncIterator[str]:
        ctx = self.ada.ctx
        await update_profile(ctx, ProfileChanges(first_name="Augusta"))
        yield "profile"
        await update_preferences(ctx, PreferenceChanges(notify_on_fill=True))
        yield "preferences"
        key = await create_api_key(ctx, "bot", [ApiScope.READ])
        yield "key"
        await revoke_api_key(ctx, key.key.id)
        yield "revoke key"
        here = Context(self.services, None, ADDRESS, 0)
        signed_in = await login(here, ctx.signed_in().user.email, PASSWORD)
        yield "login"
        signed_in = await refresh_token(here, signed_in.refresh_token)
        yield "refresh"
        await logout(here, signed_in.refresh_token)
        yield "logout"
        await change_password(ctx, PASSWORD, "battery staple and more")
        yield "password"
        await grant_role(self.services, ctx.signed_in().user.email, Role.ANALYST)
        yield "role"
        await logout_everywhere(ctx)
        yield "logout everywhere"
