from decimal import Decimal

# SQLite's compiler writes this ON CONFLICT as its own, so that one statement serves both databases.
from sqlalchemy.dialects.postgresql import insert

from infrastructure.rows import table, values
from infrastructure.services import Services
from models.catalogue import CATALOGUE, Listing
from models.marketdata import Instrument, InstrumentRow
from models.money import CURRENCY

MULTIPLIER = Decimal(1)


async def seed_catalogue(services: Services) -> None:
    """Add the instruments of the first catalogue that are not there yet; those that are stay as they are."""
    rows = [values(listed(listing)) for listing in CATALOGUE]
    async with services.database.write() as transaction:
        await transaction.execute(insert(table(InstrumentRow)).on_conflict_do_nothing(), rows)


def listed(listing: Listing) -> Instrument:
    """The instrument of a listing: the first catalogue is in one currency, and a price is for one unit."""
    return Instrument(
        symbol=listing.symbol,
        name=listing.name,
        asset_class=listing.asset_class,
        currency=CURRENCY,
        tick_size=listing.tick_size,
        lot_size=listing.lot_size,
        multiplier=MULTIPLIER,
        tradable=True,
    )
