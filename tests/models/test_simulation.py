from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_UP, Decimal, localcontext
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import simulation
from models.catalogue import CATALOGUE, Listing
from models.enums import AssetClass
from models.simulation import SimulatedQuote, price_at, quote_at

BY_SYMBOL = {listing.symbol: listing for listing in CATALOGUE}
AAPL = BY_SYMBOL["AAPL"]
SEED = 20260301
MOMENT = datetime(2026, 3, 4, 15, 30, 7, 300_000, tzinfo=UTC)
SLOT = timedelta(milliseconds=250)

seeds = st.integers(min_value=0, max_value=2**63 - 1)
listings = st.sampled_from(CATALOGUE)
moments = st.datetimes(datetime(1950, 1, 1), datetime(2150, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis wants naive bounds and adds the zone
every_listing = pytest.mark.parametrize("listing", CATALOGUE, ids=lambda listing: listing.symbol)


def midnight_of(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def forget_everything() -> None:
    for cached in (simulation._path, simulation._level, simulation._kept_ticks, simulation._hour, simulation._cell):
        cached.cache_clear()


def test_the_path_of_an_equity_is_the_one_that_was_published() -> None:
    assert quote_at(SEED, AAPL, MOMENT) == SimulatedQuote(
        symbol="AAPL",
        bid=Decimal("202.19"),
        bid_size=Decimal(224),
        ask=Decimal("202.22"),
        ask_size=Decimal(235),
        last=Decimal("202.21"),
        open=Decimal("199.17"),
        high=Decimal("202.62"),
        low=Decimal("197.84"),
        previous_close=Decimal("199.17"),
        volume=Decimal(2996199),
        as_of=datetime(2026, 3, 4, 15, 30, 7, 250_000, tzinfo=UTC),
    )


def test_the_path_of_a_crypto_pair_is_the_one_that_was_published() -> None:
    assert quote_at(SEED, BY_SYMBOL["BTC-USD"], MOMENT) == SimulatedQuote(
        symbol="BTC-USD",
        bid=Decimal("110703.43"),
        bid_size=Decimal("1.10366"),
        ask=Decimal("110733.07"),
        ask_size=Decimal("0.98257"),
        last=Decimal("110712.87"),
        open=Decimal("113584.18"),
        high=Decimal("114146.05"),
        low=Decimal("109199.78"),
        previous_close=Decimal("113584.58"),
        volume=Decimal("14965.00725"),
        as_of=datetime(2026, 3, 4, 15, 30, 7, 250_000, tzinfo=UTC),
    )


@given(seeds, listings, moments)
def test_prices_are_whole_ticks_in_their_order(seed: int, listing: Listing, moment: datetime) -> None:
    quote = quote_at(seed, listing, moment)

    assert listing.tick_size <= quote.bid < quote.ask
    assert quote.bid <= quote.last <= quote.ask
    assert quote.low <= quote.last <= quote.high
    assert quote.low <= quote.open <= quote.high
    prices = (quote.bid, quote.ask, quote.last, quote.open, quote.high, quote.low, quote.previous_close)
    assert [price % listing.tick_size for price in prices] == [0] * 7


@given(seeds, listings, moments)
def test_the_spread_is_one_tick_or_at_most_four_basis_points(seed: int, listing: Listing, moment: datetime) -> None:
    quote = quote_at(seed, listing, moment)

    assert quote.ask - quote.bid <= max(listing.tick_size, quote.last * Decimal("0.0004"))


@given(seeds, listings, moments)
def test_sizes_are_whole_lots_of_one_to_three_touch_sizes(seed: int, listing: Listing, moment: datetime) -> None:
    quote = quote_at(seed, listing, moment)

    assert listing.touch_size <= quote.bid_size <= 3 * listing.touch_size
    assert listing.touch_size <= quote.ask_size <= 3 * listing.touch_size
    assert [size % listing.lot_size for size in (quote.bid_size, quote.ask_size, quote.volume)] == [0] * 3
    assert listing.asset_class is AssetClass.CRYPTO or min(quote.bid_size, quote.ask_size) >= 10


@given(seeds, listings, moments)
def test_the_quote_is_the_same_when_nothing_is_remembered(seed: int, listing: Listing, moment: datetime) -> None:
    before = quote_at(seed, listing, moment)

    forget_everything()

    assert quote_at(seed, listing, moment) == before


@given(seeds, listings, moments)
def test_price_at_is_the_last_of_the_quote(seed: int, listing: Listing, moment: datetime) -> None:
    assert price_at(seed, listing, moment) == quote_at(seed, listing, moment).last


@given(seeds, listings, moments)
def test_a_day_opens_at_its_midnight_and_remembers_the_close_before(
    seed: int, listing: Listing, moment: datetime
) -> None:
    quote = quote_at(seed, listing, moment)
    midnight = midnight_of(moment)

    assert quote.open == price_at(seed, listing, midnight)
    assert quote.previous_close == price_at(seed, listing, midnight - SLOT)


@given(seeds, listings, moments)
def test_at_midnight_the_day_has_one_price_and_no_volume(seed: int, listing: Listing, moment: datetime) -> None:
    quote = quote_at(seed, listing, midnight_of(moment))

    assert quote.open == quote.high == quote.low == quote.last
    assert quote.volume == 0


@given(
    seeds,
    listings,
    moments,
    st.lists(st.timedeltas(timedelta(0), timedelta(days=1, microseconds=-1)), min_size=2, max_size=5),
)
def test_volume_never_falls_within_a_day(
    seed: int, listing: Listing, moment: datetime, offsets: list[timedelta]
) -> None:
    volumes = [quote_at(seed, listing, midnight_of(moment) + offset).volume for offset in sorted(offsets)]

    assert volumes == sorted(volumes)


@given(seeds, listings, moments)
def test_volume_goes_on_through_the_end_of_a_cell(seed: int, listing: Listing, moment: datetime) -> None:
    noon = midnight_of(moment) + timedelta(hours=12)
    before, at, after = (quote_at(seed, listing, noon + offset).volume for offset in (-SLOT, timedelta(0), SLOT))

    assert before <= at <= after
    assert after - before <= listing.touch_size


@given(seeds, listings, moments)
def test_as_of_is_the_beginning_of_the_slot_that_the_moment_is_in(
    seed: int, listing: Listing, moment: datetime
) -> None:
    quote = quote_at(seed, listing, moment)

    assert timedelta(0) <= moment - quote.as_of < SLOT
    assert quote.as_of.tzinfo is UTC
    assert quote_at(seed, listing, quote.as_of) == quote
    assert quote_at(seed, listing, quote.as_of + SLOT - timedelta(microseconds=1)) == quote


def test_the_same_moment_in_another_time_zone_is_the_same_quote() -> None:
    assert quote_at(SEED, AAPL, MOMENT.astimezone(timezone(timedelta(hours=9)))) == quote_at(SEED, AAPL, MOMENT)


def test_a_moment_without_a_time_zone_is_refused() -> None:
    naive = MOMENT.replace(tzinfo=None)

    with pytest.raises(ValueError, match="needs a time zone"):
        quote_at(SEED, AAPL, naive)
    with pytest.raises(ValueError, match="needs a time zone"):
        price_at(SEED, AAPL, naive)


def test_the_callers_decimal_context_does_not_move_the_market() -> None:
    expected = quote_at(SEED, AAPL, MOMENT)
    forget_everything()

    with localcontext(prec=3, rounding=ROUND_UP):
        assert quote_at(SEED, AAPL, MOMENT) == expected


def test_another_seed_or_another_symbol_is_another_path() -> None:
    here = [price_at(SEED, AAPL, MOMENT + timedelta(hours=hour)) for hour in range(24)]
    other_seed = [price_at(SEED + 1, AAPL, MOMENT + timedelta(hours=hour)) for hour in range(24)]
    twin = replace(AAPL, symbol="AAPL2")
    other_symbol = [price_at(SEED, twin, MOMENT + timedelta(hours=hour)) for hour in range(24)]

    assert len({tuple(here), tuple(other_seed), tuple(other_symbol)}) == 3


@given(seeds, st.sampled_from([datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)]))
def test_the_first_and_the_last_day_of_the_calendar_have_sound_prices(seed: int, moment: datetime) -> None:
    quote = quote_at(seed, AAPL, moment)

    assert AAPL.base_price / 20 < quote.last < AAPL.base_price * 20


def test_a_price_below_a_tick_is_shown_as_one_tick() -> None:
    penny = replace(AAPL, symbol="PENNY", base_price=Decimal("0.001"))
    quote = quote_at(SEED, penny, MOMENT)

    assert (quote.bid, quote.last, quote.ask) == (Decimal("0.01"), Decimal("0.01"), Decimal("0.02"))


@every_listing
def test_a_years_daily_moves_have_the_volatility_of_the_listing(listing: Listing) -> None:
    prices = [price_at(SEED, listing, MOMENT + timedelta(days=day)) for day in range(366)]
    moves = [(after / before).ln() for before, after in pairwise(prices)]
    measured = (sum((move * move for move in moves), Decimal(0)) / len(moves)).sqrt()
    promised = listing.annual_volatility / Decimal(252).sqrt()

    assert promised * Decimal("0.8") < measured < promised * Decimal("1.25")


@every_listing
def test_prices_move_within_half_a_minute_and_by_little_in_a_second(listing: Listing) -> None:
    prices = [price_at(SEED, listing, MOMENT + timedelta(seconds=second)) for second in range(600)]
    moved = sum(before != after for before, after in zip(prices, prices[30:], strict=False))
    widest = max(abs(after - before) for before, after in pairwise(prices))

    assert moved > 570 * 0.6
    assert 0 < widest <= max(2 * listing.tick_size, prices[0] * Decimal("0.0015"))


def test_sizes_and_spreads_change_from_second_to_second() -> None:
    quotes = [quote_at(SEED, AAPL, MOMENT + timedelta(seconds=second)) for second in range(60)]

    assert len({quote.bid_size for quote in quotes}) > 30
    assert len({quote.ask_size for quote in quotes}) > 30
    assert len({quote.ask - quote.bid for quote in quotes}) >= 5
