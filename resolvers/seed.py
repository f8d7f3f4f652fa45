"""The demo: a user with a portfolio that has something to show."""

from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy import select

from infrastructure.rows import table
from infrastructure.services import Services
from models.accounts import UserRow
from models.enums import ErrorCode, OrderSide, OrderType, TimeInForce
from models.errors import Refused
from models.people import Registration
from resolvers.accounts.commands import register
from resolvers.accounts.queries import authenticate
from resolvers.context import Context
from resolvers.orders.commands import place_order
from resolvers.orders.inputs import PlaceOrder
from resolvers.portfolios.commands import create_portfolio

EMAIL = "demo@tradegraph.dev"
PASSWORD = "demo-password"  # noqa: S105 - reason: the demo's login is published, and only ever in the embedded database
CASH = Decimal(100_000)
ADDRESS = "seed"


@dataclass(frozen=True, slots=True)
class _Wish:
    key: str
    symbol: str
    quantity: Decimal
    limit_price: Decimal | None = None


WISHES = (
    _Wish("demo-1", "AAPL", Decimal(40)),
    _Wish("demo-2", "SPY", Decimal(25)),
    _Wish("demo-3", "BTC-USD", Decimal("0.05")),
    _Wish("demo-4", "MSFT", Decimal(10), Decimal(50)),
)


async def seed_demo(services: Services) -> bool:
    """Make the demo user, unless there is one already; whether it did. The market has to have quoted before."""
    users = table(UserRow)
    async with services.database.read() as connection:
        if (await connection.execute(select(users.c.id).where(users.c.email == EMAIL))).first():
            return False
    try:
        signed_in = await register(
            Context(services, None, ADDRESS, services.relay.position), Registration(EMAIL, PASSWORD, "Demo", "Trader")
        )
    except Refused as refused:
        if [fault.code for fault in refused.faults] != [ErrorCode.CONFLICT]:
            raise
        return False  # another process was quicker
    viewer = await authenticate(services, signed_in.access_token)
    ctx = Context(services, viewer, ADDRESS, services.relay.position)
    portfolio = (await create_portfolio(ctx, "Demo portfolio", None, CASH)).value
    for wish in WISHES:
        kind = OrderType.MARKET if wish.limit_price is None else OrderType.LIMIT
        await place_order(
            ctx,
            PlaceOrder(
                portfolio_id=portfolio.id,
                symbol=wish.symbol,
                side=OrderSide.BUY,
                type=kind,
                quantity=wish.quantity,
                limit_price=wish.limit_price,
                time_in_force=TimeInForce.GTC,
                client_order_id=wish.key,
            ),
        )
    return True
