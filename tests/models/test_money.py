"""Exact arithmetic: written in one way, rounded only where it says so."""

from decimal import Decimal, DivisionByZero, Inexact, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import AVERAGE_PLACES, MAX_DIGITS, MAX_PLACES, divide, exact, fits, is_multiple, text, to_step
from tests.support.samples import unhurried

D = Decimal
any_decimal = st.decimals(allow_nan=False, allow_infinity=False)
wide = st.builds(lambda digits, places: D(digits).scaleb(-places), st.integers(-(10**30), 10**30), st.integers(0, 20))
steps = st.sampled_from([D("1"), D("0.01"), D("0.00001"), D("0.05"), D("0.25"), D("3")])


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("100.00", "100"),
        ("1E+2", "100"),
        ("1E-8", "0.00000001"),
        ("-0.0", "0"),
        ("0E+5", "0"),
        ("0.10", "0.1"),
        ("-1.50", "-1.5"),
        ("1000", "1000"),
        ("1.234567890123456789012345678901234567890", "1.23456789012345678901234567890123456789"),
    ],
)
def test_text_when_written_then_there_is_no_exponent_no_idle_zero_and_no_negative_zero(
    value: str, written: str
) -> None:
    assert text(D(value)) == written


@unhurried
@given(wide)
def test_text_when_read_again_then_it_is_the_same_number_and_the_same_text(value: Decimal) -> None:
    assert D(text(value)) == value
    assert text(D(text(value))) == text(value)


@unhurried
@given(wide, st.integers(0, 5))
def test_text_when_one_number_is_spelled_in_two_ways_then_the_text_is_one(value: Decimal, zeros: int) -> None:
    with localcontext(prec=100):
        spelled = value.quantize(D(1).scaleb(-20 - zeros))
    assert text(spelled) == text(value)


@unhurried
@given(wide, wide)
def test_exact_when_sums_and_products_are_made_then_they_are_those_of_fractions(a: Decimal, b: Decimal) -> None:
    @exact
    def both() -> tuple[Decimal, Decimal]:
        return a + b, a * b

    total, product = both()
    assert (Fraction(total), Fraction(product)) == (Fraction(a) + Fraction(b), Fraction(a) * Fraction(b))


def test_exact_when_a_result_would_be_rounded_then_it_raises_and_does_not_round() -> None:
    @exact
    def third() -> Decimal:
        return D(1) / 3

    @exact
    def too_many_digits() -> Decimal:
        return D("1" * 100) + D("0.1")

    with pytest.raises(Inexact):
        third()
    with pytest.raises(Inexact):
        too_many_digits()
    assert D(1) / 3 == D("0.3333333333333333333333333333")  # outside, the thread's own context is as it was


@pytest.mark.parametrize(
    ("numerator", "denominator", "places", "quotient"),
    [
        ("1", "3", 8, "0.33333333"),
        ("2", "3", 8, "0.66666667"),
        ("1", "8", 2, "0.12"),
        ("3", "8", 2, "0.38"),
        ("-1", "8", 2, "-0.12"),
        ("0.000000005", "1", 8, "0"),
        ("0.000000015", "1", 8, "0.00000002"),
        ("0.0000000050000001", "1", 8, "0.00000001"),
    ],
)
def test_divide_when_a_quotient_does_not_end_then_it_is_half_even(
    numerator: str, denominator: str, places: int, quotient: str
) -> None:
    assert divide(D(numerator), D(denominator), places) == D(quotient)


@unhurried
@given(wide, wide.filter(bool))
def test_divide_when_compared_with_fractions_then_it_is_the_nearest_of_8_places(a: Decimal, b: Decimal) -> None:
    scale = 10**AVERAGE_PLACES
    assert Fraction(divide(a, b)) == Fraction(round(Fraction(a) / Fraction(b) * scale), scale)


def test_divide_when_the_denominator_is_zero_then_it_raises() -> None:
    with pytest.raises(DivisionByZero):
        divide(D(1), D(0))


@pytest.mark.parametrize(
    ("value", "step", "rounded"),
    [
        ("1.005", "0.01", "1.00"),
        ("1.015", "0.01", "1.02"),
        ("1.025", "0.01", "1.02"),
        ("-1.015", "0.01", "-1.02"),
        ("0.125", "0.25", "0"),
        ("0.375", "0.25", "0.5"),
        ("7", "3", "6"),
    ],
)
def test_to_step_when_a_price_lies_between_two_then_it_is_half_even(value: str, step: str, rounded: str) -> None:
    assert to_step(D(value), D(step)) == D(rounded)


@unhurried
@given(wide, steps)
def test_to_step_when_rounded_then_it_is_the_nearest_multiple_and_stays(value: Decimal, step: Decimal) -> None:
    rounded = to_step(value, step)
    assert Fraction(rounded) == round(Fraction(value) / Fraction(step)) * Fraction(step)
    assert is_multiple(rounded, step)
    assert to_step(rounded, step) == rounded


@unhurried
@given(wide, steps)
def test_is_multiple_when_compared_with_fractions_then_it_is_so(value: Decimal, step: Decimal) -> None:
    assert is_multiple(value, step) is ((Fraction(value) / Fraction(step)).denominator == 1)


@pytest.mark.parametrize(
    ("value", "fit"),
    [
        ("999999999999999999.99999999", True),
        ("-999999999999999999.99999999", True),
        ("1000000000000000000", False),
        ("1E+17", True),
        ("1E+18", False),
        ("0.00000001", True),
        ("0.000000001", False),
        ("1.000000000", True),
        ("0", True),
        ("0E+30", True),
        ("0E-30", True),
        ("1" + "." + "0" * 150 + "1", False),
        ("1E-9999999", False),
        ("1E+9999999", False),
        ("NaN", False),
        ("sNaN", False),
        ("Infinity", False),
        ("-Infinity", False),
    ],
)
def test_fits_when_there_are_too_many_digits_or_none_then_it_does_not(value: str, fit: bool) -> None:
    assert fits(D(value)) is fit


@unhurried
@given(any_decimal)
def test_fits_when_compared_with_the_digits_of_its_text_then_it_is_so(value: Decimal) -> None:
    if abs(value.adjusted()) > 1000:
        assert not value or not fits(value)
        return
    whole, _, fraction = text(abs(value)).partition(".")
    assert fits(value) is (len(whole) <= MAX_DIGITS and len(fraction) <= MAX_PLACES)
