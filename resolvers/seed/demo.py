"""The demo: a user whose portfolio has lived for a year, at the prices that the simulated market had."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal

from sqlalchemy import select

from infrastructure.feed import store_quotes
from infrastructure.ids import Ids
from infrastructure.rows import values
from infrastructure.services import Services
from models.accounts import User
from models.catalogue import CATALOGUE
from models.enums import ApiScope, ErrorCode, OrderSide, OrderType, RiskLimitKind, TimeInForce
from models.errors import Refused
from models.hours import MarketCalendar
from models.marketdata import Quote
from models.money import to_step
from models.orders import Order
from models.people import Registration
from models.positions import day_of
from models.simulation import quote_at
from resolvers.accounts.commands import register
from resolvers.accounts.commands.users import USERS, account_by
from resolvers.accounts.queries import authenticate
from resolvers.context import Context, Viewer
from resolvers.marketdata.commands import seed_catalogue
from resolvers.orders.commands import execute_order, place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.orders.store import ORDERS
from resolvers.portfolios.commands import create_portfolio, deposit_cash, withdraw_cash
from resolvers.risk.commands import set_risk_limit
from resolvers.seed.clock import Then
from resolvers.seed.parts import parts

EMAIL = "demo@tradegraph.dev"
PASSWORD = "demo-password"  # noqa: S105 - reason: the demo's login is published, and only ever in the embedded database
NAME = "Demo portfolio"
CASH = Decimal(100_000)
ADDRESS = "seed"
LAST = "demo-complete"
"""The client order id of the order that is placed last: who finds it finds the whole demo."""
A_YEAR = timedelta(days=365)
AS_IT_WAS = {"price_collar": Decimal(1000), "market_hours": MarketCalendar.ALWAYS}
"""A story of the past is told at any hour, and the stored quotes may be newer than its prices."""
TRADING_HOUR = timedelta(hours=15, minutes=30)
LISTINGS = {listing.symbol: listing for listing in CATALOGUE}


@dataclass(frozen=True, slots=True)
class _Deal:
    """What was traded so many days ago; `parts` fills made it up."""

    days_ago: int
    side: OrderSide
    symbol: str
    quantity: str
    parts: int = 1


_BUY, _SELL = OrderSide.BUY, OrderSide.SELL
DEALS = (
    _Deal(360, _BUY, "SPY", "20"),
    _Deal(358, _BUY, "AAPL", "60", 2),
    _Deal(351, _BUY, "TLT", "80"),
    _Deal(340, _BUY, "BTC-USD", "0.08"),
    _Deal(322, _BUY, "MSFT", "15"),
    _Deal(305, _SELL, "AAPL", "20"),
    _Deal(290, _BUY, "KO", "100", 2),
    _Deal(266, _SELL, "TSLA", "12"),
    _Deal(251, _BUY, "TSLA", "12"),
    _Deal(240, _BUY, "NVDA", "30"),
    _Deal(221, _SELL, "TLT", "80"),
    _Deal(200, _BUY, "ETH-USD", "1.5"),
    _Deal(181, _SELL, "KO", "100"),
    _Deal(160, _BUY, "QQQ", "10"),
    _Deal(143, _SELL, "BTC-USD", "0.03"),
    _Deal(120, _SELL, "ETH-USD", "1.5", 3),
    _Deal(98, _BUY, "JPM", "25"),
    _Deal(75, _SELL, "NVDA", "10"),
    _Deal(52, _BUY, "AAPL", "10"),
    _Deal(33, _SELL, "TSLA", "8"),
    _Deal(20, _SELL, "MSFT", "5"),
    _Deal(9, _BUY, "SPY", "5"),
    _Deal(2, _SELL, "JPM", "10"),
)
LIMITS = {
    RiskLimitKind.MAX_CONCENTRATION: Decimal("0.3"),
    RiskLimitKind.MAX_ORDER_NOTIONAL: Decimal(15_000),
    RiskLimitKind.MAX_OPEN_ORDERS: Decimal(20),
}
"""What the portfolio is held to from now on: wide enough for what it has."""
PAID_IN, PAID_OUT = (180, Decimal(25_000)), (60, Decimal(8_000))
"""How many days ago, and how much."""


async def seed_demo(services: Services) -> bool:
    """Make the demo user and their year, unless it is there already; whether it did. Before the market opens.

    A year that was broken off is left aside, and told from the beginning in another portfolio.
    """
    user, complete = await _seeded(services)
    if complete:
        return False
    await seed_catalogue(services)
    now = services.clock.now()
    then = Then(now - A_YEAR)
    past = replace(services, clock=then, ids=Ids(then), settings=services.settings.model_copy(update=AS_IT_WAS))
    try:
        ctx = await _signed_up(past) if user is None else _as(past, user)
    except Refused as refused:
        if [fault.code for fault in refused.faults] != [ErrorCode.CONFLICT]:
            raise
        return False  # another process was quicker
    story = _Story(ctx, then, now)
    await story.tell()
    return True


async def _seeded(services: Services) -> tuple[User | None, bool]:
    """The demo's user, if there is one, and whether their year is whole."""
    account = await account_by(services.database, USERS.c.email == EMAIL)
    if account is None:
        return None, False
    last = select(ORDERS.c.id).where(ORDERS.c.owner_id == account.user.id, ORDERS.c.client_order_id == LAST)
    async with services.database.read() as connection:
        return account.user, (await connection.execute(last.limit(1))).first() is not None


def _as(services: Services, user: User) -> Context:
    return Context(services, Viewer(user, None, None, frozenset(ApiScope)), ADDRESS, services.relay.position)


async def _signed_up(services: Services) -> Context:
    nobody = Context(services, None, ADDRESS, services.relay.position)
    signed_in = await register(nobody, Registration(EMAIL, PASSWORD, "Demo", "Trader"))
    viewer = await authenticate(services, signed_in.access_token)
    return Context(services, viewer, ADDRESS, services.relay.position)


class _Story:
    """A year of one portfolio, day by day, through the same use cases as anybody's."""

    def __init__(self, ctx: Context, then: Then, now: datetime) -> None:
        self._ctx, self._then, self._now = ctx, then, now
        self._seed = ctx.services.settings.market_seed

    async def tell(self) -> None:
        """All of it, up to the orders that still work."""
        self._id = (await create_portfolio(self._ctx, NAME, None, CASH)).value.id
        for days_ago in sorted({deal.days_ago for deal in DEALS} | {PAID_IN[0], PAID_OUT[0]}, reverse=True):
            self._then.moment = day_of(self._now) - timedelta(days=days_ago) + TRADING_HOUR
            if days_ago == PAID_IN[0]:
                await deposit_cash(self._ctx, self._id, PAID_IN[1])
            if days_ago == PAID_OUT[0]:
                await withdraw_cash(self._ctx, self._id, PAID_OUT[1])
            for deal in (each for each in DEALS if each.days_ago == days_ago):
                await self._trade(deal)
        self._then.moment = self._now
        for kind, threshold in LIMITS.items():
            await set_risk_limit(self._ctx, self._id, kind, threshold)
        await self._leave_working()

    async def _trade(self, deal: _Deal) -> None:
        quotes = await self._quoted({each.symbol for each in DEALS if each.days_ago >= deal.days_ago})
        price, quantity = quotes[deal.symbol].touch(deal.side), Decimal(deal.quantity)
        order = await self._place(deal.symbol, deal.side, OrderType.LIMIT, quantity, limit_price=price)
        for part in parts(quantity, deal.parts, LISTINGS[deal.symbol].lot_size):
            after = await execute_order(self._ctx.services, order.id, order.version, part, price)
            order = after or order

    async def _leave_working(self) -> None:
        """An order of each kind that waits or works."""
        quotes = await self._quoted(LISTINGS)

        def at(symbol: str, share: str) -> Decimal:
            return to_step(quotes[symbol].last * Decimal(share), LISTINGS[symbol].tick_size)

        await self._place("AAPL", _BUY, OrderType.LIMIT, Decimal(10), at("AAPL", "0.93"))
        await self._place("SPY", _SELL, OrderType.STOP, Decimal(10), None, at("SPY", "0.92"))
        await self._place("NVDA", _BUY, OrderType.STOP_LIMIT, Decimal(5), at("NVDA", "1.07"), at("NVDA", "1.06"))
        await self._place(
            "BTC-USD", _SELL, OrderType.TRAILING_STOP, Decimal("0.05"), trail_percent=Decimal(12), key=LAST
        )

    async def _place(
        self,
        symbol: str,
        side: OrderSide,
        kind: OrderType,
        quantity: Decimal,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trail_percent: Decimal | None = None,
        key: str | None = None,
    ) -> Order:
        request = PlaceOrder(
            self._id,
            symbol,
            side,
            kind,
            quantity,
            limit_price,
            stop_price,
            trail_percent=trail_percent,
            time_in_force=TimeInForce.GTC,
            client_order_id=key,
        )
        return (await place_order(self._ctx, request)).value

    async def _quoted(self, symbols: Iterable[str]) -> dict[str, Quote]:
        """The market as it was at the moment of the story, in the table that prices orders."""
        moment = self._then.moment
        found = [Quote(**values(quote_at(self._seed, LISTINGS[symbol], moment))) for symbol in sorted(symbols)]
        await store_quotes(self._ctx.services.database, found)
        return {quote.symbol: quote for quote in found}
