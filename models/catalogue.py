from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from models.enums import AssetClass

_CENT: Final = Decimal("0.01")
_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True)
class Listing:
    """An instrument of the first catalogue, with what the simulated market needs to quote it. Everything is in USD.

    Attributes:
        symbol: The unique ticker.
        name: The name that a person reads.
        asset_class: EQUITY, ETF or CRYPTO.
        tick_size: The smallest step of a price.
        lot_size: The smallest step of a quantity.
        base_price: The price that the simulated path moves around, a multiple of the tick.
        touch_size: The least quantity at the bid and at the ask, a multiple of the lot.
        annual_volatility: The yearly standard deviation of returns (0.28 is 28%); a day has this over the root of 252.
    """

    symbol: str
    name: str
    asset_class: AssetClass
    tick_size: Decimal
    lot_size: Decimal
    base_price: Decimal
    touch_size: Decimal
    annual_volatility: Decimal


def _equity(symbol: str, name: str, base_price: str, touch_size: str, annual_volatility: str) -> Listing:
    return _whole_share(AssetClass.EQUITY, symbol, name, base_price, touch_size, annual_volatility)


def _etf(symbol: str, name: str, base_price: str, touch_size: str, annual_volatility: str) -> Listing:
    return _whole_share(AssetClass.ETF, symbol, name, base_price, touch_size, annual_volatility)


def _whole_share(
    asset_class: AssetClass, symbol: str, name: str, base_price: str, touch_size: str, annual_volatility: str
) -> Listing:
    return Listing(
        symbol=symbol,
        name=name,
        asset_class=asset_class,
        tick_size=_CENT,
        lot_size=_ONE,
        base_price=Decimal(base_price),
        touch_size=Decimal(touch_size),
        annual_volatility=Decimal(annual_volatility),
    )


def _crypto(symbol: str, name: str, tick_and_lot: str, base_price: str, touch: str, annual_volatility: str) -> Listing:
    tick_size, lot_size = tick_and_lot.split()
    return Listing(
        symbol=symbol,
        name=name,
        asset_class=AssetClass.CRYPTO,
        tick_size=Decimal(tick_size),
        lot_size=Decimal(lot_size),
        base_price=Decimal(base_price),
        touch_size=Decimal(touch),
        annual_volatility=Decimal(annual_volatility),
    )


CATALOGUE: Final[tuple[Listing, ...]] = (
    _equity("AAPL", "Apple Inc.", "270.00", "120", "0.28"),
    _equity("MSFT", "Microsoft Corporation", "480.00", "80", "0.24"),
    _equity("NVDA", "NVIDIA Corporation", "185.00", "200", "0.45"),
    _equity("AMZN", "Amazon.com, Inc.", "230.00", "120", "0.32"),
    _equity("GOOGL", "Alphabet Inc. Class A", "290.00", "100", "0.30"),
    _equity("META", "Meta Platforms, Inc.", "620.00", "50", "0.36"),
    _equity("TSLA", "Tesla, Inc.", "420.00", "100", "0.55"),
    _equity("NFLX", "Netflix, Inc.", "110.00", "150", "0.34"),
    _equity("JPM", "JPMorgan Chase & Co.", "300.00", "80", "0.24"),
    _equity("V", "Visa Inc.", "330.00", "60", "0.21"),
    _equity("JNJ", "Johnson & Johnson", "200.00", "80", "0.18"),
    _equity("WMT", "Walmart Inc.", "105.00", "150", "0.21"),
    _equity("PG", "Procter & Gamble Company", "150.00", "90", "0.18"),
    _equity("XOM", "Exxon Mobil Corporation", "117.00", "140", "0.24"),
    _equity("KO", "Coca-Cola Company", "71.00", "250", "0.17"),
    _equity("DIS", "Walt Disney Company", "108.00", "130", "0.28"),
    _etf("SPY", "SPDR S&P 500 ETF Trust", "660.00", "300", "0.17"),
    _etf("QQQ", "Invesco QQQ Trust", "600.00", "250", "0.21"),
    _etf("IWM", "iShares Russell 2000 ETF", "240.00", "300", "0.22"),
    _etf("VTI", "Vanguard Total Stock Market ETF", "325.00", "150", "0.17"),
    _etf("EFA", "iShares MSCI EAFE ETF", "94.00", "300", "0.16"),
    _etf("TLT", "iShares 20+ Year Treasury Bond ETF", "89.00", "400", "0.15"),
    _etf("GLD", "SPDR Gold Shares", "375.00", "120", "0.18"),
    _etf("XLF", "Financial Select Sector SPDR Fund", "53.00", "500", "0.19"),
    _crypto("BTC-USD", "Bitcoin", "0.01 0.00001", "95000.00", "0.5", "0.50"),
    _crypto("ETH-USD", "Ether", "0.01 0.0001", "3200.00", "8", "0.65"),
    _crypto("SOL-USD", "Solana", "0.01 0.001", "140.00", "120", "0.80"),
    _crypto("XRP-USD", "XRP", "0.0001 0.01", "2.2000", "5000", "0.80"),
    _crypto("ADA-USD", "Cardano", "0.0001 0.01", "0.5000", "15000", "0.80"),
    _crypto("DOGE-USD", "Dogecoin", "0.00001 0.1", "0.16000", "40000", "0.85"),
)
"""The instruments that a new installation starts with, in the order that it seeds them."""
