"""Files of market data into the tables: all of a file, or nothing of it."""

from resolvers.marketdata.imports.candles import import_candles
from resolvers.marketdata.imports.findings import Imported, ImportRefused, RowFault
from resolvers.marketdata.imports.instruments import import_instruments
from resolvers.marketdata.imports.quotes import import_quotes, replayed_quotes

__all__ = [
    "ImportRefused",
    "Imported",
    "RowFault",
    "import_candles",
    "import_instruments",
    "import_quotes",
    "replayed_quotes",
]
