"""Something to ask about: a user with a portfolio of twenty positions, and fifty filled orders."""

from dataclasses import dataclass
from decimal import Decimal

from graph.base import global_id
from graph.process import build_services
from infrastructure.services import Services
from infrastructure.settings import Settings
from models.catalogue import CATALOGUE
from resolvers.portfolios.commands import create_portfolio
from tests.support.market import Market, Trader
from tests.support.people import context_of, signed_up

POSITIONS, ORDERS = 20, 50
CASH = Decimal(10_000_000)


@dataclass(frozen=True)
class Data:
    """Who asks, and what they ask about."""

    token: str
    user_id: str
    portfolio_id: str


async def fill(settings: Settings) -> Data:
    """Made through the use cases, in a migrated database."""
    services = build_services(settings)
    await services.relay.start()
    try:
        return await _fill(services)
    finally:
        await services.relay.stop()
        await services.database.close()


async def _fill(services: Services) -> Data:
    market = await Market.open(services)
    listings = [listing for listing in CATALOGUE if listing.lot_size == 1][:POSITIONS]
    signed_in = await signed_up(services)
    ctx = await context_of(services, signed_in)
    portfolio = (await create_portfolio(ctx, "Main", None, CASH)).value
    trader = Trader(ctx, portfolio.id)
    for turn in range(ORDERS):
        listing = listings[turn % POSITIONS]
        price = str(listing.base_price)
        await market.quote(listing.symbol, price, price)
        await trader.trade("BUY", str(turn % 9 + 1), price, listing.symbol)
    user_id, portfolio_id = global_id("User", signed_in.user.id), global_id("Portfolio", portfolio.id)
    return Data(signed_in.access_token, str(user_id), str(portfolio_id))
