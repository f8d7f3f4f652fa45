from collections import Counter
from decimal import Decimal

import pytest

from models.catalogue import CATALOGUE, Listing
from models.enums import AssetClass

every_listing = pytest.mark.parametrize("listing", CATALOGUE, ids=lambda listing: listing.symbol)


def test_catalogue_has_sixteen_equities_eight_etfs_and_six_crypto_pairs() -> None:
    counts = Counter(listing.asset_class for listing in CATALOGUE)

    assert counts == {AssetClass.EQUITY: 16, AssetClass.ETF: 8, AssetClass.CRYPTO: 6}


def test_catalogue_names_every_symbol_and_every_name_once() -> None:
    assert len({listing.symbol for listing in CATALOGUE}) == len(CATALOGUE)
    assert len({listing.name for listing in CATALOGUE}) == len(CATALOGUE)


@every_listing
def test_prices_are_whole_ticks_and_touch_sizes_are_whole_lots(listing: Listing) -> None:
    assert listing.tick_size > 0
    assert listing.lot_size > 0
    assert listing.base_price > 0
    assert listing.touch_size > 0
    assert listing.base_price % listing.tick_size == 0
    assert listing.touch_size % listing.lot_size == 0


@every_listing
def test_a_base_price_is_a_thousand_ticks_or_more_so_that_a_tick_stays_within_ten_basis_points(
    listing: Listing,
) -> None:
    assert listing.base_price / listing.tick_size >= 1_000


@every_listing
def test_annual_volatility_is_a_fraction_between_ten_and_a_hundred_percent(listing: Listing) -> None:
    assert Decimal("0.10") <= listing.annual_volatility <= 1


@every_listing
def test_shares_trade_whole_in_cents_with_ten_at_the_touch_and_crypto_trades_in_fractions(listing: Listing) -> None:
    if listing.asset_class is AssetClass.CRYPTO:
        assert listing.lot_size < 1
    else:
        assert listing.lot_size == 1
        assert listing.tick_size == Decimal("0.01")
        assert listing.touch_size >= 10
